//! Pieces of an answer on their way to whoever watches: never the source of truth. The topic `answer-chunks` carries them where
//! the synthesis worker and the conversation's host are different processes.
//!
//! The pieces of one *epoch* make up the beginning of one text. Whoever starts an answer again starts a higher epoch, and what
//! was said in lower ones is void.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::fnv1a;
use crate::time::Millis;

/// One writing of one answer. Of two the higher counts: fields compare in the order in which they stand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Epoch {
    /// The plan version that is answered.
    pub version: u32,
    /// Of the request, from 1.
    pub attempt: u32,
    /// When it began, by the worker's clock: a retry or a takeover begins later.
    pub start_ms: Millis,
    pub worker: Arc<str>,
}

impl Epoch {
    /// A name of fixed form that sorts as epochs do, but for the worker, of which it has a fingerprint.
    #[must_use]
    pub fn name(&self) -> String {
        let worker = fnv1a(&[self.worker.as_bytes()]);
        format!("{:x}-{:x}-{:x}-{:08x}", self.version, self.attempt, self.start_ms.max(0), worker >> 32)
    }
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnswerChunk {
    pub epoch: Epoch,
    /// From 0, without a gap within an epoch.
    pub seq: u64,
    /// Where `text` begins in the answer's UTF-8.
    pub at_byte: u64,
    pub text: Arc<str>,
    /// Nothing follows in this epoch. Not every writer comes to say so.
    pub last: bool,
}

impl AnswerChunk {
    /// The bare name that `type` carries.
    pub const NAME: &'static str = "AnswerChunk";
}

#[cfg(test)]
mod tests {
    use super::Epoch;

    fn epoch(version: u32, attempt: u32, start_ms: i64, worker: &str) -> Epoch {
        Epoch { version, attempt, start_ms, worker: worker.into() }
    }

    #[test]
    fn retries_takeovers_and_later_plans_are_higher() {
        let first = epoch(1, 1, 1_000, "z");
        for higher in [epoch(1, 1, 1_001, "a"), epoch(1, 2, 0, "a"), epoch(2, 1, 0, "a")] {
            assert!(higher > first, "{higher:?}");
            assert_ne!(higher.name(), first.name());
        }
        assert_ne!(epoch(1, 1, 1, "a").name(), epoch(1, 1, 1, "b").name());
    }
}
