//! Dead letters: the original bytes, with why and where from in the headers; and the marks of those that were redriven.

use std::str::FromStr;

use bytes::Bytes;

use crate::headers::{POOL, TRACEPARENT};
use crate::record::{HeaderList, NewRecord, Record, Topic};

/// The header that makes a record a dead letter: where its original lies.
pub const LETTER_ID: &str = "callboard-dlq-id";
pub const LETTER_REASON: &str = "callboard-dlq-reason";
pub const LETTER_DETAIL: &str = "callboard-dlq-detail";
pub const LETTER_ATTEMPT: &str = "callboard-dlq-attempt";
/// On a record that was appended again: the dead letter that it came from.
pub const REDRIVE_OF: &str = "callboard-redrive-of";
/// The header that makes a record of `dead-letter-queue` a mark: the letter of this id was redriven.
pub const REDRIVEN: &str = "callboard-dlq-redriven";
pub const REDRIVEN_BY: &str = "callboard-dlq-redriven-by";
pub const REDRIVEN_AT: &str = "callboard-dlq-redriven-at";
/// Where the redriven record lies now.
pub const REDRIVEN_AS: &str = "callboard-dlq-redriven-as";

/// Why a record was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Stable code, `not_an_envelope` for example.
    pub code: &'a str,
    /// One sentence.
    pub detail: &'a str,
    pub attempt: u32,
}

/// The identity of a dead letter: where its original lies. Reads `TOPIC:PARTITION:OFFSET`, the topic without prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    pub topic: Topic,
    pub partition: u32,
    pub offset: u64,
}

/// A text that names no dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no id of a dead letter; it reads TOPIC:PARTITION:OFFSET, as `dlq list` shows it")]
pub struct InvalidLetterId(String);

impl LetterId {
    /// The place of a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self { topic: record.topic, partition: record.partition, offset: record.offset }
    }
}

impl std::fmt::Display for LetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = InvalidLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidLetterId> {
        let read = || {
            let (rest, offset) = text.rsplit_once(':')?;
            let (topic, partition) = rest.rsplit_once(':')?;
            let topic = Topic::named(topic)?;
            Some(Self { topic, partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        };
        read().ok_or_else(|| InvalidLetterId(text.chars().take(160).collect()))
    }
}

/// The identity of a dead letter: where its original lies.
#[must_use]
pub fn id(topic: Topic, partition: u32, offset: u64) -> String {
    LetterId { topic, partition, offset }.to_string()
}

/// The record that preserves `original` in `dead-letter-queue`, in partition `partition`.
#[must_use]
pub fn dead_letter(original: &Record, reason: &Reason<'_>, partition: u32) -> NewRecord {
    /// Words of a reason: enough to act on.
    const MAX_DETAIL_BYTES: usize = 1_024;
    /// Half of what key and headers may take together.
    const MAX_KEY_BYTES: usize = 32 * 1_024;
    /// A W3C `traceparent` has 55 bytes, a pool's name and a letter's id fewer than 100; the rest is for versions to come.
    const MAX_KEPT_BYTES: usize = 512;
    /// What redriving needs when the original has expired, and where a letter that came back came from.
    const KEPT: [&str; 3] = [TRACEPARENT, POOL, REDRIVE_OF];
    let detail = &reason.detail[..reason.detail.floor_char_boundary(MAX_DETAIL_BYTES)];
    let mut headers = HeaderList::default();
    headers.push_text(LETTER_ID, LetterId::of(original));
    headers.push(LETTER_REASON, reason.code);
    headers.push(LETTER_DETAIL, detail);
    headers.push("callboard-dlq-topic", original.topic.name());
    headers.push_text("callboard-dlq-partition", original.partition);
    headers.push_text("callboard-dlq-offset", original.offset);
    headers.push_text(LETTER_ATTEMPT, reason.attempt);
    // A letter must always fit, whatever the original was: a foreign key or trace of any length is cut, not refused.
    for name in KEPT {
        if let Some(value) = original.headers.get(name).filter(|value| value.len() <= MAX_KEPT_BYTES) {
            headers.push(name, value);
        }
    }
    NewRecord {
        topic: Topic::DeadLetterQueue,
        partition,
        key: original.key.slice(..original.key.len().min(MAX_KEY_BYTES)),
        headers: headers.into(),
        value: original.value.slice(..original.value.len().min(Topic::DeadLetterQueue.max_value_bytes())),
    }
}

/// The record that marks `letter` as redriven: in the letter's partition, with its key. Nothing is changed in a log, so that this
/// is how a letter is known to be done with.
#[must_use]
pub fn redriven(letter: &Record, id: LetterId, by: &str, at: &str, now_lies_at: LetterId) -> NewRecord {
    let mut headers = HeaderList::default();
    headers.push_text(REDRIVEN, id);
    headers.push(REDRIVEN_BY, by);
    headers.push(REDRIVEN_AT, at);
    headers.push_text(REDRIVEN_AS, now_lies_at);
    NewRecord {
        topic: Topic::DeadLetterQueue,
        partition: letter.partition,
        key: letter.key.clone(),
        headers: headers.into(),
        value: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{LETTER_ID, LetterId, REDRIVEN, Reason, dead_letter, redriven};
    use crate::headers::{POOL, TRACEPARENT};
    use crate::record::{Record, Topic};

    fn original() -> Record {
        Record {
            topic: Topic::ToolInvocationRequests,
            partition: 3,
            offset: 42,
            timestamp_ms: 0,
            key: Bytes::from_static(b"k"),
            headers: [("ce_id", "x"), (POOL, "slow"), (TRACEPARENT, &"t".repeat(600))].into_iter().collect(),
            value: Bytes::from_static(b"v"),
        }
    }

    #[test]
    fn a_letter_keeps_the_pool_and_nothing_that_might_not_fit() {
        let letter = dead_letter(&original(), &Reason { code: "poison", detail: "d", attempt: 3 }, 3);
        assert_eq!(letter.headers.get(POOL), Some(&b"slow"[..]));
        assert_eq!(letter.headers.get(LETTER_ID), Some(&b"tool-invocation-requests:3:42"[..]));
        assert_eq!(letter.headers.get(TRACEPARENT), None, "a trace of 600 bytes is none");
    }

    #[test]
    fn ids_read_back_and_nothing_else_does() {
        let id = LetterId::of(&original());
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "user-commands", "user-commands:1", "user-commands:1:x", "nowhere:1:2", ":1:2"] {
            assert!(wrong.parse::<LetterId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mark_lies_beside_its_letter() {
        let letter = Record { topic: Topic::DeadLetterQueue, partition: 5, ..original() };
        let id = LetterId::of(&original());
        let mark = redriven(&letter, id, "anna", "now", LetterId { offset: 50, ..id });
        assert_eq!((mark.partition, mark.key.as_ref()), (5, &b"k"[..]));
        assert_eq!(mark.headers.get(REDRIVEN), Some(id.to_string().as_bytes()));
    }
}
