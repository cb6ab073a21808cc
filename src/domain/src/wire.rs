//! The wire form of every record: one JSON envelope, decoded once with borrowed fields and a raw payload, then
//! read by (type, version).
//!
//! What is no envelope is unreadable for ever, by the same rule whatever the build: the caller dead-letters
//! it. A whole envelope of an unknown type or a newer version is [`Readable::Unknown`]: in
//! `conversation-events` that blocks its conversation until a build knows it.

mod plain;
mod write;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::chunk::AnswerChunk;
use crate::command::{ApprovalDecision, Asked, Command, InvocationSettleRequest, QueryProblem, UserQuery};
use crate::event::Event;
use crate::id::{CommandId, ConversationId};
use crate::ledger::Entry;
use crate::request::Request;

pub use write::{Stamp, write_chunk, write_command, write_event, write_ledger, write_request};

/// The fields of every record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Envelope<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    pub version: u32,
    #[serde(borrow)]
    pub conversation_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub command_id: Option<Cow<'a, str>>,
    /// RFC 3339, the sender's clock, for display.
    #[serde(borrow)]
    pub at: Cow<'a, str>,
    #[serde(borrow)]
    pub causation_id: Cow<'a, str>,
    /// A JSON object, as it was written.
    #[serde(borrow, deserialize_with = "as_written")]
    pub payload: &'a str,
}

fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    Ok(<&RawValue>::deserialize(deserializer)?.get())
}

/// Why bytes are no readable record; `code` is the dead letter's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("not an envelope: {0}")]
    NotAnEnvelope(String),
    #[error("the envelope's conversation_id {found:?} is not the record's key {key:?}")]
    KeyMismatch { found: String, key: String },
    #[error("{0}")]
    BadId(String),
    #[error("the payload is not that of {kind} version {version}: {problem}")]
    BadPayload { kind: String, version: u32, problem: String },
    #[error("found in partition {found}, expected in {expected}")]
    Misrouted { found: u32, expected: u32 },
    #[error("a {kind} does not belong in this topic")]
    WrongTopic { kind: String },
    #[error("this build does not know {kind} version {version}")]
    UnknownType { kind: String, version: u32 },
}

impl Unreadable {
    /// Stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnEnvelope(_) => "not_an_envelope",
            Self::KeyMismatch { .. } => "key_mismatch",
            Self::BadId(_) => "bad_id",
            Self::BadPayload { .. } => "bad_payload",
            Self::Misrouted { .. } => "misrouted",
            Self::WrongTopic { .. } => "wrong_topic",
            Self::UnknownType { .. } => "unknown_type",
        }
    }
}

/// A whole envelope of `conversation-events`.
#[derive(Debug, Clone, PartialEq)]
pub enum Readable {
    Event(Event),
    /// Unknown type or newer version.
    Unknown {
        kind: Box<str>,
        version: u32,
    },
}

/// An envelope's identity, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub id: Box<str>,
    pub conversation: ConversationId,
    pub command: Option<CommandId>,
}

/// Reads the envelope and checks that it belongs to `key`.
///
/// # Errors
/// [`Unreadable`] when it is less than an envelope; never because of its type or version.
pub fn envelope<'a>(key: &[u8], value: &'a [u8]) -> Result<Envelope<'a>, Unreadable> {
    let envelope = parse(value)?;
    belongs(&envelope, key)?;
    Ok(envelope)
}

fn belongs(envelope: &Envelope<'_>, key: &[u8]) -> Result<(), Unreadable> {
    if envelope.conversation_id.as_bytes() == key {
        return Ok(());
    }
    Err(Unreadable::KeyMismatch {
        found: envelope.conversation_id.chars().take(160).collect(),
        key: String::from_utf8_lossy(key).chars().take(160).collect(),
    })
}

/// The envelope's own rule, whatever its key, type or version: it must never change, or builds would disagree
/// about which records block a conversation. serde reads a JSON array as a struct too, hence the first check.
fn parse(value: &[u8]) -> Result<Envelope<'_>, Unreadable> {
    let wrong = |problem: &str| Unreadable::NotAnEnvelope(problem.into());
    if value.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("it is no JSON object"));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(value).map_err(|e| wrong(&e.to_string()))?;
    if !envelope.payload.starts_with('{') {
        return Err(wrong("its payload is no JSON object"));
    }
    if envelope.version == 0 {
        return Err(wrong("its version is 0; versions count from 1"));
    }
    Ok(envelope)
}

fn meta(envelope: &Envelope<'_>) -> Result<Meta, Unreadable> {
    let bad = |e: crate::id::InvalidId| Unreadable::BadId(e.to_string());
    Ok(Meta {
        id: Box::from(&*envelope.id),
        conversation: ConversationId::new(&envelope.conversation_id).map_err(bad)?,
        command: envelope.command_id.as_deref().map(CommandId::new).transpose().map_err(bad)?,
    })
}

/// The payload as its type.
fn body<'de, T: Deserialize<'de>>(envelope: &Envelope<'de>) -> Result<T, Unreadable> {
    payload(envelope, serde_json::from_str(envelope.payload))
}

fn payload<T>(envelope: &Envelope<'_>, read: Result<T, serde_json::Error>) -> Result<T, Unreadable> {
    read.map_err(|e| Unreadable::BadPayload {
        kind: envelope.kind.to_string(),
        version: envelope.version,
        problem: e.to_string(),
    })
}

/// Reads a record by `read`, which succeeds only where it has read the payload as its type. Nearly every record is one that
/// this crate has written: then it is split without a look at the payload, which is read only once that way. Where that does
/// not come to its end, the rule is asked, from the start, and what it says counts.
fn typed<T>(value: &[u8], read: impl Fn(&Envelope<'_>) -> Result<T, Unreadable>) -> Result<T, Unreadable> {
    match plain::envelope(value).map(|envelope| read(&envelope)) {
        Some(Ok(done)) => Ok(done),
        _ => read(&parse(value)?),
    }
}

/// Reads a record of `conversation-events`.
///
/// # Errors
/// [`Unreadable`]: skipped by every reader, dead-lettered by the owner.
pub fn read_event(key: &[u8], value: &[u8]) -> Result<(Meta, Readable), Unreadable> {
    let known = typed(value, |envelope| {
        belongs(envelope, key)?;
        let meta = meta(envelope)?;
        match envelope.version {
            1 => Event::read_v1(&envelope.kind, envelope.payload),
            _ => None,
        }
        .map_or_else(|| Err(unknown(envelope)), |read| Ok((meta, Readable::Event(payload(envelope, read)?))))
    });
    match known {
        Err(Unreadable::UnknownType { kind, version }) => {
            Ok((meta(&parse(value)?)?, Readable::Unknown { kind: kind.into(), version }))
        }
        read => read,
    }
}

fn unknown(envelope: &Envelope<'_>) -> Unreadable {
    Unreadable::UnknownType { kind: envelope.kind.to_string(), version: envelope.version }
}

/// Reads a record of `user-commands`.
///
/// # Errors
/// [`Unreadable`]; an unknown type is unreadable here, because a command of tomorrow can be redriven.
pub fn read_command(key: &[u8], value: &[u8]) -> Result<(Meta, Asked), Unreadable> {
    typed(value, |envelope| {
        belongs(envelope, key)?;
        let meta = meta(envelope)?;
        let command = command(envelope)?;
        let id = match &meta.command {
            Some(id) => id.clone(),
            None => CommandId::new(&meta.id).map_err(|e| Unreadable::BadId(e.to_string()))?,
        };
        Ok((meta, Asked { id, command }))
    })
}

fn command(envelope: &Envelope<'_>) -> Result<Command, Unreadable> {
    if envelope.version != 1 {
        return Err(unknown(envelope));
    }
    Ok(match &*envelope.kind {
        "UserQueryReceived" => {
            let query: UserQuery = body(envelope)?;
            refuse(envelope, query.problem())?;
            Command::UserQueryReceived(query)
        }
        "UserHistoryReset" => Command::UserHistoryReset(body(envelope)?),
        "PlanCancelRequested" => Command::PlanCancelRequested(body(envelope)?),
        "InvocationSettleRequested" => {
            let request: InvocationSettleRequest = body(envelope)?;
            refuse(envelope, request.problem())?;
            Command::InvocationSettleRequested(request)
        }
        "ApprovalGiven" => {
            let decision: ApprovalDecision = body(envelope)?;
            refuse(envelope, decision.problem())?;
            Command::ApprovalGiven(decision)
        }
        "RetryNowRequested" => Command::RetryNowRequested(body(envelope)?),
        _ => return Err(unknown(envelope)),
    })
}

fn refuse(envelope: &Envelope<'_>, problem: Option<QueryProblem>) -> Result<(), Unreadable> {
    match problem {
        None => Ok(()),
        Some(problem) => Err(Unreadable::BadPayload {
            kind: envelope.kind.to_string(),
            version: envelope.version,
            problem: problem.to_string(),
        }),
    }
}

/// Reads a record of a request topic. The key of a tool request is its effect id, so that only the envelope's
/// own conversation id is believed here.
///
/// # Errors
/// [`Unreadable`].
pub fn read_request(value: &[u8]) -> Result<(Meta, Request), Unreadable> {
    typed(value, |envelope| {
        let meta = meta(envelope)?;
        let request = match (&*envelope.kind, envelope.version) {
            ("ToolInvocationRequested", 1) => Request::ToolInvocationRequested(body(envelope)?),
            ("ToolInvocationCancelled", 1) => Request::ToolInvocationCancelled(body(envelope)?),
            ("SynthesizeFinalAnswerRequested", 1) => Request::SynthesizeFinalAnswerRequested(body(envelope)?),
            _ => return Err(unknown(envelope)),
        };
        Ok((meta, request))
    })
}

/// Reads a record of `tool-effects`.
///
/// # Errors
/// [`Unreadable`]: skipped by every reader.
pub fn read_ledger(value: &[u8]) -> Result<(Meta, Entry), Unreadable> {
    typed(value, |envelope| {
        let meta = meta(envelope)?;
        let entry = match (&*envelope.kind, envelope.version) {
            ("EffectReserved", 1) => Entry::EffectReserved(body(envelope)?),
            ("EffectCommitted", 1) => Entry::EffectCommitted(body(envelope)?),
            _ => return Err(unknown(envelope)),
        };
        Ok((meta, entry))
    })
}

/// Reads a record of `answer-chunks`.
///
/// # Errors
/// [`Unreadable`]: skipped by every reader.
pub fn read_chunk(value: &[u8]) -> Result<(Meta, AnswerChunk), Unreadable> {
    typed(value, |envelope| match (&*envelope.kind, envelope.version) {
        (AnswerChunk::NAME, 1) => Ok((meta(envelope)?, body(envelope)?)),
        _ => Err(unknown(envelope)),
    })
}
