//! The wire form of every record: one JSON envelope, decoded once with borrowed fields and a raw payload, then
//! read by (type, version).
//!
//! What is no envelope is unreadable for ever, by the same rule whatever the build: the caller dead-letters
//! it. A whole envelope of an unknown type or a newer version is [`Readable::Unknown`]: in
//! `conversation-events` that blocks its conversation until a build knows it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chunk::AnswerChunk;
use crate::command::{ApprovalDecision, Asked, Command, InvocationSettleRequest, QueryProblem, UserQuery};
use crate::event::Event;
use crate::id::{CommandId, ConversationId};
use crate::ledger::Entry;
use crate::request::Request;

/// The fields of every record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    pub version: u32,
    #[serde(borrow)]
    pub conversation_id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<Cow<'a, str>>,
    /// RFC 3339, the sender's clock, for display.
    #[serde(borrow)]
    pub at: Cow<'a, str>,
    #[serde(borrow)]
    pub causation_id: Cow<'a, str>,
    #[serde(borrow)]
    pub payload: &'a RawValue,
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
    if envelope.conversation_id.as_bytes() != key {
        return Err(Unreadable::KeyMismatch {
            found: envelope.conversation_id.chars().take(160).collect(),
            key: String::from_utf8_lossy(key).chars().take(160).collect(),
        });
    }
    Ok(envelope)
}

/// The envelope's own rule, whatever its key, type or version: it must never change, or builds would disagree
/// about which records block a conversation. serde reads a JSON array as a struct too, hence the first check.
fn parse(value: &[u8]) -> Result<Envelope<'_>, Unreadable> {
    let wrong = |problem: &str| Unreadable::NotAnEnvelope(problem.into());
    if value.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("it is no JSON object"));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(value).map_err(|e| wrong(&e.to_string()))?;
    if !envelope.payload.get().starts_with('{') {
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

fn payload<T>(envelope: &Envelope<'_>, read: Result<T, serde_json::Error>) -> Result<T, Unreadable> {
    read.map_err(|e| Unreadable::BadPayload {
        kind: envelope.kind.to_string(),
        version: envelope.version,
        problem: e.to_string(),
    })
}

/// Reads a record of `conversation-events`.
///
/// # Errors
/// [`Unreadable`]: skipped by every reader, dead-lettered by the owner.
pub fn read_event(key: &[u8], value: &[u8]) -> Result<(Meta, Readable), Unreadable> {
    let envelope = envelope(key, value)?;
    let meta = meta(&envelope)?;
    let known =
        if envelope.version == 1 { Event::read_v1(&envelope.kind, envelope.payload.get()) } else { None };
    let readable = match known {
        Some(read) => Readable::Event(payload(&envelope, read)?),
        None => Readable::Unknown { kind: Box::from(&*envelope.kind), version: envelope.version },
    };
    Ok((meta, readable))
}

/// Reads a record of `user-commands`.
///
/// # Errors
/// [`Unreadable`]; an unknown type is unreadable here, because a command of tomorrow can be redriven.
pub fn read_command(key: &[u8], value: &[u8]) -> Result<(Meta, Asked), Unreadable> {
    let envelope = envelope(key, value)?;
    let meta = meta(&envelope)?;
    let text = envelope.payload.get();
    let unknown = || Unreadable::UnknownType { kind: envelope.kind.to_string(), version: envelope.version };
    if envelope.version != 1 {
        return Err(unknown());
    }
    let command = match &*envelope.kind {
        "UserQueryReceived" => Command::UserQueryReceived(query(&envelope)?),
        "UserHistoryReset" => Command::UserHistoryReset(payload(&envelope, serde_json::from_str(text))?),
        "PlanCancelRequested" => {
            Command::PlanCancelRequested(payload(&envelope, serde_json::from_str(text))?)
        }
        "InvocationSettleRequested" => {
            let request: InvocationSettleRequest = payload(&envelope, serde_json::from_str(text))?;
            refuse(&envelope, request.problem())?;
            Command::InvocationSettleRequested(request)
        }
        "ApprovalGiven" => {
            let decision: ApprovalDecision = payload(&envelope, serde_json::from_str(text))?;
            refuse(&envelope, decision.problem())?;
            Command::ApprovalGiven(decision)
        }
        "RetryNowRequested" => Command::RetryNowRequested(payload(&envelope, serde_json::from_str(text))?),
        _ => return Err(unknown()),
    };
    let id = match &meta.command {
        Some(id) => id.clone(),
        None => CommandId::new(&meta.id).map_err(|e| Unreadable::BadId(e.to_string()))?,
    };
    Ok((meta, Asked { id, command }))
}

fn query(envelope: &Envelope<'_>) -> Result<UserQuery, Unreadable> {
    let query: UserQuery = payload(envelope, serde_json::from_str(envelope.payload.get()))?;
    refuse(envelope, query.problem())?;
    Ok(query)
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
    let envelope = parse(value)?;
    let meta = meta(&envelope)?;
    let text = envelope.payload.get();
    let request = match (&*envelope.kind, envelope.version) {
        ("ToolInvocationRequested", 1) => {
            Request::ToolInvocationRequested(payload(&envelope, serde_json::from_str(text))?)
        }
        ("ToolInvocationCancelled", 1) => {
            Request::ToolInvocationCancelled(payload(&envelope, serde_json::from_str(text))?)
        }
        ("SynthesizeFinalAnswerRequested", 1) => {
            Request::SynthesizeFinalAnswerRequested(payload(&envelope, serde_json::from_str(text))?)
        }
        _ => {
            return Err(Unreadable::UnknownType {
                kind: envelope.kind.to_string(),
                version: envelope.version,
            });
        }
    };
    Ok((meta, request))
}

/// Reads a record of `tool-effects`.
///
/// # Errors
/// [`Unreadable`]: skipped by every reader.
pub fn read_ledger(value: &[u8]) -> Result<(Meta, Entry), Unreadable> {
    let envelope = parse(value)?;
    let meta = meta(&envelope)?;
    let text = envelope.payload.get();
    let entry = match (&*envelope.kind, envelope.version) {
        ("EffectReserved", 1) => Entry::EffectReserved(payload(&envelope, serde_json::from_str(text))?),
        ("EffectCommitted", 1) => Entry::EffectCommitted(payload(&envelope, serde_json::from_str(text))?),
        (kind, version) => return Err(Unreadable::UnknownType { kind: kind.to_owned(), version }),
    };
    Ok((meta, entry))
}

/// Reads a record of `answer-chunks`.
///
/// # Errors
/// [`Unreadable`]: skipped by every reader.
pub fn read_chunk(value: &[u8]) -> Result<(Meta, AnswerChunk), Unreadable> {
    let envelope = parse(value)?;
    let meta = meta(&envelope)?;
    match (&*envelope.kind, envelope.version) {
        (AnswerChunk::NAME, 1) => {
            Ok((meta, payload(&envelope, serde_json::from_str(envelope.payload.get()))?))
        }
        (kind, version) => Err(Unreadable::UnknownType { kind: kind.to_owned(), version }),
    }
}

/// What is common to a record about to be written.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    pub id: &'a str,
    pub conversation: &'a ConversationId,
    pub command: Option<&'a CommandId>,
    /// RFC 3339.
    pub at: &'a str,
    pub causation_id: &'a str,
}

fn write<T: Serialize>(
    stamp: Stamp<'_>,
    kind: &str,
    version: u32,
    body: &T,
) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Written<'a, T> {
        id: &'a str,
        r#type: &'a str,
        version: u32,
        conversation_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        command_id: Option<&'a str>,
        at: &'a str,
        causation_id: &'a str,
        payload: &'a T,
    }
    serde_json::to_vec(&Written {
        id: stamp.id,
        r#type: kind,
        version,
        conversation_id: stamp.conversation.as_str(),
        command_id: stamp.command.map(CommandId::as_str),
        at: stamp.at,
        causation_id: stamp.causation_id,
        payload: body,
    })
}

/// Writes an event's record value.
///
/// # Errors
/// Never for values built through this crate.
pub fn write_event(stamp: Stamp<'_>, event: &Event) -> Result<Vec<u8>, serde_json::Error> {
    macro_rules! each {
        ($($name:ident)*) => {
            match event { $(Event::$name(body) => write(stamp, event.name(), event.version(), body)),* }
        };
    }
    each!(UserQueryReceived PlanGenerated ToolInvocationResulted ToolInvocationInDoubt InvocationSettled
        RetryAdvanced ApprovalRequested ApprovalRecorded DeadlineExpired PlanFailed PlanCancelled FinalAnswerSynthesized
        UserHistoryReset CommandRefused)
}

/// Writes a command's record value.
///
/// # Errors
/// Never for values built through this crate.
pub fn write_command(stamp: Stamp<'_>, command: &Command) -> Result<Vec<u8>, serde_json::Error> {
    let (kind, version) = (command.name(), command.version());
    match command {
        Command::UserQueryReceived(body) => write(stamp, kind, version, body),
        Command::UserHistoryReset(body) => write(stamp, kind, version, body),
        Command::PlanCancelRequested(body) => write(stamp, kind, version, body),
        Command::InvocationSettleRequested(body) => write(stamp, kind, version, body),
        Command::ApprovalGiven(body) => write(stamp, kind, version, body),
        Command::RetryNowRequested(body) => write(stamp, kind, version, body),
    }
}

/// Writes a request's record value.
///
/// # Errors
/// Never for values built through this crate.
pub fn write_request(stamp: Stamp<'_>, request: &Request) -> Result<Vec<u8>, serde_json::Error> {
    match request {
        Request::ToolInvocationRequested(body) => write(stamp, request.name(), 1, body),
        Request::ToolInvocationCancelled(body) => write(stamp, request.name(), 1, body),
        Request::SynthesizeFinalAnswerRequested(body) => write(stamp, request.name(), 1, body),
    }
}

/// Writes a ledger entry's record value.
///
/// # Errors
/// Never for values built through this crate.
pub fn write_ledger(stamp: Stamp<'_>, entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    match entry {
        Entry::EffectReserved(body) => write(stamp, entry.name(), 1, body),
        Entry::EffectCommitted(body) => write(stamp, entry.name(), 1, body),
    }
}

/// Writes the record value of a piece of an answer.
///
/// # Errors
/// Never for values built through this crate.
pub fn write_chunk(stamp: Stamp<'_>, chunk: &AnswerChunk) -> Result<Vec<u8>, serde_json::Error> {
    write(stamp, AnswerChunk::NAME, 1, chunk)
}
