//! Judges whether words are an expression, and writes them as the evaluator reads them.
//!
//! The last resort of [`super::arithmetic`]: numbers, operators in signs or words, functions, units, and nothing else.

use super::token::{Token, tokens};
use super::unit::{number_word, unit_word};

/// Stands for the result of an earlier step until [`super::steps`] knows which. No message can contain it unnoticed:
/// [`of`] knows no such sign.
pub(super) const PREVIOUS: char = '\u{1}';

/// Whether all of `text` points back to a result.
pub(super) fn is_previous(text: &str) -> bool {
    const POINTERS: &[&str] = &[
        "it",
        "that",
        "this",
        "them",
        "the result",
        "result",
        "the answer",
        "answer",
        "the sum",
        "the total",
        "that result",
        "this result",
        "that number",
        "that amount",
        "the amount",
        "the product",
        "the difference",
    ];
    POINTERS.iter().any(|known| text.eq_ignore_ascii_case(known))
}

/// `text` as an expression; `None` when any part of it is none.
pub(super) fn of(text: &str) -> Option<String> {
    let tokens = tokens(text)?;
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let words = |n: usize| -> Option<Vec<&str>> {
            let words: Vec<&str> = tokens.get(at..at + n)?.iter().filter_map(Token::word).collect();
            (words.len() == n).then_some(words)
        };
        let (written, taken) = match token {
            Token::Number(number) => (number.clone(), 1),
            Token::Sign(sign) => (sign.to_string(), 1),
            Token::Word(word) => match (2..=5).rev().find_map(|n| phrase(words(n), n)) {
                Some(found) => found,
                None => (self::word(word, out.last().map(String::as_str), tokens.get(at + 1))?, 1),
            },
        };
        if !written.is_empty() {
            out.push(written);
        }
        at += taken;
    }
    Some(spaced(&out)).filter(|text| has_value(text))
}

/// Phrases of several words.
fn phrase(words: Option<Vec<&str>>, taken: usize) -> Option<(String, usize)> {
    let written = match words?.join(" ").to_ascii_lowercase().as_str() {
        "multiplied by" => "*",
        "divided by" => "/",
        "raised to the power of"
        | "to the power of"
        | "raised to the power"
        | "to the power"
        | "raised to" => "^",
        "per cent" => "%",
        "degrees celsius" | "degree celsius" | "degrees c" | "deg c" => "°C",
        "degrees fahrenheit" | "degree fahrenheit" | "degrees f" | "deg f" => "°F",
        "square meters" | "square metres" | "square meter" | "square metre" => "m^2",
        "square feet" | "square foot" => "ft^2",
        "square kilometers" | "square kilometres" => "km^2",
        "square miles" => "miles^2",
        "cubic meters" | "cubic metres" => "m^3",
        "miles per hour" => "mph",
        "kilometers per hour" | "kilometres per hour" => "km/h",
        "light years" | "light year" => "lightyears",
        "fluid ounces" | "fluid ounce" => "floz",
        _ => return None,
    };
    Some((written.to_owned(), taken))
}

/// One word, knowing what stands around it.
fn word(word: &str, before: Option<&str>, after: Option<&Token<'_>>) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let written = match lower.as_str() {
        "plus" => "+",
        "minus" | "less" => "-",
        "times" => "*",
        "over" => "/",
        "mod" | "modulo" => "mod",
        "of" => "of",
        "per" => "per",
        "percent" | "pct" => "%",
        "squared" => "^2",
        "cubed" => "^3",
        "the" | "a" if after.is_some() => "",
        "to" | "in" | "into" | "as" if after.is_some() => "to",
        "x" if before.is_some() && after.is_some() => "*",
        "pi" | "π" => "pi",
        "e" => "e",
        name if is_function(name) => return Some(lower),
        _ => return number_word(&lower).map(|n| n.to_string()).or_else(|| unit_word(word)),
    };
    Some(written.to_owned())
}

/// Puts tokens together: no spaces inside calls and powers, spaces around operators.
fn spaced(tokens: &[String]) -> String {
    let mut out = String::new();
    for (i, token) in tokens.iter().enumerate() {
        let previous = i.checked_sub(1).map(|i| tokens[i].as_str());
        let tight = token.starts_with(['^', '%', ')', '!', ',', '\'', '"'])
            || matches!(previous, None | Some("(" | "^" | "√"))
            || (token == "("
                && previous.is_some_and(|word| {
                    word.starts_with(|c: char| c.is_ascii_lowercase() && word.len() > 1) && is_function(word)
                }));
        if !(tight || previous == Some("-") && leads(tokens, i - 1)) {
            out.push(' ');
        }
        out.push_str(token);
    }
    out
}

/// Whether the sign at `at` is a sign of a number rather than between two.
fn leads(tokens: &[String], at: usize) -> bool {
    at == 0 || matches!(tokens[at - 1].as_str(), "(" | "+" | "-" | "*" | "/" | "^" | "to" | "of")
}

fn is_function(word: &str) -> bool {
    matches!(
        word,
        "sqrt"
            | "cbrt"
            | "sin"
            | "cos"
            | "tan"
            | "asin"
            | "acos"
            | "atan"
            | "sinh"
            | "cosh"
            | "tanh"
            | "ln"
            | "log"
            | "log2"
            | "log10"
            | "abs"
            | "floor"
            | "ceil"
            | "round"
            | "exp"
    )
}

/// A lone number says nothing that a person would ask; a value and something done to it does.
pub(super) fn says_something(text: &str) -> bool {
    let done = text.trim_start_matches('-').contains(['+', '-', '*', '/', '^', '!', '(', '√'])
        || [" to ", " of ", " mod "].iter().any(|word| text.contains(word));
    has_value(text) && done
}

fn has_value(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit() || c == PREVIOUS)
        || text.split([' ', '(']).any(|word| matches!(word, "pi" | "e"))
}
