//! Query parameters, read one by one, so that every refusal names the parameter and what would be right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use actix_web::{HttpRequest, web};

use super::instant::{INSTANTS, LENGTHS, instant_ms, length_ms};
use super::problem::Problem;

/// The parameters of a request that are set; an empty value is not.
#[derive(Debug, Default)]
pub struct Parameters(BTreeMap<String, String>);

/// A parameter that cannot be read.
fn wrong(name: &str, found: &str, right: &str) -> Problem {
    let found: String = found.chars().take(64).collect();
    Problem::bad_request("invalid_parameter", format!("{name}: {found:?} is not {right}")).field(name)
}

impl Parameters {
    /// # Errors
    /// 400 for a parameter that is not among `known`, or comes twice.
    pub fn of(request: &HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|e| Problem::bad_request("invalid_query", e.to_string()))?;
        let mut all = BTreeMap::new();
        for (name, value) in pairs.into_inner() {
            let shown: String = name.chars().take(64).collect();
            if !known.contains(&name.as_str()) {
                let detail = format!("there is no parameter {shown:?}; known are {}", known.join(", "));
                return Err(Problem::bad_request("unknown_parameter", detail).field(&shown));
            }
            if all.insert(name, value).is_some() {
                let detail = format!("the parameter {shown:?} is set twice");
                return Err(Problem::bad_request("invalid_parameter", detail).field(&shown));
            }
        }
        all.retain(|_, value: &mut String| !value.is_empty());
        Ok(Self(all))
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A value that `read` understands; `right` says what it understands.
    ///
    /// # Errors
    /// 400.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        right: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| wrong(name, &text, right))
    }

    /// # Errors
    /// 400 naming the allowed values.
    pub fn one_of<T: Copy>(&mut self, name: &str, values: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        let right = format!("one of {}", names.join(", "));
        self.parsed(name, &right, |text| {
            values.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
        })
    }

    /// # Errors
    /// 400 naming the bounds.
    pub fn number(&mut self, name: &str, bounds: RangeInclusive<usize>) -> Result<Option<usize>, Problem> {
        let right = format!("a number from {} to {}", bounds.start(), bounds.end());
        self.parsed(name, &right, |text| text.parse().ok().filter(|number| bounds.contains(number)))
    }

    /// # Errors
    /// 400.
    pub fn length_ms(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        self.parsed(name, LENGTHS, length_ms)
    }

    /// # Errors
    /// 400.
    pub fn instant_ms(&mut self, name: &str, now_ms: i64) -> Result<Option<i64>, Problem> {
        self.parsed(name, INSTANTS, |text| instant_ms(text, now_ms))
    }
}
