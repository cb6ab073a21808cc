//! `convert 120 USD to EUR`, `how much is 50 pounds in dollars`, `$20 in euros and yen`.
//!
//! Read by [`super::read`] before arithmetic: `50 pounds in dollars` is money, `50 pounds in kg` is not.

use super::words::{after, after_any, around, core};

/// Currencies that one amount is converted to.
const MAX_TARGETS: usize = 8;

/// How much is to be converted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Amount {
    Number(serde_json::Number),
    /// What the step before brought, in its currency.
    Previous,
}

/// A conversion to make.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conversion {
    pub amount: Amount,
    /// `None`: the currency of the step before.
    pub from: Option<String>,
    pub to: Vec<String>,
}

const TO: &[&str] = &["to", "in", "into", "as", "=", "->", "→", "is"];

/// Reads a clause about money.
pub(super) fn read(clause: &str) -> Option<Conversion> {
    let text = core(clause);
    let text = after(text, "the").unwrap_or(text);
    let text = after_any(
        text,
        &["convert", "current exchange rate", "exchange rate", "exchange", "change", "swap", "rate"],
    )
    .unwrap_or(text);
    let text = after_any(text, &["of", "from", "for", "between"]).unwrap_or(text);
    let text = core(after(text, "the").unwrap_or(text));
    how_many(text).or_else(|| of_previous(text)).or_else(|| plain(text)).or_else(|| pair(text))
}

/// `120 USD to EUR`
fn plain(text: &str) -> Option<Conversion> {
    let (left, right) = around(text, TO)?;
    // `is how many euros`
    let right = after_any(right, &["how many", "how much", "in", "equal to"]).unwrap_or(right);
    let (number, from) = money(left)?;
    conversion(Amount::Number(number), &from, right)
}

/// `how many euros is 120 dollars`
fn how_many(text: &str) -> Option<Conversion> {
    let rest = after_any(text, &["how many", "how much"])?;
    let (left, right) = around(rest, &["is", "are", "for", "in", "from", "equals", "="])?;
    let left = ["do i get", "would i get", "can i get", "do you get", "will i get"]
        .iter()
        .find_map(|words| super::words::before(left, words))
        .unwrap_or(left);
    let (number, from) = money(right)?;
    conversion(Amount::Number(number), &from, left)
}

/// `convert it to GBP`
fn of_previous(text: &str) -> Option<Conversion> {
    let rest = after_any(text, &["it", "that", "this", "the result", "result", "them"])?;
    let rest = after_any(rest, &["to", "into", "in"])?;
    let to = targets(rest, true)?;
    Some(Conversion { amount: Amount::Previous, from: None, to })
}

/// `to GBP` after a conversion.
pub(super) fn read_more(clause: &str) -> Option<Conversion> {
    let to = targets(after_any(core(clause), &["to", "in", "into"])?, true)?;
    Some(Conversion { amount: Amount::Previous, from: None, to })
}

/// `USD/EUR`, `USD EUR`, `USD and EUR`, `the dollar against the euro`: the rate, so an amount of one.
fn pair(text: &str) -> Option<Conversion> {
    let (left, right) = text
        .split_once('/')
        .or_else(|| around(text, &["and", "against", "vs", "versus"]))
        .or_else(|| text.split_once(' '))?;
    let from = currency(left)?;
    let code = |text: &str| known_code(text.trim()).is_some();
    // Two bare words are a pair only when both are codes: `pound pound` is no question.
    if !text.contains('/')
        && around(text, &["and", "against", "vs", "versus"]).is_none()
        && !(code(left) && code(right))
    {
        return None;
    }
    let to = currency(right)?;
    Some(Conversion { amount: Amount::Number(1.into()), from: Some(from), to: vec![to] })
}

fn conversion(amount: Amount, from: &Name, to: &str) -> Option<Conversion> {
    let to = targets(to, matches!(from, Name::Known(_)))?;
    let from = match from {
        Name::Known(code) => code.clone(),
        // An unheard-of code is one only beside a currency.
        Name::Unknown(code) => to.iter().all(|to| known_code(to).is_some()).then(|| code.clone())?,
    };
    Some(Conversion { amount, from: Some(from), to })
}

/// `EUR, GBP and yen`
fn targets(text: &str, unknown_allowed: bool) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for part in text.split(" and ").flat_map(|part| part.split(',')).flat_map(|part| part.split(" or ")) {
        let part = part.trim();
        let part = after_any(part, &["and", "to", "in", "into", "the"]).unwrap_or(part);
        if part.is_empty() {
            continue;
        }
        let code = match name(part)? {
            Name::Known(code) => code,
            Name::Unknown(code) => unknown_allowed.then_some(code)?,
        };
        if !found.contains(&code) {
            found.push(code);
        }
    }
    (!found.is_empty() && found.len() <= MAX_TARGETS).then_some(found)
}

/// `$120`, `120 dollars`, `USD 1.5k`, `a euro`
fn money(text: &str) -> Option<(serde_json::Number, Name)> {
    let text = text.trim();
    let text = after_any(text, &["a", "an", "one"]).unwrap_or(text);
    let is_digit = |c: char| c.is_ascii_digit();
    let Some(first) = text.find(is_digit) else {
        return Some((1.into(), name(after(text, "the").unwrap_or(text))?));
    };
    let (before, rest) = text.split_at(first);
    let end = rest.find(|c: char| !(is_digit(c) || matches!(c, '.' | ','))).unwrap_or(rest.len());
    let (digits, after_digits) = rest.split_at(end);
    let number: f64 = digits.trim_end_matches(['.', ',']).replace(',', "").parse().ok()?;
    let (scale, after_digits) = scale(after_digits);
    let named = match (before.trim(), after_digits.trim()) {
        ("", after_digits) => after_digits,
        (before, "") => before,
        _ => return None,
    };
    let amount = number * scale;
    let whole = amount.fract() == 0.0 && amount < 9_007_199_254_740_992.0;
    let amount = if whole { (amount as u64).into() } else { serde_json::Number::from_f64(amount)? };
    Some((amount, name(named)?))
}

fn scale(text: &str) -> (f64, &str) {
    for (word, scale) in [("k", 1e3), ("thousand", 1e3), ("m", 1e6), ("million", 1e6), ("billion", 1e9)] {
        if let Some(rest) = after(text.trim_start(), word) {
            return (scale, rest);
        }
    }
    (1.0, text)
}

enum Name {
    Known(String),
    /// Three capital letters that may be a currency which the exchange knows.
    Unknown(String),
}

fn currency(text: &str) -> Option<String> {
    let text = text.trim();
    match name(after(text, "the").unwrap_or(text))? {
        Name::Known(code) => Some(code),
        Name::Unknown(_) => None,
    }
}

fn name(text: &str) -> Option<Name> {
    let text = text.trim().trim_end_matches(['.', '!', '?']);
    if let Some(code) = known_code(text) {
        return Some(Name::Known(code.to_owned()));
    }
    if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        return Some(Name::Unknown(text.to_owned()));
    }
    let lower = text.to_lowercase();
    let code = match lower.as_str() {
        "$" | "us$" | "dollar" | "dollars" | "us dollar" | "us dollars" | "american dollars" | "buck"
        | "bucks" => "USD",
        "€" | "euro" | "euros" => "EUR",
        "£" | "pound" | "pounds" | "british pound" | "british pounds" | "pound sterling"
        | "pounds sterling" | "sterling" | "quid" => "GBP",
        "¥" | "yen" | "japanese yen" => "JPY",
        "franc" | "francs" | "swiss franc" | "swiss francs" => "CHF",
        "norwegian krone" | "norwegian kroner" | "norwegian crowns" | "krone" | "kroner" => "NOK",
        "swedish krona" | "swedish kronor" | "swedish crowns" | "krona" | "kronor" => "SEK",
        "danish krone" | "danish kroner" | "danish crowns" => "DKK",
        "canadian dollar" | "canadian dollars" | "c$" => "CAD",
        "australian dollar" | "australian dollars" | "a$" => "AUD",
        "new zealand dollar" | "new zealand dollars" => "NZD",
        "hong kong dollar" | "hong kong dollars" => "HKD",
        "singapore dollar" | "singapore dollars" => "SGD",
        "zloty" | "zlotys" | "złoty" | "polish zloty" => "PLN",
        "czech koruna" | "czech crowns" | "koruna" => "CZK",
        "forint" | "forints" | "hungarian forint" => "HUF",
        "yuan" | "renminbi" | "rmb" | "chinese yuan" => "CNY",
        "₹" | "rupee" | "rupees" | "indian rupee" | "indian rupees" => "INR",
        "rupiah" | "indonesian rupiah" => "IDR",
        "₩" | "won" | "korean won" | "south korean won" => "KRW",
        "mexican peso" | "mexican pesos" | "peso" | "pesos" => "MXN",
        "philippine peso" | "philippine pesos" => "PHP",
        "brazilian real" | "brazilian reais" | "reais" => "BRL",
        "south african rand" | "rand" => "ZAR",
        "turkish lira" | "lira" => "TRY",
        "baht" | "thai baht" => "THB",
        "shekel" | "shekels" | "₪" => "ILS",
        "ringgit" => "MYR",
        "romanian leu" | "romanian lei" | "lei" => "RON",
        "icelandic krona" | "icelandic kronur" => "ISK",
        _ => return None,
    };
    Some(Name::Known(code.to_owned()))
}

/// The codes that the European Central Bank publishes rates for, and a few that it did.
fn known_code(text: &str) -> Option<&'static str> {
    const CODES: &[&str] = &[
        "USD", "EUR", "GBP", "JPY", "CHF", "NOK", "SEK", "DKK", "CAD", "AUD", "NZD", "HKD", "SGD", "PLN",
        "CZK", "HUF", "CNY", "INR", "IDR", "KRW", "MXN", "PHP", "BRL", "ZAR", "TRY", "THB", "ILS", "MYR",
        "RON", "ISK", "BGN", "HRK", "RUB",
    ];
    CODES.iter().copied().find(|code| text.eq_ignore_ascii_case(code))
}
