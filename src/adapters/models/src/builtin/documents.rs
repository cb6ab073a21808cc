//! Questions that nothing else understands, to be looked up in the documents; and `look up …`, which says so.
//!
//! Read by [`super::read`] last of all; [`super::steps`] makes steps of the tool `knowledge` of them, if there is one, and
//! [`super::cited`] tells what it found.

use super::split::{self, Kind};
use super::words::{after_any, bare, core};

/// Questions of one part of a message that are looked up.
pub(super) const MAX_LOOKUPS: usize = 4;
/// What is longer is a text, and no question.
const MAX_ASKED_BYTES: usize = 4 * 1024;
/// As the tool has it, in characters.
const MAX_QUERY_CHARACTERS: usize = 1_000;

/// What a question begins with.
const QUESTION_WORDS: &[&str] = &[
    "what", "what's", "whats", "how", "how's", "when", "where", "where's", "who", "who's", "whom", "whose",
    "which", "why", "can", "could", "does", "do", "did", "is", "are", "was", "were", "will", "would",
    "should", "may", "must", "has", "have", "had", "am",
];
/// What asks without being a question.
const REQUESTS: &[&str] =
    &["tell me", "explain", "describe", "show me", "list", "give me", "find out", "i want to know"];
const LOOK_UP: &[&str] = &[
    "look up",
    "search the documents for",
    "search the docs for",
    "search documents for",
    "search the manual for",
    "ask the documents",
];

/// What follows `look up` at the beginning of `text`.
pub(super) fn verb(text: &str) -> Option<&str> {
    let mut text = text.trim_start();
    while let Some(rest) = after_any(text, &["please", "can you", "could you", "and", "then", "also", "now"])
    {
        text = rest.trim_start_matches([',', ' ']);
    }
    after_any(text, LOOK_UP)
        .map(|rest| rest.trim_start_matches([':', ' ']))
        .filter(|rest| !bare(rest).is_empty())
}

/// Whether something in `text` is asked.
pub(super) fn asks(text: &str) -> bool {
    text.len() <= MAX_ASKED_BYTES && parts(text).iter().any(|(_, asked)| *asked)
}

/// The sentences of `text` and the questions within them, each with whether it is one.
pub(super) fn parts(text: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut from = 0;
    for cut in split::cuts(text) {
        let (ends, rest) = (cut.kind != Kind::Soft, &text[cut.at.end..]);
        if !ends && !begins_with_question_word(rest) {
            continue;
        }
        let mark = text[cut.at.clone()].contains(['?', '？']);
        found.push((&text[from..cut.at.start], mark));
        from = cut.at.end;
    }
    found.push((&text[from..], false));
    let mut parts: Vec<(&str, bool)> = Vec::with_capacity(found.len());
    for (part, mark) in found {
        parts.push((bare(part), mark || is_question(part)));
    }
    parts.retain(|(part, _)| !part.is_empty());
    // A mark alone asks nothing: "why?", "really?".
    parts.iter_mut().for_each(|(part, asked)| *asked = *asked && is_about_something(part));
    parts
}

/// What the tool is asked.
pub(super) fn query(question: &str) -> String {
    question.chars().take(MAX_QUERY_CHARACTERS).collect()
}

fn begins_with_question_word(text: &str) -> bool {
    after_any(text.trim_start(), QUESTION_WORDS).is_some()
}

fn is_question(text: &str) -> bool {
    let text = bare(text);
    begins_with_question_word(text)
        || after_any(text, REQUESTS).is_some()
        || begins_with_question_word(core(text))
}

/// A word that is neither a question word nor too short to mean something; or a code, such as `E7`.
fn is_about_something(text: &str) -> bool {
    core(text).split(|c: char| !c.is_alphanumeric()).any(|word| {
        let code = word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(char::is_alphabetic);
        let known = QUESTION_WORDS.iter().chain(VAGUE).any(|known| word.eq_ignore_ascii_case(known));
        code || (word.chars().filter(|c| c.is_alphabetic()).count() >= 3 && !known)
    })
}

/// Words that point at what was said before, which the documents do not know.
const VAGUE: &[&str] = &[
    "that", "this", "those", "these", "they", "them", "you", "your", "really", "sure", "not", "then",
    "there", "here", "the", "and", "for", "about",
];

#[cfg(test)]
mod tests {
    use super::{asks, parts, verb};

    #[test]
    fn questions_are_told_from_remarks() {
        for question in [
            "How long is the warranty",
            "what does E07 mean?",
            "tell me about returns",
            "the price of the fan kit?",
            "so, is it loud?",
            "My ring blinks. What is that? The light, I mean: why does it blink",
        ] {
            assert!(asks(question), "{question}");
        }
        for remark in
            ["the weather is nice", "why?", "what is that?", "really?", "blue turtles", "", "?!", "Warranty."]
        {
            assert!(!asks(remark), "{remark}");
        }
    }

    #[test]
    fn several_questions_are_several() {
        assert_eq!(
            parts("How long is the warranty, and what does E07 mean? The ring blinks."),
            [("How long is the warranty", true), ("what does E07 mean", true), ("The ring blinks", false)]
        );
        assert_eq!(parts("what are size, weight and price"), [("what are size, weight and price", true)]);
    }

    #[test]
    fn looking_up_is_said() {
        assert_eq!(verb("please look up: the price"), Some("the price"));
        assert_eq!(verb("search the docs for E07"), Some("E07"));
        for other in ["look up", "looking up", "lookup table"] {
            assert_eq!(verb(other), None, "{other}");
        }
    }
}
