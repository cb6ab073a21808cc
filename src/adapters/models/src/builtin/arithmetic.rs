//! `17% of 2340`, `12 miles in km`, `the sum of 3 and 4`, `half of that`: from words to an expression for `math`.
//!
//! Read by [`super::read`]. [`super::expression`] judges what is left when the phrases here are taken apart: only what
//! is arithmetic through and through becomes an expression, so that no remark is sent to the evaluator.

use super::expression::{self, PREVIOUS, is_previous};
use super::unit;
use super::words::{after, after_any, around, before, core};

/// Phrases within phrases: `half of the sum of 3 and the square root of 16` has three.
const MAX_DEPTH: usize = 6;
/// The evaluator's own limit on an expression, with room for references.
const MAX_BYTES: usize = 900;

/// An expression, perhaps with [`PREVIOUS`] in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    pub text: String,
    /// What the result is measured in, where the expression says so.
    pub unit: Option<String>,
}

impl Expression {
    pub fn uses_previous(&self) -> bool {
        self.text.contains(PREVIOUS)
    }
}

/// Reads a clause that is arithmetic. `has_previous`: a result came before, which it may go on from.
pub(super) fn read(clause: &str, has_previous: bool) -> Option<Expression> {
    let text = core(clause);
    if text.is_empty() || text.len() > MAX_BYTES {
        return None;
    }
    let found = if has_previous { going_on(text).or_else(|| phrase(text, 0)) } else { phrase(text, 0) };
    let text = found.filter(|text| text.len() <= MAX_BYTES && expression::says_something(text))?;
    let unit = text.rsplit_once(" to ").map(|(_, unit)| unit.to_owned());
    Some(Expression { text, unit })
}

/// What only makes sense after a result: `plus 5`, `add 5`, `double it`, `in feet`.
fn going_on(text: &str) -> Option<String> {
    for (words, operator) in [
        ("plus", "+"),
        ("minus", "-"),
        ("times", "*"),
        ("multiplied by", "*"),
        ("divided by", "/"),
        ("over", "/"),
    ] {
        if let Some(rest) = after(text, words) {
            return Some(format!("{PREVIOUS} {operator} {}", operand(rest, 1)?));
        }
    }
    if let Some(rest) = text.strip_prefix(['+', '*', '×', '/', '÷', '^']) {
        let operator = match text.chars().next()? {
            '×' => '*',
            '÷' => '/',
            other => other,
        };
        return Some(format!("{PREVIOUS} {operator} {}", operand(rest.trim(), 1)?));
    }
    match text.to_ascii_lowercase().as_str() {
        "double" => return Some(format!("2 * {PREVIOUS}")),
        "triple" => return Some(format!("3 * {PREVIOUS}")),
        "halve" | "half" => return Some(format!("{PREVIOUS} / 2")),
        "square" => return Some(format!("{PREVIOUS}^2")),
        _ => {}
    }
    // `add 5` without what to add it to; with it, `phrase` reads it.
    for (words, operator) in
        [("add", "+"), ("subtract", "-"), ("multiply by", "*"), ("divide by", "/"), ("take away", "-")]
    {
        if let Some(rest) = after(text, words)
            && around(rest, &["to", "from", "and", "by", "with"]).is_none()
        {
            return Some(format!("{PREVIOUS} {operator} {}", operand(rest, 1)?));
        }
    }
    let unit = after_any(text, &["to", "in", "into", "convert to", "as"])?;
    unit::unit(unit).map(|unit| format!("{PREVIOUS} to {unit}"))
}

fn phrase(text: &str, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    let text = core(text);
    let text = after_any(text, &["the", "exactly", "about"]).unwrap_or(text);
    conversion(text, depth)
        .or_else(|| command(text, depth))
        .or_else(|| noun(text, depth))
        .or_else(|| portion(text, depth))
        .or_else(|| expression::of(text))
}

/// A phrase as part of a larger one.
fn operand(text: &str, depth: usize) -> Option<String> {
    let text = core(text);
    if is_previous(text) {
        return Some(PREVIOUS.to_string());
    }
    let inner = phrase(text, depth + 1)?;
    // One number or one call binds tighter than anything around it.
    let plain = !inner.contains([' ', '^', '!', '/', '*', '+', '-']);
    Some(if plain { inner } else { format!("({inner})") })
}

/// `convert 12 miles to km`, `how many km are in 12 miles`
fn conversion(text: &str, depth: usize) -> Option<String> {
    if let Some(rest) = after_any(text, &["convert", "change", "turn"]) {
        let (left, right) = around(rest, &["to", "into", "in", "as"])?;
        return Some(format!("{} to {}", quantity(left, depth)?, unit::unit(right)?));
    }
    let rest = after_any(text, &["how many", "how much"])?;
    let (left, right) = around(rest, &["is", "are", "in", "does", "do", "equals", "make"])?;
    let right = after_any(right, &["there in", "in", "there"]).unwrap_or(right);
    let right = before(right, "have").or_else(|| before(right, "contain")).unwrap_or(right);
    let right =
        after_any(right, &["a", "an", "one"]).map_or_else(|| right.to_owned(), |unit| format!("1 {unit}"));
    Some(format!("{} to {}", quantity(&right, depth)?, unit::unit(left)?))
}

/// Something with a unit, or an earlier result.
fn quantity(text: &str, depth: usize) -> Option<String> {
    if is_previous(core(text)) {
        return Some(PREVIOUS.to_string());
    }
    expression::of(text).or_else(|| operand(text, depth + 1))
}

/// `add 5 to it`, `divide 12 by 4`, `increase 200 by 10%`, `double it`, `take 19% of it`
fn command(text: &str, depth: usize) -> Option<String> {
    let two = |rest: &str, words: &[&str]| -> Option<(String, String)> {
        let (left, right) = around(rest, words)?;
        Some((operand(left, depth)?, operand(right, depth)?))
    };
    if let Some(rest) = after(text, "add") {
        return two(rest, &["to", "and"]).map(|(a, b)| format!("{b} + {a}"));
    }
    if let Some(rest) = after_any(text, &["subtract", "deduct", "take away"]) {
        return two(rest, &["from"]).map(|(a, b)| format!("{b} - {a}"));
    }
    if let Some(rest) = after(text, "multiply") {
        return two(rest, &["by", "with", "and"]).map(|(a, b)| format!("{a} * {b}"));
    }
    if let Some(rest) = after(text, "divide") {
        return two(rest, &["by"]).map(|(a, b)| format!("{a} / {b}"));
    }
    if let Some(rest) = after_any(text, &["increase", "raise"]) {
        return changed(rest, '+', depth);
    }
    if let Some(rest) = after_any(text, &["decrease", "reduce", "lower"]) {
        return changed(rest, '-', depth);
    }
    if let Some(rest) = after_any(text, &["double of", "double", "twice"]) {
        return operand(rest, depth).map(|a| format!("2 * {a}"));
    }
    if let Some(rest) = after(text, "triple") {
        return operand(rest, depth).map(|a| format!("3 * {a}"));
    }
    if let Some(rest) = after(text, "halve") {
        return operand(rest, depth).map(|a| format!("{a} / 2"));
    }
    if let Some(rest) = after(text, "square")
        && after(rest, "root").is_none()
    {
        return operand(after(rest, "of").unwrap_or(rest), depth).map(|a| format!("{a}^2"));
    }
    let rest = after_any(text, &["take", "get", "apply"])?;
    let (percent, of) = around(rest, &["off"]).unzip();
    if let (Some(percent), Some(of)) = (percent, of) {
        let (percent, of) = (percentage(percent)?, operand(after(of, "of").unwrap_or(of), depth)?);
        return Some(format!("{of} * (1 - {percent}/100)"));
    }
    phrase(rest, depth + 1)
}

/// `200 by 10%`
fn changed(rest: &str, sign: char, depth: usize) -> Option<String> {
    let (what, by) = around(rest, &["by"])?;
    let what = operand(what, depth)?;
    match percentage(by) {
        Some(percent) => Some(format!("{what} * (1 {sign} {percent}/100)")),
        None => Some(format!("{what} {sign} {}", operand(by, depth)?)),
    }
}

fn percentage(text: &str) -> Option<&str> {
    let number = ["%", "percent", "per cent", "pct"].iter().find_map(|sign| {
        let head = text.trim().strip_suffix(sign)?;
        Some(head.trim())
    })?;
    let is_number = number.starts_with(|c: char| c.is_ascii_digit()) && number.parse::<f64>().is_ok();
    is_number.then_some(number)
}

/// `sum of 3 and 4`, `square root of 16`, `average of 1, 2 and 3`
fn noun(text: &str, depth: usize) -> Option<String> {
    for (words, operator) in [("sum of", " + "), ("total of", " + "), ("product of", " * ")] {
        if let Some(rest) = after(text, words) {
            return Some(list(rest, depth)?.join(operator));
        }
    }
    if let Some(rest) = after_any(text, &["average of", "mean of"]) {
        let items = list(rest, depth)?;
        return Some(format!("({}) / {}", items.join(" + "), items.len()));
    }
    for (words, operator) in
        [("difference between", "-"), ("difference of", "-"), ("quotient of", "/"), ("ratio of", "/")]
    {
        if let Some(rest) = after(text, words) {
            let (a, b) = around(rest, &["and", "to"])?;
            return Some(format!("{} {operator} {}", operand(a, depth)?, operand(b, depth)?));
        }
    }
    for (words, function) in [
        ("square root of", "sqrt"),
        ("cube root of", "cbrt"),
        ("sqrt of", "sqrt"),
        ("absolute value of", "abs"),
        ("sine of", "sin"),
        ("cosine of", "cos"),
        ("tangent of", "tan"),
        ("natural logarithm of", "ln"),
        ("logarithm of", "log10"),
        ("log of", "log10"),
    ] {
        if let Some(rest) = after(text, words) {
            return operand(rest, depth).map(|a| format!("{function}({a})"));
        }
    }
    let rest = after(text, "factorial of")?;
    operand(rest, depth).map(|a| format!("{a}!"))
}

/// `1, 2 and 3`
fn list(text: &str, depth: usize) -> Option<Vec<String>> {
    /// A longer list is data.
    const MAX_ITEMS: usize = 64;
    let items: Vec<&str> = text
        .split(" and ")
        .flat_map(|part| part.split(", "))
        .map(|item| after(item.trim(), "and").unwrap_or(item.trim()))
        .filter(|item| !item.is_empty())
        .collect();
    if items.len() < 2 || items.len() > MAX_ITEMS {
        return None;
    }
    items.into_iter().map(|item| operand(item, depth)).collect()
}

/// `half of it`, `a third of 90`, `19% of the sum of 3 and 4`
fn portion(text: &str, depth: usize) -> Option<String> {
    for (words, divisor) in [
        ("half of", 2),
        ("half", 2),
        ("one half of", 2),
        ("a half of", 2),
        ("a third of", 3),
        ("one third of", 3),
        ("a quarter of", 4),
        ("one quarter of", 4),
        ("a fifth of", 5),
        ("a tenth of", 10),
    ] {
        if let Some(rest) = after(text, words) {
            return operand(rest, depth).map(|a| format!("{a} / {divisor}"));
        }
    }
    let (share, of) = around(text, &["of"])?;
    let share = percentage(share)?;
    Some(format!("{share}% of {}", operand(of, depth)?))
}
