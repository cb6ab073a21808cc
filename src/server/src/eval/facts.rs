//! Facts that an answer should have: texts, and numbers however many more decimals the answer gives.
//!
//! Part of a question in [`super::suite`]; [`super::score`] looks for them.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::expected::{number, plain};

/// A fact; of several ways to say it one is enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact(Vec<Said>);

#[derive(Debug, Clone, PartialEq)]
enum Said {
    Text(String),
    /// The value, and half of the last decimal that was written.
    Number {
        text: String,
        value: f64,
        within: f64,
    },
}

impl Fact {
    /// Whether `answer` says it.
    pub fn is_in(&self, answer: &str) -> bool {
        let (text, numbers) = (plain(&without_marks(answer)), numbers(answer));
        self.0.iter().any(|said| match said {
            Said::Text(words) => text.contains(&plain(words)),
            Said::Number { value, within, .. } => {
                numbers.iter().any(|number| (number - value).abs() <= *within)
            }
        })
    }
}

impl std::fmt::Display for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<&str> = self
            .0
            .iter()
            .map(|said| match said {
                Said::Text(text) | Said::Number { text, .. } => text.as_str(),
            })
            .collect();
        f.write_str(&words.join(" or "))
    }
}

/// Without the marks of Markdown inside a line.
fn without_marks(text: &str) -> String {
    text.replace(['*', '`'], "").replace('’', "'")
}

/// Every number in a text; commas group thousands.
fn numbers(text: &str) -> Vec<f64> {
    let text = text.replace('−', "-");
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(|c: char| c.is_ascii_digit()).map(|at| from + at) {
        // After a letter or a digit it is a hyphen.
        let before = text[..start].strip_suffix('-');
        let minus = before.is_some_and(|before| !before.ends_with(char::is_alphanumeric));
        let end = text[start..].find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ','));
        let end = end.map_or(text.len(), |end| start + end);
        let written = text[start..end].trim_end_matches(['.', ',']);
        let values = match number(written) {
            Some(value) => vec![value],
            // "1,5 and 2" or "1.2.3": its parts.
            None => written.split([',', '.']).filter_map(number).collect(),
        };
        found.extend(values.into_iter().map(|value| if minus { -value } else { value }));
        from = end;
    }
    found
}

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong =
            || D::Error::custom("a fact is a text, a number, or a list of these, any of which is right");
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Array(ways) if !ways.is_empty() => {
                ways.iter().map(said).collect::<Option<Vec<_>>>().map(Self).ok_or_else(wrong)
            }
            one => said(&one).map(|said| Self(vec![said])).ok_or_else(wrong),
        }
    }
}

fn said(written: &toml::Value) -> Option<Said> {
    let text = match written {
        toml::Value::String(text) => text.trim().to_owned(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        _ => return None,
    };
    if text.is_empty() {
        return None;
    }
    let Some(value) = number(&text) else { return Some(Said::Text(text)) };
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let decimals = i32::try_from(decimals).unwrap_or(i32::MAX);
    // A hair more than half, for the numbers that lie exactly between two.
    Some(Said::Number { text, value, within: 0.5 * 10_f64.powi(-decimals) * (1.0 + 1e-9) })
}

#[cfg(test)]
mod tests {
    use super::{Fact, numbers};

    fn fact(toml: &str) -> Fact {
        #[derive(serde::Deserialize)]
        struct File {
            a: Fact,
        }
        toml::from_str::<File>(&format!("a = {toml}")).unwrap().a
    }

    #[test]
    fn numbers_are_found_in_prose() {
        assert_eq!(
            numbers("It is −3.5 °C, 1,234.50 in all (2026-11-20)."),
            [-3.5, 1234.5, 2026.0, 11.0, 20.0]
        );
        assert_eq!(numbers("v1.2.3 costs 5."), [1.0, 2.0, 3.0, 5.0]);
        assert_eq!(numbers("none"), Vec::<f64>::new());
    }

    #[test]
    fn a_number_may_have_more_decimals_and_a_text_other_letters_in_size() {
        for (wanted, answer) in [
            ("\"397.8\"", "17% of 2340 is **397.80**."),
            ("19.3", "12 miles = 19.312128 km"),
            ("\"2,457.8\"", "2457.80 EUR"),
            ("[\"cannot\", \"can't\"]", "I can’t know that."),
            ("\"11.5 °C\"", "In Oslo it is 11.5\u{a0}°C."),
            ("110", "It is 110.4"),
        ] {
            assert!(fact(wanted).is_in(answer), "{wanted} is in {answer}");
        }
        for (wanted, answer) in [
            ("\"397.8\"", "It is 397.9"),
            ("19.31", "about 19.3"),
            ("42", "It is 420"),
            ("\"Oslo\"", "In Bergen"),
            ("-5", "It is 5"),
        ] {
            assert!(!fact(wanted).is_in(answer), "{wanted} is not in {answer}");
        }
        assert_eq!(fact("[\"a\", 3]").to_string(), "a or 3");
    }
}
