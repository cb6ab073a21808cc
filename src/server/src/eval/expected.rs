//! What an argument should be, and whether it is: tolerant of how a value is written, not of what it says.
//!
//! Part of a step in [`super::suite`]; [`super::score`] compares. Expressions are [`super::expression`]'s to judge.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::expression::Lens;

/// Numbers that differ by less than this part of themselves are the same: 1e-6 is finer than any figure asked for.
const RELATIVE: f64 = 1e-6;

/// An expected value.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    Anything,
    OneOf(Vec<Expected>),
    /// A text with all of these words in it.
    Contains(Vec<String>),
    Text(String),
    Number(f64),
    Switch(bool),
    /// In any order.
    List(Vec<Expected>),
    Object(BTreeMap<String, Expected>),
}

impl Expected {
    /// Whether `actual` says the same, seen through `lens`.
    pub fn is(&self, actual: &Value, lens: &Lens<'_>) -> bool {
        match (self, actual) {
            (Self::Anything, _) => true,
            (Self::OneOf(choices), _) => choices.iter().any(|choice| choice.is(actual, lens)),
            (Self::Contains(words), Value::String(text)) => {
                let text = plain(text);
                words.iter().all(|word| text.contains(&plain(word)))
            }
            (Self::Text(expected), Value::String(text)) => lens.same(expected, text),
            (Self::Text(expected), Value::Number(number)) => lens.same(expected, &number.to_string()),
            (Self::Number(expected), Value::Number(number)) => {
                number.as_f64().is_some_and(|number| close(*expected, number))
            }
            (Self::Number(expected), Value::String(text)) => {
                number(text).is_some_and(|number| close(*expected, number))
            }
            (Self::Switch(expected), Value::Bool(actual)) => expected == actual,
            (Self::List(expected), Value::Array(actual)) => same_members(expected, actual, lens),
            // One member needs no list around it.
            (Self::List(expected), other) => matches!(&expected[..], [only] if only.is(other, lens)),
            (Self::Object(expected), Value::Object(actual)) => expected
                .iter()
                .all(|(name, expected)| actual.get(name).is_some_and(|actual| expected.is(actual, lens))),
            (expected, Value::Array(only)) => matches!(&only[..], [only] if expected.is(only, lens)),
            _ => false,
        }
    }
}

fn same_members(expected: &[Expected], actual: &[Value], lens: &Lens<'_>) -> bool {
    let mut left: Vec<&Value> = actual.iter().collect();
    let all_found = expected.iter().all(|expected| {
        let found = left.iter().position(|actual| expected.is(actual, lens));
        found.map(|at| left.remove(at)).is_some()
    });
    all_found && left.is_empty()
}

/// Without regard to case and white space.
pub fn plain(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text that is a number, with or without commas between thousands.
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace('−', "-");
    let whole = text.split('.').next()?;
    let grouped = whole.split(',').skip(1).all(|group| group.len() == 3) && !whole.starts_with(',');
    let digits = if grouped { text.replace(',', "") } else { text };
    digits.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether two numbers are the same but for how they are rounded in a computer.
pub fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= RELATIVE * a.abs().max(b.abs())
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        of(toml::Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn of(written: toml::Value) -> Result<Expected, String> {
    Ok(match written {
        toml::Value::String(text) => Expected::Text(text),
        #[allow(
            clippy::cast_precision_loss,
            reason = "an argument of more than 2^53 is compared to 16 digits"
        )]
        toml::Value::Integer(number) => Expected::Number(number as f64),
        toml::Value::Float(number) => Expected::Number(number),
        toml::Value::Boolean(switch) => Expected::Switch(switch),
        toml::Value::Datetime(date) => Expected::Text(date.to_string()),
        toml::Value::Array(members) => Expected::List(members.into_iter().map(of).collect::<Result<_, _>>()?),
        toml::Value::Table(table) => table_of(table)?,
    })
}

/// `{ one_of = […] }`, `{ contains = […] }` and `{ anything = true }` say how to compare; any other table is one.
fn table_of(table: toml::Table) -> Result<Expected, String> {
    let single = if table.len() == 1 { table.iter().next() } else { None };
    Ok(match single.map(|(name, value)| (name.as_str(), value)) {
        Some(("one_of", toml::Value::Array(choices))) if !choices.is_empty() => {
            Expected::OneOf(choices.iter().cloned().map(of).collect::<Result<_, _>>()?)
        }
        Some(("one_of", _)) => return Err("one_of takes a list of values, any of which is right".to_owned()),
        Some(("contains", toml::Value::String(word))) => Expected::Contains(vec![word.clone()]),
        Some(("contains", toml::Value::Array(words))) if words.iter().all(toml::Value::is_str) => {
            Expected::Contains(words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect())
        }
        Some(("contains", _)) => return Err("contains takes a text, or a list of texts".to_owned()),
        Some(("anything", toml::Value::Boolean(true))) => Expected::Anything,
        Some(("anything", _)) => return Err("anything takes true".to_owned()),
        _ => {
            let members = table.into_iter().map(|(name, value)| Ok((name, of(value)?)));
            Expected::Object(members.collect::<Result<_, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Expected, number};
    use crate::eval::expression::Lens;

    fn expected(toml: &str) -> Expected {
        #[derive(serde::Deserialize)]
        struct File {
            a: Expected,
        }
        toml::from_str::<File>(&format!("a = {toml}")).unwrap().a
    }

    #[test]
    fn a_value_may_be_written_in_another_way_but_not_say_another_thing() {
        let same = [
            ("120", json!(120.0)),
            ("120", json!("120")),
            ("1250.5", json!("1,250.50")),
            ("\"120\"", json!(120)),
            ("\"New York\"", json!(" new  york")),
            ("true", json!(true)),
            ("[\"a\", \"b\"]", json!(["B", "A"])),
            ("[\"a\"]", json!("a")),
            ("\"a\"", json!(["a"])),
            ("{ one_of = [\"km\", \"kilometers\"] }", json!("Kilometers")),
            (
                "{ contains = [\"retention\", \"events\"] }",
                json!("What is the retention of conversation-events?"),
            ),
            ("{ anything = true }", Value::Null),
            ("{ x = 1 }", json!({"x": 1, "y": 2})),
        ];
        for (wanted, actual) in same {
            assert!(expected(wanted).is(&actual, &Lens::default()), "{wanted} is {actual}");
        }
        let other = [
            ("120", json!(121)),
            ("120", json!("a hundred and twenty")),
            ("\"Oslo\"", json!("Oslo, Norway")),
            ("true", json!("true")),
            ("[\"a\", \"b\"]", json!(["a"])),
            ("[\"a\"]", json!(["a", "a"])),
            ("{ contains = \"events\" }", json!("event")),
            ("{ x = 1 }", json!({"y": 1})),
            ("\"\"", Value::Null),
        ];
        for (wanted, actual) in other {
            assert!(!expected(wanted).is(&actual, &Lens::default()), "{wanted} is not {actual}");
        }
    }

    #[test]
    fn commas_group_thousands_and_nothing_else() {
        assert_eq!(number("1,234,567.5"), Some(1_234_567.5));
        assert_eq!(number("−3"), Some(-3.0));
        for none in ["1,5", "1,2345", ",123", "", "3 km", "inf", "NaN"] {
            assert_eq!(number(none), None, "{none:?}");
        }
    }
}
