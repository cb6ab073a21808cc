//! `echo hello`, `say "hello"`, `repeat after me: …`, `echo hello after 3 seconds`.
//!
//! Read by [`super::read`] before anything else, because the text of an echo may look like any other request.

use super::words::{after, after_any, before};

/// The tool's own limit.
const MAX_DELAY_MS: u64 = 60_000;
/// What `slow echo` waits when nothing is said.
const SLOW_MS: u64 = 3_000;

/// An echo to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Echo {
    pub text: String,
    pub delay_ms: Option<u64>,
}

/// What a clause that asks for an echo begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verb<'a> {
    /// After the verb.
    pub rest: &'a str,
    pub slow: bool,
    /// `repeat after me` means all that follows, whatever it is.
    pub to_the_end: bool,
}

/// The echo verb at the beginning of `text`, and what follows it.
pub(super) fn verb(text: &str) -> Option<Verb<'_>> {
    let mut text = text.trim_start();
    while let Some(rest) =
        after_any(text, &["please", "can you", "could you", "and", "then", "also", "just", "now"])
    {
        text = rest.trim_start_matches([',', ' ']);
    }
    let found = |tail, slow, to_the_end| {
        let rest = str::trim_start_matches(tail, [':', ' ', '\t']);
        (!rest.trim().is_empty()).then_some(Verb { rest, slow, to_the_end })
    };
    if let Some(after_verb) = after_any(text, &["repeat after me", "echo back"]) {
        return found(after_verb, false, true);
    }
    if let Some(after_verb) = after(text, "slow echo").or_else(|| after(text, "slowly echo")) {
        return found(after_verb, true, false);
    }
    found(after_any(text, &["echo", "say", "repeat"])?, false, false)
}

/// Reads what follows the verb: a quoted text or all of it, and a delay.
pub(super) fn read(verb: Verb<'_>, body: &str) -> Echo {
    let body = body.trim();
    let (text, delay_ms) = match quoted(body) {
        Some((text, "")) => (text, None),
        Some((text, rest)) => match delay(rest) {
            Some(("", delay_ms)) => (text, Some(delay_ms)),
            _ => (body, None),
        },
        None => delay(body)
            .filter(|(text, _)| !text.is_empty())
            .map_or((body, None), |(text, ms)| (text, Some(ms))),
    };
    Echo { text: text.to_owned(), delay_ms: delay_ms.or(verb.slow.then_some(SLOW_MS)) }
}

/// The text of a body that begins with a quotation, and what follows it.
pub(super) fn quoted(body: &str) -> Option<(&str, &str)> {
    let (open, close) =
        [('"', '"'), ('“', '”'), ('`', '`')].into_iter().find(|(open, _)| body.starts_with(*open))?;
    let inner = &body[open.len_utf8()..];
    let end = inner.find(close)?;
    Some((&inner[..end], inner[end + close.len_utf8()..].trim_start()))
}

/// `… after 3 seconds`, `… with (a) delay (of) 3000 ms`, `… delayed by 2 s`: the text before it and the delay.
fn delay(body: &str) -> Option<(&str, u64)> {
    /// A delay is a few words; only the end of a long text is searched.
    const MAX_DELAY_BYTES: usize = 64;
    let tail_at = body.floor_char_boundary(body.len().saturating_sub(MAX_DELAY_BYTES));
    let (at, rest) =
        ["after ", "with delay ", "with a delay of ", "with delay of ", "delayed by ", "with a "]
            .iter()
            .filter_map(|phrase| {
                let at = tail_at + body[tail_at..].rfind(phrase)?;
                let starts_word = at == 0 || body[..at].ends_with(char::is_whitespace);
                starts_word.then(|| (at, &body[at + phrase.len()..]))
            })
            .find(|(_, rest)| milliseconds(rest).is_some())?;
    Some((body[..at].trim_end(), milliseconds(rest)?))
}

fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches(['.', '!', '?']);
    let text = before(text, "delay").unwrap_or(text);
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let per_unit = match unit.trim().to_ascii_lowercase().as_str() {
        "ms" | "millis" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "min" | "minute" | "minutes" => 60_000.0,
        _ => return None,
    };
    let ms = number * per_unit;
    (ms <= MAX_DELAY_MS as f64).then_some(ms as u64)
}
