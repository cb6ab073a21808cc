//! Commands: what is asked of a conversation. Each yields exactly one event (`decide`).
//!
//! | command | asks | yields |
//! |---|---|---|
//! | UserQueryReceived | a new turn | UserQueryReceived |
//! | UserHistoryReset | forget the context, cancel what is open | UserHistoryReset |
//! | PlanCancelRequested | end the named turn | PlanCancelled or CommandRefused |
//! | InvocationSettleRequested | say what came of a step in doubt | InvocationSettled or CommandRefused |
//! | ApprovalGiven | let a step in, as planned or with other arguments, or turn it away | ApprovalRecorded or CommandRefused |
//! | RetryNowRequested | end a step's back-off | RetryAdvanced or CommandRefused |

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Approval, Settlement};
use crate::id::{CommandId, EffectId, fnv1a};
use crate::json::RawJson;
use crate::limits::{
    MAX_AGENT_BYTES, MAX_ARGUMENTS_BYTES, MAX_ERROR_BYTES, MAX_HISTORY_BYTES, MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES, MAX_PRINCIPAL_BYTES, MAX_RESULT_BYTES, MAX_SEED_EXCHANGES, MAX_WRITTEN_MESSAGE_BYTES,
};
use crate::request::Exchange;

/// A user's question. Only `message` is required, so that a foreign client can write it by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    pub message: Arc<str>,
    #[serde(default = "default_agent")]
    pub agent: Arc<str>,
    #[serde(default)]
    pub principal: Option<Arc<str>>,
    #[serde(default)]
    pub metadata: Option<RawJson>,
    /// What was said before, oldest first, where that was elsewhere: context of a conversation that begins with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<Exchange>>,
}

/// The agent that answers when none is named.
#[must_use]
pub fn default_agent() -> Arc<str> {
    Arc::from("default")
}

/// What is wrong with a question: the field and a sentence with the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct QueryProblem {
    pub field: &'static str,
    pub message: String,
}

impl UserQuery {
    /// The first rule that the question breaks. The gateway refuses by it before anything is written, and
    /// reading the command from the log refuses by it again, because anybody may write there.
    #[must_use]
    pub fn problem(&self) -> Option<QueryProblem> {
        let problem = |field, message| Some(QueryProblem { field, message });
        if self.message.trim().is_empty() {
            return problem("message", "it is empty; a question needs at least one visible character".into());
        }
        if let Some(message) = beyond(self.message.len(), MAX_MESSAGE_BYTES) {
            return problem("message", message);
        }
        let written = written_bytes(&self.message);
        if written > MAX_WRITTEN_MESSAGE_BYTES {
            let why =
                format!("it takes {written} bytes as JSON; at most {MAX_WRITTEN_MESSAGE_BYTES} fit a record");
            return problem("message", why);
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.agent.is_empty() || self.agent.len() > MAX_AGENT_BYTES || !self.agent.chars().all(named) {
            return problem("agent", format!("an agent's name is 1 to {MAX_AGENT_BYTES} of [A-Za-z0-9._-]"));
        }
        if let Some(message) = beyond(self.principal.as_ref().map_or(0, |p| p.len()), MAX_PRINCIPAL_BYTES) {
            return problem("principal", message);
        }
        if let Some(message) = self.history.as_ref().and_then(|history| too_much(&self.message, history)) {
            return problem("history", message);
        }
        let metadata = self.metadata.as_ref()?;
        if !metadata.as_str().starts_with('{') {
            return problem("metadata", "it is no JSON object".into());
        }
        beyond(metadata.len_bytes(), MAX_METADATA_BYTES)
            .map(|message| QueryProblem { field: "metadata", message })
    }

    /// Fingerprint of everything that makes two requests with one idempotency key the same request.
    #[must_use]
    pub fn body_hash(&self) -> u64 {
        let metadata = self.metadata.as_ref().map_or("", RawJson::as_str);
        let mut parts = vec![self.message.as_bytes(), self.agent.as_bytes(), metadata.as_bytes()];
        for exchange in self.history.iter().flatten() {
            parts.push(exchange.message.as_bytes());
            parts.push(exchange.answer.as_ref().map_or(b"", |answer| answer.as_bytes()));
        }
        fnv1a(&parts)
    }
}

/// Why `history` cannot go along with `message`.
fn too_much(message: &str, history: &[Exchange]) -> Option<String> {
    let texts = || {
        history.iter().flat_map(|exchange| [Some(&*exchange.message), exchange.answer.as_deref()]).flatten()
    };
    if let Some(problem) = beyond(texts().map(str::len).sum(), MAX_HISTORY_BYTES) {
        return Some(problem);
    }
    if history.len() > MAX_SEED_EXCHANGES {
        return Some(format!("it has {} exchanges; at most {MAX_SEED_EXCHANGES} are allowed", history.len()));
    }
    let written = written_bytes(message) + texts().map(written_bytes).sum::<usize>();
    (written > MAX_WRITTEN_MESSAGE_BYTES).then(|| {
        format!("with the message it takes {written} bytes as JSON; at most {MAX_WRITTEN_MESSAGE_BYTES} fit a record")
    })
}

fn beyond(bytes: usize, max: usize) -> Option<String> {
    (bytes > max).then(|| format!("it has {bytes} bytes; at most {max} are allowed"))
}

/// Bytes of `text` as a JSON string: control characters take up to six each.
fn written_bytes(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(of).sum::<usize>()
}

/// Ends the turn whose command id is `turn_command_id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanCancelRequest {
    pub turn_command_id: CommandId,
    #[serde(default)]
    pub by: Option<Arc<str>>,
    #[serde(default)]
    pub reason: Option<Arc<str>>,
}

/// Clears the context of later turns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HistoryReset {
    #[serde(default)]
    pub by: Option<Arc<str>>,
}

/// Says what came of a step in doubt: done, with this result, or not done, to be run again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InvocationSettleRequest {
    pub effect_id: EffectId,
    /// The attempt that whoever says so has looked at: a word on an earlier one settles nothing. Without it, whichever is in
    /// doubt when the command is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    pub settlement: Settlement,
    /// Who says so.
    pub by: Arc<str>,
    #[serde(default)]
    pub why: Option<Arc<str>>,
}

impl InvocationSettleRequest {
    /// The first rule that the request breaks.
    #[must_use]
    pub fn problem(&self) -> Option<QueryProblem> {
        let problem = |field, message| Some(QueryProblem { field, message });
        if self.by.trim().is_empty() {
            return problem("by", "it is empty; say who settles it".into());
        }
        if let Some(message) = beyond(self.by.len(), MAX_PRINCIPAL_BYTES) {
            return problem("by", message);
        }
        if let Some(message) = beyond(self.why.as_ref().map_or(0, |why| why.len()), MAX_ERROR_BYTES) {
            return problem("why", message);
        }
        let Settlement::Done(result) = &self.settlement else { return None };
        beyond(result.len_bytes(), MAX_RESULT_BYTES)
            .map(|message| QueryProblem { field: "settlement", message })
    }
}

/// A person's word on a step that waits for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalDecision {
    pub effect_id: EffectId,
    pub decision: Approval,
    /// Whose word it is.
    pub by: Arc<str>,
    #[serde(default)]
    pub reason: Option<Arc<str>>,
}

impl ApprovalDecision {
    /// The first rule that it breaks, whatever it is about.
    #[must_use]
    pub fn problem(&self) -> Option<QueryProblem> {
        let problem = |field, message| Some(QueryProblem { field, message });
        if self.by.trim().is_empty() {
            return problem("by", "it is empty; say who decides".into());
        }
        if let Some(message) = beyond(self.by.len(), MAX_PRINCIPAL_BYTES) {
            return problem("by", message);
        }
        if let Some(message) = beyond(self.reason.as_ref().map_or(0, |reason| reason.len()), MAX_ERROR_BYTES)
        {
            return problem("reason", message);
        }
        let Approval::ApprovedWith(arguments) = &self.decision else { return None };
        if !arguments.as_str().starts_with('{') {
            return problem("arguments", "they are no JSON object".into());
        }
        beyond(arguments.len_bytes(), MAX_ARGUMENTS_BYTES)
            .map(|message| QueryProblem { field: "arguments", message })
    }
}

/// Ends the back-off of a step, so that its next attempt starts now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RetryNowRequest {
    pub effect_id: EffectId,
    #[serde(default)]
    pub by: Option<Arc<str>>,
}

/// What can be asked of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    UserQueryReceived(UserQuery),
    UserHistoryReset(HistoryReset),
    PlanCancelRequested(PlanCancelRequest),
    InvocationSettleRequested(InvocationSettleRequest),
    ApprovalGiven(ApprovalDecision),
    RetryNowRequested(RetryNowRequest),
}

impl Command {
    /// The bare name that `type` carries.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UserQueryReceived(_) => "UserQueryReceived",
            Self::UserHistoryReset(_) => "UserHistoryReset",
            Self::PlanCancelRequested(_) => "PlanCancelRequested",
            Self::InvocationSettleRequested(_) => "InvocationSettleRequested",
            Self::ApprovalGiven(_) => "ApprovalGiven",
            Self::RetryNowRequested(_) => "RetryNowRequested",
        }
    }

    /// Newest payload version written by this build.
    #[must_use]
    pub fn version(&self) -> u32 {
        1
    }
}

/// A command with its identity, as the host decides it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The command's id: the envelope's `command_id`, or its `id` where that is missing.
    pub id: CommandId,
    pub command: Command,
}
