//! `${step.path.to.field}` in an argument stands for an earlier result.
//!
//! A string that is nothing but one reference is replaced by the value itself, of whatever type; inside a
//! longer string the value is written out (strings without quotes). A path goes through object fields and
//! array indexes; `${step}` alone is the whole result. `$${` writes a literal `${`.

use serde_json::Value;

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

/// The steps that `arguments` refer to, in order of appearance, without duplicates.
#[must_use]
pub fn referenced_steps(arguments: &RawJson) -> Vec<StepId> {
    let mut found = Vec::new();
    if arguments.as_str().contains("${") {
        collect(&arguments.to_value(), &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut Vec<StepId>) {
    match value {
        Value::String(text) => {
            for piece in pieces(text) {
                if let Piece::Reference { step, .. } = piece
                    && let Ok(id) = StepId::new(step)
                    && !found.contains(&id)
                {
                    found.push(id);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// Replaces every reference in `arguments` by what `result_of` gives for its step.
///
/// # Errors
/// A sentence that names the reference which leads nowhere, or the size that was exceeded.
pub fn resolve<'a>(
    arguments: &RawJson,
    result_of: impl Fn(&str) -> Option<&'a RawJson>,
) -> Result<RawJson, String> {
    if !arguments.as_str().contains("${") {
        return Ok(arguments.clone());
    }
    let resolved = RawJson::from_value(&substitute(&arguments.to_value(), &result_of)?);
    if resolved.len_bytes() > MAX_ARGUMENTS_BYTES {
        return Err(format!(
            "the resolved arguments have {} bytes; at most {MAX_ARGUMENTS_BYTES} are allowed",
            resolved.len_bytes()
        ));
    }
    Ok(resolved)
}

fn substitute<'a>(value: &Value, result_of: &impl Fn(&str) -> Option<&'a RawJson>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => string(text, result_of)?,
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| substitute(item, result_of)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, item)| Ok((name.clone(), substitute(item, result_of)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

fn string<'a>(text: &str, result_of: &impl Fn(&str) -> Option<&'a RawJson>) -> Result<Value, String> {
    let pieces = pieces(text);
    if let [Piece::Reference { step, path }] = pieces[..] {
        return lookup(step, path, result_of);
    }
    let mut out = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Literal(text) => out.push_str(text),
            Piece::Reference { step, path } => match lookup(step, path, result_of)? {
                Value::String(text) => out.push_str(&text),
                other => out.push_str(&other.to_string()),
            },
        }
        if out.len() > MAX_ARGUMENTS_BYTES {
            return Err(format!("a resolved argument exceeds {MAX_ARGUMENTS_BYTES} bytes"));
        }
    }
    Ok(Value::String(out))
}

fn lookup<'a>(step: &str, path: &str, result_of: &impl Fn(&str) -> Option<&'a RawJson>) -> Result<Value, String> {
    let whole = result_of(step).ok_or_else(|| format!("${{{step}}} has no result"))?.to_value();
    let mut at = &whole;
    for field in path.split('.').filter(|field| !field.is_empty()) {
        let next = match at {
            Value::Array(items) => field.parse::<usize>().ok().and_then(|i| items.get(i)),
            other => other.get(field),
        };
        at = next.ok_or_else(|| format!("${{{step}.{path}}}: the result of {step:?} has no {field:?}"))?;
    }
    Ok(at.clone())
}
