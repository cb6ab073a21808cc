//! A text that must not be seen: a token on its way from the configuration into a server's environment or headers.
//!
//! [`crate::config`] reads it; `stdio` and `http` spend it; [`Masks`] keeps it out of what a server says.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// A secret; prints and serialises as `(set)`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(set)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(set)")
    }
}

/// Shorter values ("1", "true") are settings rather than secrets, and hiding them would garble every other word.
const MIN_MASKED_BYTES: usize = 6;

/// The secrets of one server, to be hidden wherever it repeats them: in log lines, errors and results alike.
#[derive(Clone, Default)]
pub(crate) struct Masks(Arc<[Secret]>);

impl Masks {
    pub fn of(secrets: impl Iterator<Item = Secret>) -> Self {
        Self(secrets.filter(|secret| secret.0.len() >= MIN_MASKED_BYTES).collect())
    }

    /// `text` with every secret replaced.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| match text.contains(&secret.0) {
            true => text.replace(&secret.0, "(secret)"),
            false => text,
        })
    }

    /// `value` with every secret replaced in every text of it.
    pub fn hide_in(&self, value: Value) -> Value {
        if self.0.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value))).collect()
            }
            other => other,
        }
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Masks, Secret};

    #[test]
    fn what_a_server_repeats_of_its_secrets_is_hidden() {
        let masks = Masks::of(["sk-12345", "on"].into_iter().map(Secret::new));
        assert_eq!(masks.hide("the key sk-12345 is on"), "the key (secret) is on");
        let said = serde_json::json!({ "sk-12345": ["a sk-12345", 1, null] });
        assert_eq!(masks.hide_in(said), serde_json::json!({ "(secret)": ["a (secret)", 1, null] }));
        assert!(!format!("{masks:?} {:?}", Secret::new("sk-12345")).contains("sk-1"));
    }
}
