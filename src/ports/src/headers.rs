//! Headers of the records that Callboard writes: CloudEvents 1.0 in Kafka binary mode, and W3C trace context.

use callboard_domain::id::ConversationId;
use callboard_domain::request::ReplyTo;

use crate::record::HeaderList;

/// The pool a tool request is meant for.
pub const POOL: &str = "callboard-pool";
pub const TRACEPARENT: &str = "traceparent";
/// The pool of requests without a pool header.
pub const DEFAULT_POOL: &str = "default";

/// `command`, `event`, `request`, `effect` or `chunk`: the middle of `ce_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Command,
    Event,
    Request,
    /// A ledger entry.
    Effect,
    /// A piece of an answer.
    Chunk,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Event => "event",
            Self::Request => "request",
            Self::Effect => "effect",
            Self::Chunk => "chunk",
        }
    }
}

/// CloudEvents attributes of one record: `ce_type` = `io.callboard.FAMILY.NAME.vVERSION`.
#[must_use]
pub fn cloud_event(
    family: Family,
    name: &str,
    version: u32,
    id: &str,
    subject: &ConversationId,
    time: &str,
    traceparent: Option<&str>,
) -> HeaderList {
    let mut headers = HeaderList::default();
    headers.push("ce_specversion", "1.0");
    headers.push("ce_id", id);
    headers.push("ce_source", "/callboard");
    headers.push_text("ce_type", format_args!("io.callboard.{}.{name}.v{version}", family.word()));
    headers.push("ce_subject", subject.as_str());
    headers.push("ce_time", time);
    headers.push("content-type", "application/json");
    if let Some(trace) = traceparent {
        headers.push(TRACEPARENT, trace);
    }
    headers
}

/// `reply_to` as headers, for workers that do not parse the payload first.
pub fn push_reply_to(headers: &mut HeaderList, reply_to: &ReplyTo) {
    headers.push("callboard-reply-topic", &*reply_to.topic);
    headers.push_text("callboard-reply-partition", reply_to.partition);
    headers.push("callboard-reply-key", &*reply_to.key);
}
