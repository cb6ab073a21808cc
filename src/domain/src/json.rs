//! `RawJson`: JSON kept exactly as it was written, so that arguments and results survive every hop unchanged.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// One JSON value as text, cheap to clone.
#[derive(Clone)]
pub struct RawJson(Arc<RawValue>);

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl RawJson {
    /// Parses and keeps `text` as written.
    ///
    /// # Errors
    /// When `text` is not one JSON value.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self(Arc::from(serde_json::from_str::<Box<RawValue>>(text)?)))
    }

    /// The text of `value`.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> Self {
        Self::of(value).expect("the keys of a tree are strings")
    }

    /// Serialises any value.
    ///
    /// # Errors
    /// When `value` refuses to serialise (a map with keys that are no strings, for example).
    pub fn of<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self(Arc::from(to_raw_value(value)?)))
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(Arc::from(RawValue::NULL.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.as_str().len()
    }

    /// The parsed tree. A number too large for `f64` or nesting beyond serde_json's 128 levels gives `Null`.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(self.as_str()).unwrap_or_default()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.serialize_str(self.as_str())
        }
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Ok(Self(Arc::from(Box::<RawValue>::deserialize(deserializer)?)))
        } else {
            // Written by ourselves from a valid value; checked again because a store can rot.
            let text = <&str>::deserialize(deserializer)?;
            Self::parse(text).map_err(serde::de::Error::custom)
        }
    }
}
