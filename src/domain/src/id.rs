//! Identifiers: what names a conversation, a command (and so a turn), a step and an effect.
//!
//! Every id is validated where it enters; inside the domain an id is always well formed. The neighbours are
//! `wire` (reads ids from records) and `effect` (keys outstanding work by them).

use std::fmt;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{MAX_ID_BYTES, MAX_STEP_ID_BYTES};

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("{what} is empty; it needs 1 to {max} characters")]
    Empty { what: &'static str, max: usize },
    #[error("{what} has {found} bytes; at most {max} are allowed")]
    TooLong { what: &'static str, found: usize, max: usize },
    #[error("{what} contains {found:?}; allowed are {allowed}")]
    Character { what: &'static str, found: char, allowed: &'static str },
    #[error(
        "{what} is `.` or `..`, which means another place in a URL; any other name of [A-Za-z0-9._-] will do"
    )]
    Dots { what: &'static str },
    #[error("{0:?} is no effect id; it reads CONVERSATION:COMMAND:VERSION:STEP")]
    Effect(String),
}

fn check(
    text: &str,
    what: &'static str,
    max: usize,
    allowed: &'static str,
    ok: fn(char) -> bool,
) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty { what, max });
    }
    if text.len() > max {
        return Err(InvalidId::TooLong { what, found: text.len(), max });
    }
    if text == "." || text == ".." {
        // As a part of a URL it means another place.
        return Err(InvalidId::Dots { what });
    }
    match text.chars().find(|c| !ok(*c)) {
        Some(found) => Err(InvalidId::Character { what, found, allowed }),
        None => Ok(()),
    }
}

fn name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn step_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Reads an id straight from the input's text: decoding records is the hot path, so no `String` in between.
struct Text<T> {
    what: &'static str,
    read: fn(&str) -> Result<T, InvalidId>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string that is a {}", self.what)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $allowed:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates `text`.
            ///
            /// # Errors
            /// [`InvalidId`] names the rule that was broken.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                check(text, $what, $max, $allowed, $ok)?;
                Ok(Self(Arc::from(text)))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text { what: $what, read: Self::new })
            }
        }
    };
}

text_id!(
    /// Names a conversation; the key of its records, 1–128 of `[A-Za-z0-9._-]`.
    ConversationId, "conversation_id", MAX_ID_BYTES, "[A-Za-z0-9._-]", name_character
);
text_id!(
    /// Names a command. A turn *is* the id of the command that asked for it. 1–128 of `[A-Za-z0-9._-]`.
    CommandId, "command_id", MAX_ID_BYTES, "[A-Za-z0-9._-]", name_character
);
text_id!(
    /// Names a step inside one plan version, 1–64 of `[A-Za-z0-9_-]` (no dot: references use it).
    StepId, "step id", MAX_STEP_ID_BYTES, "[A-Za-z0-9_-]", step_character
);

/// Names one effect of one plan step, whatever the attempt: the key of requests and of the dedup, and the
/// idempotency key handed to tools. Reads `CONVERSATION:COMMAND:VERSION:STEP`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectId {
    pub conversation: ConversationId,
    pub command: CommandId,
    /// Plan version, from 1.
    pub version: u32,
    pub step: StepId,
}

impl EffectId {
    /// The invocation id of one attempt (from 1) at this effect: `EFFECT#ATTEMPT`.
    #[must_use]
    pub fn invocation(&self, attempt: u32) -> String {
        format!("{self}#{attempt}")
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.conversation, self.command, self.version, self.step)
    }
}

impl std::str::FromStr for EffectId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId::Effect(text.chars().take(400).collect());
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or_else(wrong);
        let id = Self {
            conversation: ConversationId::new(next()?)?,
            command: CommandId::new(next()?)?,
            version: next()?.parse().map_err(|_| wrong())?,
            step: StepId::new(next()?)?,
        };
        if parts.next().is_some() { Err(wrong()) } else { Ok(id) }
    }
}

impl Serialize for EffectId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EffectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text { what: "effect id", read: str::parse })
    }
}

/// FNV-1a, 64 bit (Fowler, Noll, Vo): spreads jitter and fingerprints bodies. Not for adversaries.
#[must_use]
pub fn fnv1a(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain(std::iter::once(&0xff)) {
            hash ^= u64::from(*byte);
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}
