//! Sending a command: appended to `user-commands`, and acknowledged before anybody is told that it was taken.

use std::time::Duration;

use actix_web::HttpRequest;
use callboard_domain::command::Command;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::headers::{self, Family};
use callboard_ports::log::AppendError;
use callboard_ports::{NewRecord, Topic};
use sha2::{Digest, Sha256};

use super::api::Running;
use super::problem::Problem;
use crate::compare::hex;

/// A log that is there answers in milliseconds, a fail-over included in a few seconds. After this the client hears
/// that nobody knows, and may ask again with its key, although the append may still succeed.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// Keys are UUIDs or hashes; 255 is the usual bound of services that take them.
const MAX_KEY_BYTES: usize = 255;

/// What a request is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub conversation: ConversationId,
    pub command: CommandId,
    /// Whether the client can say the same thing again.
    pub keyed: bool,
}

/// The `Idempotency-Key`, as written or as a quoted string.
///
/// # Errors
/// 400 when it is empty, too long or not printable ASCII.
pub fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let wrong = |detail: &str| {
        let problem = Problem::bad_request("invalid_idempotency_key", detail);
        problem.field("Idempotency-Key").limit(MAX_KEY_BYTES)
    };
    let text = value.to_str().map_err(|_| wrong("it has characters that are not printable ASCII"))?.trim();
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    if text.len() > MAX_KEY_BYTES {
        return Err(wrong(&format!("it has {} characters; at most {MAX_KEY_BYTES} are allowed", text.len())));
    }
    Ok(Some(text.to_owned()))
}

/// SHA-256 over parts that cannot run into each other.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// Conversation and command of a request: named, derived from the key, or new. `verb` keeps apart what is asked
/// with one key: a cancellation must not be taken for the message that it cancels.
///
/// # Errors
/// 400 for a conversation id that is none.
pub fn identity(
    running: &Running,
    named: Option<&str>,
    key: Option<&str>,
    principal: &str,
    verb: &str,
) -> Result<Identity, Problem> {
    let conversation = match (named, key) {
        (Some(named), _) => ConversationId::new(named)?,
        (None, Some(key)) => {
            let hash = digest(&["conversation", principal, key]);
            let id =
                uuid::Builder::from_custom_bytes(hash[..16].try_into().expect("16 of 32 bytes")).into_uuid();
            ConversationId::new(&id.to_string())?
        }
        (None, None) => ConversationId::new(&running.entropy.new_id())?,
    };
    let command = match key {
        Some(key) => CommandId::new(&hex(&digest(&[verb, conversation.as_str(), key])))?,
        None => CommandId::new(&running.entropy.new_id())?,
    };
    Ok(Identity { conversation, command, keyed: key.is_some() })
}

/// A trace to go on with, if the client sent a well-formed one (W3C `traceparent`, version 00).
#[must_use]
pub fn traceparent(request: &HttpRequest) -> Option<String> {
    let text = request.headers().get(headers::TRACEPARENT)?.to_str().ok()?;
    let well_formed = text.len() == 55
        && text.starts_with("00-")
        && text.split('-').map(str::len).eq([2, 32, 16, 2])
        && text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    well_formed.then(|| text.to_owned())
}

/// Appends a command and waits until it is durable.
///
/// # Errors
/// 429 when the log's queue is full, 503 when it is closed or when nobody knows whether it took it.
pub async fn command(
    running: &Running,
    identity: &Identity,
    command: &Command,
    traceparent: Option<&str>,
) -> Result<(), Problem> {
    let (id, at) = (running.entropy.new_id(), rfc3339(running.clock.now_ms()));
    let stamp = Stamp {
        id: &id,
        conversation: &identity.conversation,
        command: Some(&identity.command),
        at: &at,
        causation_id: &id,
    };
    let value = wire::write_command(stamp, command).map_err(|error| {
        tracing::error!(%error, "a command cannot be written");
        Problem::internal()
    })?;
    let (name, version) = (command.name(), command.version());
    let record = NewRecord {
        topic: Topic::UserCommands,
        partition: running.node.partition_of(&identity.conversation),
        key: identity.conversation.as_str().to_owned().into(),
        headers: headers::cloud_event(
            Family::Command,
            name,
            version,
            &id,
            &identity.conversation,
            &at,
            traceparent,
        )
        .into(),
        value: value.into(),
    };
    let receipt = running.log.append(vec![record])?;
    let unknown = |why: &str| Problem::from(AppendError::Unknown(why.to_owned()));
    match tokio::time::timeout(ACKNOWLEDGED_WITHIN, receipt).await {
        Ok(Ok(outcome)) => outcome.map(|_| ()).map_err(Problem::from),
        Ok(Err(_)) => Err(unknown("the log went away")),
        Err(_) => Err(unknown("the log did not answer in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::{digest, idempotency_key, traceparent};
    use actix_web::test::TestRequest;

    #[test]
    fn keys_come_plain_or_quoted_and_within_bounds() {
        let of = |key: &str| {
            idempotency_key(&TestRequest::default().insert_header(("Idempotency-Key", key)).to_http_request())
        };
        assert_eq!(of("\"k-1\"").unwrap().as_deref(), Some("k-1"));
        assert_eq!(of("k-1").unwrap().as_deref(), Some("k-1"));
        assert!(of("").is_err());
        assert!(of(&"k".repeat(256)).is_err());
        assert_eq!(idempotency_key(&TestRequest::default().to_http_request()).unwrap(), None);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }

    #[test]
    fn only_a_well_formed_trace_goes_on() {
        let of = |text: &str| {
            traceparent(&TestRequest::default().insert_header(("traceparent", text)).to_http_request())
        };
        assert!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_some());
        assert!(of("00-xyz").is_none());
    }
}
