//! Records as this build writes them: the envelope's fields in one order, which `plain` relies on, and the payload last.

use serde::Serialize;

use crate::chunk::AnswerChunk;
use crate::command::Command;
use crate::event::Event;
use crate::id::{CommandId, ConversationId};
use crate::ledger::Entry;
use crate::request::Request;

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
