//! `webhook URL with TEXT`, `deposit TEXT`, `deposit TEXT at URL`: what is to have an effect outside.
//!
//! Read by [`super::read`] before the questions, as an echo is, because the text may look like any other request.

use super::echo::quoted;
use super::words::after_any;

/// A longer URL is refused by the tools, `${` written out and all.
const MAX_URL_BYTES: usize = 1_024;

/// Something to do, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Webhook { url: String, text: Option<String> },
    Deposit { text: String, url: Option<String> },
}

/// What a clause that asks for an effect begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verb<'a> {
    /// After the verb.
    pub rest: &'a str,
    deposit: bool,
}

/// The verb at the beginning of `text`, and what follows it.
pub(super) fn verb(text: &str) -> Option<Verb<'_>> {
    let mut text = text.trim_start();
    while let Some(rest) =
        after_any(text, &["please", "can you", "could you", "and", "then", "also", "just", "now"])
    {
        text = rest.trim_start_matches([',', ' ']);
    }
    let found = |tail: Option<_>, deposit| {
        let rest = str::trim_start_matches(tail?, [':', ' ', '\t']);
        let asked = if deposit { !rest.trim().is_empty() } else { is_url(rest) };
        asked.then_some(Verb { rest, deposit })
    };
    found(after_any(text, &["webhook", "call the webhook", "call webhook"]), false)
        .or_else(|| found(after_any(text, &["deposit"]), true))
}

/// Reads what follows the verb. A deposit without a URL is none when it is a question: "deposit rates?"
pub(super) fn read(verb: Verb<'_>, body: &str) -> Option<Effect> {
    let body = body.trim();
    if !verb.deposit {
        let (url, rest) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
        let text = after_any(rest.trim(), &["with"]).map(|text| unquoted(text).to_owned());
        let url = if rest.is_empty() { without_stop(url) } else { url };
        let clear = url.len() <= MAX_URL_BYTES && (text.is_some() || rest.trim().is_empty());
        return clear.then(|| Effect::Webhook { url: url.to_owned(), text });
    }
    let at_url = |tail: &str| {
        let url = after_any(tail, &["at"]).filter(|url| is_url(url) && !url.contains(char::is_whitespace))?;
        (url.len() <= MAX_URL_BYTES).then(|| without_stop(url).to_owned())
    };
    if let Some((text, rest)) = quoted(body)
        && (rest.is_empty() || at_url(rest).is_some())
    {
        return Some(Effect::Deposit { text: text.to_owned(), url: at_url(rest) });
    }
    // The last ` at ` may stand before a URL.
    let place = body.rfind(" at ").map(|at| (body[..at].trim_end(), at_url(&body[at + 1..])));
    let (text, url) = place.filter(|(text, url)| url.is_some() && !text.is_empty()).unwrap_or((body, None));
    let question = url.is_none() && text.ends_with(['?', '？']);
    (!question).then(|| Effect::Deposit { text: text.to_owned(), url })
}

/// Whether `body` ends with the URL that completes it: what follows is something else.
pub(super) fn is_complete(verb: Verb<'_>, body: &str) -> bool {
    match read(verb, body) {
        Some(Effect::Webhook { text, .. }) => text.is_none(),
        Some(Effect::Deposit { url, .. }) => url.is_some(),
        None => false,
    }
}

/// Whether `text` begins with an address that can be called.
fn is_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
            && text[scheme.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '[')
    })
}

/// The mark that ends a sentence is no part of its URL.
fn without_stop(url: &str) -> &str {
    url.trim_end_matches(['.', ',', '!'])
}

fn unquoted(text: &str) -> &str {
    match quoted(text) {
        Some((inner, "")) => inner,
        _ => text,
    }
}
