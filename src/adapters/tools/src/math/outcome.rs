//! Reads the evaluator's words: `approx. 14.1421356237` becomes a text, a number, and the mark that it was rounded.
//!
//! The last step of [`super::Math`].

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use serde::Serialize;
use serde_json::Number;

/// A factorial of a few thousand is a fair question; a longer number is of no use to anybody.
const MAX_RESULT_BYTES: usize = 16 * 1024;

#[derive(Serialize)]
struct Evaluated<'a> {
    expression: &'a str,
    result: &'a str,
    value: Option<Number>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    approximate: bool,
}

/// The tool's result for what the evaluator `said`.
pub(super) fn read(expression: &str, said: &str) -> Result<RawJson, ToolError> {
    let said = said.trim();
    if said.len() > MAX_RESULT_BYTES {
        let message = format!("the result has {} digits; at most {MAX_RESULT_BYTES} are allowed", said.len());
        return Err(ToolError::new("result_too_large", message, false));
    }
    if said.is_empty() || said.contains('\n') {
        let message = "the expression has no single value; write one that has a number as its result";
        return Err(ToolError::new("invalid_arguments", message, false));
    }
    let (result, approximate) = match said.strip_prefix("approx.") {
        Some(rest) => (rest.trim(), true),
        None => (said, false),
    };
    let outcome = Evaluated { expression, result, value: leading_number(result), approximate };
    RawJson::of(&outcome).map_err(|error| ToolError::new("internal", error.to_string(), false))
}

/// The number of `19.312128 km`; none where there is more than one, or none.
fn leading_number(text: &str) -> Option<Number> {
    let digits_end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*c == '-' && *at == 0)))
        .map_or(text.len(), |(at, _)| at);
    let (number, unit) = text.split_at(digits_end);
    // `1/3`, `2 + 3i`, `5 feet 10 inches`, `0x1f` and `1e5` are not one plain number with a unit.
    let plain_unit = unit.is_empty()
        || unit.starts_with(['%', '°', '\'', '"'])
        || unit.strip_prefix(' ').is_some_and(|unit| {
            unit.starts_with(|c: char| c.is_alphabetic() || c == '°')
                && !unit.split(' ').any(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        });
    if !plain_unit {
        return None;
    }
    if let Ok(whole) = number.parse::<i64>() {
        return Some(whole.into());
    }
    Number::from_f64(number.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::{leading_number, read};

    #[test]
    fn numbers_are_read_with_and_without_units() {
        let number = |text| leading_number(text).map(|number| number.to_string());
        assert_eq!(number("397.8").as_deref(), Some("397.8"));
        assert_eq!(number("-12").as_deref(), Some("-12"));
        assert_eq!(number("19.312128 km").as_deref(), Some("19.312128"));
        assert_eq!(number("17%").as_deref(), Some("17"));
        assert_eq!(number("9.8 m / s^2").as_deref(), Some("9.8"));
        for none in ["true", "1/3", "2 + 3i", "5 feet 10 inches", "0x1f", "", "km", "-"] {
            assert_eq!(number(none), None, "{none}");
        }
    }

    #[test]
    fn rounding_is_said_and_endless_results_are_refused() {
        let result = read("sqrt(2)*10", "approx. 14.1421356237").unwrap().to_value();
        assert_eq!(result["result"], "14.1421356237");
        assert_eq!(result["approximate"], true);
        assert_eq!(&*read("x", &"9".repeat(20_000)).unwrap_err().kind, "result_too_large");
        assert_eq!(&*read("x", "a\nb").unwrap_err().kind, "invalid_arguments");
    }
}
