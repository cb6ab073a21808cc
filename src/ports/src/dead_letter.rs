//! Dead letters: the original bytes, with why and where from in the headers.

use crate::headers::TRACEPARENT;
use crate::record::{Header, NewRecord, Record, Topic};

/// Why a record was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Stable code, `not_an_envelope` for example.
    pub code: &'a str,
    /// One sentence.
    pub detail: &'a str,
    pub attempt: u32,
}

/// The identity of a dead letter: where its original lies.
#[must_use]
pub fn id(topic: Topic, partition: u32, offset: u64) -> String {
    format!("{topic}:{partition}:{offset}")
}

/// The record that preserves `original` in `dead-letter-queue`, in partition `partition`.
#[must_use]
pub fn dead_letter(original: &Record, reason: &Reason<'_>, partition: u32) -> NewRecord {
    /// Words of a reason: enough to act on.
    const MAX_DETAIL_BYTES: usize = 1_024;
    /// Half of what key and headers may take together.
    const MAX_KEY_BYTES: usize = 32 * 1_024;
    /// A W3C `traceparent` has 55 bytes; the rest is for versions to come.
    const MAX_TRACE_BYTES: usize = 512;
    let detail = &reason.detail[..reason.detail.floor_char_boundary(MAX_DETAIL_BYTES)];
    let mut headers = vec![
        Header::new("callboard-dlq-id", id(original.topic, original.partition, original.offset)),
        Header::new("callboard-dlq-reason", reason.code.to_owned()),
        Header::new("callboard-dlq-detail", detail.to_owned()),
        Header::new("callboard-dlq-topic", original.topic.name()),
        Header::new("callboard-dlq-partition", original.partition.to_string()),
        Header::new("callboard-dlq-offset", original.offset.to_string()),
        Header::new("callboard-dlq-attempt", reason.attempt.to_string()),
    ];
    // A letter must always fit, whatever the original was: a foreign key or trace of any length is cut, not refused.
    headers.extend(
        original
            .headers
            .iter()
            .find(|h| &*h.name == TRACEPARENT && h.value.len() <= MAX_TRACE_BYTES)
            .cloned(),
    );
    NewRecord {
        topic: Topic::DeadLetterQueue,
        partition,
        key: original.key.slice(..original.key.len().min(MAX_KEY_BYTES)),
        headers,
        value: original.value.slice(..original.value.len().min(Topic::DeadLetterQueue.max_value_bytes())),
    }
}
