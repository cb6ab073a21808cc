//! `${step.path.to.field}` in an argument stands for an earlier result.
//!
//! A string that is nothing but one reference is replaced by the value itself, of whatever type; inside a
//! longer string the value is written out (strings without quotes). A path goes through object fields and
//! array indexes; `${step}` alone is the whole result. `$${` writes a literal `${`.
//!
//! It works on the text, not on a parsed tree: what is not a reference stays as it was written, numbers keep
//! their digits, fields their order, whatever the depth and whatever features serde_json was built with.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::id::StepId;
use crate::json::RawJson;
use crate::limits::MAX_ARGUMENTS_BYTES;

/// A piece of a string argument.
enum Piece<'a> {
    Text(&'a str),
    Literal(&'static str),
    Reference { step: &'a str, path: &'a str },
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push(Piece::Text(&rest[..at - 1]));
            out.push(Piece::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let Some(len) = rest[at + 2..].find('}') else { break };
        let inner = &rest[at + 2..at + 2 + len];
        let (step, path) = inner.split_once('.').unwrap_or((inner, ""));
        if StepId::new(step).is_ok() {
            out.push(Piece::Text(&rest[..at]));
            out.push(Piece::Reference { step, path });
        } else {
            out.push(Piece::Text(&rest[..at + 3 + len]));
        }
        rest = &rest[at + 3 + len..];
    }
    out.push(Piece::Text(rest));
    out.retain(|piece| !matches!(piece, Piece::Text("")));
    out
}

/// Whether `text` contains at least one reference.
#[must_use]
pub fn has_reference(text: &str) -> bool {
    text.contains("${") && pieces(text).iter().any(|p| matches!(p, Piece::Reference { .. }))
}

/// Where `json` has string values (not field names) with a `${` in them, quotes included.
fn templates(json: &str) -> Vec<Range<usize>> {
    let bytes = json.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = json[from..].find('"').map(|at| from + at) {
        let mut end = start + 1;
        while bytes.get(end).is_some_and(|byte| *byte != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        from = end + 1;
        // Valid JSON closes its strings: `RawJson` promises as much.
        let Some(text) = json.get(start..from) else { break };
        if text.contains("${") && !json[from..].trim_start().starts_with(':') {
            found.push(start..from);
        }
    }
    found
}

fn unquoted(literal: &str) -> Result<String, String> {
    serde_json::from_str(literal).map_err(|e| format!("{literal} is no JSON string: {e}"))
}

/// The steps that `arguments` refer to, in order of appearance, without duplicates.
#[must_use]
pub fn referenced_steps(arguments: &RawJson) -> Vec<StepId> {
    let json = arguments.as_str();
    let mut found = Vec::new();
    for text in templates(json).into_iter().filter_map(|range| unquoted(&json[range]).ok()) {
        for piece in pieces(&text) {
            if let Piece::Reference { step, .. } = piece
                && let Ok(id) = StepId::new(step)
                && !found.contains(&id)
            {
                found.push(id);
            }
        }
    }
    found
}

/// Replaces every reference in `arguments` by what `result_of` gives for its step.
///
/// # Errors
/// A sentence that names the reference which leads nowhere, or the size that was exceeded.
pub fn resolve<'a>(
    arguments: &RawJson,
    result_of: impl Fn(&str) -> Option<&'a RawJson>,
) -> Result<RawJson, String> {
    let json = arguments.as_str();
    let mut out = String::with_capacity(json.len());
    let mut copied = 0;
    for range in templates(json) {
        out.push_str(&json[copied..range.start]);
        copied = range.end;
        substitute(&unquoted(&json[range])?, &mut out, &result_of)?;
        bounded(out.len())?;
    }
    if copied == 0 {
        return Ok(arguments.clone());
    }
    out.push_str(&json[copied..]);
    bounded(out.len())?;
    RawJson::parse(&out).map_err(|e| format!("the resolved arguments are no JSON: {e}"))
}

fn bounded(bytes: usize) -> Result<(), String> {
    if bytes <= MAX_ARGUMENTS_BYTES {
        return Ok(());
    }
    Err(format!(
        "the resolved arguments have {bytes} bytes or more; at most {MAX_ARGUMENTS_BYTES} are allowed"
    ))
}

/// Writes the value that `text` stands for, as JSON.
fn substitute<'a>(
    text: &str,
    out: &mut String,
    result_of: &impl Fn(&str) -> Option<&'a RawJson>,
) -> Result<(), String> {
    let pieces = pieces(text);
    if let [Piece::Reference { step, path }] = pieces[..] {
        out.push_str(lookup(step, path, result_of)?);
        return Ok(());
    }
    let mut whole = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) | Piece::Literal(text) => whole.push_str(text),
            Piece::Reference { step, path } => match lookup(step, path, result_of)? {
                literal if literal.starts_with('"') => whole.push_str(&unquoted(literal)?),
                other => whole.push_str(other),
            },
        }
        bounded(whole.len())?;
    }
    out.push_str(&serde_json::to_string(&whole).map_err(|e| e.to_string())?);
    Ok(())
}

/// The JSON text that a reference leads to.
fn lookup<'a>(
    step: &str,
    path: &str,
    result_of: &impl Fn(&str) -> Option<&'a RawJson>,
) -> Result<&'a str, String> {
    let mut at = result_of(step).ok_or_else(|| format!("${{{step}}} has no result"))?.as_str();
    for field in path.split('.').filter(|field| !field.is_empty()) {
        let next = member(at, field);
        at = next.ok_or_else(|| format!("${{{step}.{path}}}: the result of {step:?} has no {field:?}"))?;
    }
    Ok(at)
}

/// An object's field or an array's item.
fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let found: &'a RawValue = match json.as_bytes().first()? {
        b'{' => serde_json::from_str::<BTreeMap<String, &'a RawValue>>(json).ok()?.remove(name)?,
        b'[' => {
            serde_json::from_str::<Vec<&'a RawValue>>(json).ok()?.get(name.parse::<usize>().ok()?).copied()?
        }
        _ => return None,
    };
    Some(found.get())
}
