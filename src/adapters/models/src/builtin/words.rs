//! Matching words at the beginning and end of a text, in any case, without copying it. The readers beside it
//! ([`super::arithmetic`], [`super::currency`], [`super::weather`], [`super::echo`], [`super::small_talk`]) use it.

/// What follows `phrase` at the beginning of `text`, when it ends at a word's end.
pub(super) fn after<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let head = text.get(..phrase.len())?;
    let rest = &text[phrase.len()..];
    let ends = !rest.starts_with(char::is_alphanumeric) && !rest.starts_with('\'');
    (head.eq_ignore_ascii_case(phrase) && ends).then(|| rest.trim_start())
}

/// What follows the first of `phrases` that begins `text`. Longer ones go first in the list.
pub(super) fn after_any<'a>(text: &'a str, phrases: &[&str]) -> Option<&'a str> {
    phrases.iter().find_map(|phrase| after(text, phrase))
}

/// What precedes `phrase` at the end of `text`, when it begins at a word's beginning.
pub(super) fn before<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(phrase.len())?;
    let tail = text.get(at..)?;
    let head = &text[..at];
    let begins = !head.ends_with(char::is_alphanumeric);
    (tail.eq_ignore_ascii_case(phrase) && begins).then(|| head.trim_end())
}

/// `text` without any of `phrases` at its beginning, however many there are.
pub(super) fn without_leading<'a>(mut text: &'a str, phrases: &[&str]) -> &'a str {
    while let Some(rest) = after_any(text, phrases) {
        if rest.is_empty() {
            break;
        }
        text = rest.trim_start_matches([',', ':', ' ']);
    }
    text
}

/// `text` without any of `phrases` at its end, however many there are.
pub(super) fn without_trailing<'a>(mut text: &'a str, phrases: &[&str]) -> &'a str {
    while let Some(rest) = phrases.iter().find_map(|phrase| before(text, phrase)) {
        if rest.is_empty() {
            break;
        }
        text = rest.trim_end_matches([',', ' ']);
    }
    text
}

/// Splits `text` at the first `word` (any of `words`) that stands between spaces.
pub(super) fn around<'a>(text: &'a str, words: &[&str]) -> Option<(&'a str, &'a str)> {
    let mut at = 0;
    for word in text.split(' ') {
        if at > 0 && words.iter().any(|known| word.eq_ignore_ascii_case(known)) {
            let (left, right) = (text[..at].trim(), text[at + word.len()..].trim());
            if !left.is_empty() && !right.is_empty() {
                return Some((left, right));
            }
        }
        at += word.len() + 1;
    }
    None
}

/// How people begin a question or a request without saying what it is about.
pub(super) const FRAMES: &[&str] = &[
    "i would like to know",
    "i'd like to know",
    "i want to know",
    "do you know",
    "let me know",
    "can you please",
    "could you please",
    "can you",
    "could you",
    "would you",
    "will you",
    "please",
    "kindly",
    "just",
    "also",
    "and",
    "then",
    "so",
    "now",
    "ok",
    "okay",
    "well",
    "first",
    "second",
    "third",
    "next",
    "finally",
    "tell me",
    "show me",
    "give me",
    "i need",
    "find out",
    "find",
    "determine",
    "calculate",
    "compute",
    "evaluate",
    "solve",
    "work out",
    "figure out",
    "what would be",
    "what will be",
    "what is",
    "what's",
    "what’s",
    "whats",
    "what are",
    "what about",
    "how about",
    "how much would be",
    "how much is",
    "how much are",
    "how much does",
    "what does",
    "the value of",
    "the result of",
    "value of",
    "result of",
    "wie viel ist",
    "was ist",
    "cuánto es",
    "combien font",
];

/// How people end one.
pub(super) const TAILS: &[&str] = &[
    "please",
    "thanks",
    "thank you",
    "for me",
    "be",
    "equal to",
    "equals",
    "equal",
    "make",
    "=",
    "right now",
    "now",
];

/// A clause without politeness, question words and punctuation around what it is about.
pub(super) fn core(clause: &str) -> &str {
    let mut text = bare(clause);
    loop {
        let next = bare(without_trailing(without_leading(text, FRAMES), TAILS));
        if next.len() == text.len() {
            return text;
        }
        text = next;
    }
}

/// Without white space and punctuation at both ends; a factorial keeps its mark.
pub(super) fn bare(text: &str) -> &str {
    let text = text
        .trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '?' | '…' | '。' | '？'));
    let text = text.trim_start_matches(['!', '.']).trim_start();
    let text = text.trim_end_matches(['.', '?', ' ']);
    match text.strip_suffix('!') {
        Some(head) if !head.ends_with(|c: char| c.is_ascii_digit() || c == ')') => {
            head.trim_end_matches(['!', '.', '?', ' '])
        }
        _ => text,
    }
}
