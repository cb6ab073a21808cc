//! A text that must not be seen: an API key on its way from the configuration to a request.
//!
//! [`crate::config`] reads it, [`crate::openai`] spends it; nothing can print or serialise it.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

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

    /// `text` without this secret, wherever a server repeats it.
    pub(crate) fn struck_out_of(&self, text: &str) -> String {
        let secret = self.0.trim();
        if secret.is_empty() { text.to_owned() } else { text.replace(secret, "(secret)") }
    }

    /// An empty or blank key is no key.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
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
