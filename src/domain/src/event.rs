//! Events: what happened, the only things that change a conversation's state.
//!
//! Payload types are written explicitly (no skipped fields, no untagged or internally tagged enums), because
//! the same types live inside snapshots in a compact binary form. Their wire form is pinned by golden files.
//!
//! `model` holds what plans and answers say of the models behind them, `approval` what is said about approvals.

mod approval;
mod model;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{CommandId, StepId};
use crate::json::RawJson;
use crate::limits::MAX_ERROR_BYTES;
use crate::plan::{PlanReason, PlannedStep, Then};
use crate::request::Exchange;

pub use approval::{Approval, ApprovalRecorded, ApprovalRequested, ApprovalTimeout};
pub use model::{Author, FailedCall, ModelCalls};

/// The limits of one turn, fixed when it is accepted: the fold never reads configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TurnLimits {
    pub planning_timeout_ms: u64,
    pub synthesis_timeout_ms: u64,
    /// Runs from the moment when the turn becomes the running one.
    pub turn_timeout_ms: u64,
    pub max_rounds: u32,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            planning_timeout_ms: 120_000,
            synthesis_timeout_ms: 180_000,
            turn_timeout_ms: 600_000,
            max_rounds: 4,
        }
    }
}

/// A turn was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserQueryReceived {
    pub message: Arc<str>,
    pub agent: Arc<str>,
    pub principal: Option<Arc<str>>,
    pub metadata: Option<RawJson>,
    /// [`UserQuery::body_hash`](crate::command::UserQuery::body_hash) as 16 hex digits.
    #[serde(with = "hex64")]
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = "^[0-9a-f]{16}$")))]
    pub body_hash: u64,
    pub limits: TurnLimits,
    /// Tokens that the conversation may use, all its turns together. Absent: as many as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<u64>,
    /// What was said before, elsewhere: context where this begins its conversation. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<Exchange>>,
}

/// A plan version came to be. Build one with [`plan::validate`](crate::plan::validate).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanGenerated {
    /// From 1 within the turn.
    pub version: u32,
    pub reason: PlanReason,
    pub planner: Author,
    pub steps: Vec<PlannedStep>,
    pub then: Then,
    /// The planner's word to whoever writes the answer ("small talk", "cannot be planned: …").
    pub guidance: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Box<ModelCalls>>,
    /// Of the steps that need approval. Absent for a step: a week.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalTimeout>,
}

impl PlanGenerated {
    /// Tokens that it cost.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        model::tokens(&self.planner, self.models.as_deref())
    }
}

/// Why an invocation failed; `kind` is a stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolError {
    /// `timeout`, `unavailable`, `invalid_arguments`, `not_found`, `refused`, `result_too_large`, `no_worker`,
    /// `cancelled`, `panicked`, `unresolved_reference`, `internal`, `bad_response`, `unknown_tool`, `expired`,
    /// `breaker_open`, `poison`, `claim_missed`, `not_done`, `too_many_doubts`, `rejected`, `approval_timeout`. A tool alone says `in_doubt`
    /// (it cannot tell whether it took effect): workers turn that into ToolInvocationInDoubt.
    pub kind: Arc<str>,
    pub message: Arc<str>,
    pub retryable: bool,
}

impl ToolError {
    #[must_use]
    pub fn new(kind: &str, message: impl AsRef<str>, retryable: bool) -> Self {
        Self { kind: Arc::from(kind), message: Arc::from(clip(message.as_ref())), retryable }
    }

    /// A tool's word that it cannot tell whether the attempt took effect: a lost connection after sending.
    #[must_use]
    pub fn in_doubt(message: impl AsRef<str>) -> Self {
        Self::new(IN_DOUBT, message, false)
    }

    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        &*self.kind == IN_DOUBT
    }

    /// As the state keeps it: a foreign worker's words may be longer than any of ours.
    #[must_use]
    pub(crate) fn bounded(&self) -> Self {
        if self.message.len() <= MAX_ERROR_BYTES && self.kind.len() <= MAX_ERROR_BYTES {
            return self.clone();
        }
        Self::new(clip(&self.kind), &self.message, self.retryable)
    }
}

const IN_DOUBT: &str = "in_doubt";

/// Cuts an error's words at a character boundary so that they fit their bound.
pub(crate) fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR_BYTES)]
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok(RawJson),
    Error(ToolError),
}

/// A worker finished an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolInvocationResulted {
    pub version: u32,
    pub step: StepId,
    /// From 1.
    pub attempt: u32,
    pub outcome: Outcome,
    pub worker: Arc<str>,
    /// The worker's own clock, RFC 3339, for display only.
    pub started_at: Arc<str>,
    pub finished_at: Arc<str>,
}

/// Nobody knows whether an attempt took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolInvocationInDoubt {
    pub version: u32,
    pub step: StepId,
    pub attempt: u32,
    pub reason: Arc<str>,
}

/// What a probe or a person found out about an attempt in doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    Done(RawJson),
    NotDone,
}

/// A doubt was resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InvocationSettled {
    pub version: u32,
    pub step: StepId,
    pub attempt: u32,
    pub settlement: Settlement,
    pub by: Arc<str>,
    pub why: Option<Arc<str>>,
    pub settle_command: Option<CommandId>,
}

/// A step's back-off was ended by hand: `attempt` may start now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RetryAdvanced {
    pub version: u32,
    pub step: StepId,
    pub attempt: u32,
    pub by: Option<Arc<str>>,
    pub retry_command: Option<CommandId>,
}

/// A step's deadline passed without a result, or, with attempt 0, without its approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeadlineExpired {
    pub version: u32,
    pub step: StepId,
    pub attempt: u32,
}

/// Why a turn failed; `code` is stable and the last part of the problem's type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TurnError {
    /// `planning_timeout`, `synthesis_timeout`, `turn_timeout`, `step_failed`, `queue_full`, `no_plan`, `plan_too_large`,
    /// `too_many_doubts`, `token_budget`.
    pub code: Arc<str>,
    pub message: Arc<str>,
}

impl TurnError {
    #[must_use]
    pub fn new(code: &str, message: impl AsRef<str>) -> Self {
        Self { code: Arc::from(code), message: Arc::from(clip(message.as_ref())) }
    }

    /// As the state keeps it, whoever wrote it.
    #[must_use]
    pub(crate) fn bounded(&self) -> Self {
        if self.message.len() <= MAX_ERROR_BYTES && self.code.len() <= MAX_ERROR_BYTES {
            return self.clone();
        }
        Self::new(clip(&self.code), &self.message)
    }
}

/// Terminal: the turn failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanFailed {
    pub error: TurnError,
    /// The plan version that did not come: void where it did, first in the log. `None`: the turn is over in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_version: Option<u32>,
}

impl PlanFailed {
    /// The turn fails in any case.
    #[must_use]
    pub fn of(error: TurnError) -> Self {
        Self { error, missing_version: None }
    }
}

/// Terminal: the turn was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanCancelled {
    pub by: Option<Arc<str>>,
    pub reason: Option<Arc<str>>,
    /// The command that asked for it; null when a history reset did.
    pub cancel_command: Option<CommandId>,
}

/// Terminal: the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FinalAnswerSynthesized {
    /// The plan version that was answered.
    pub version: u32,
    pub answer: Arc<str>,
    pub synthesizer: Author,
    pub worker: Arc<str>,
    pub started_at: Arc<str>,
    pub finished_at: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Box<ModelCalls>>,
}

impl FinalAnswerSynthesized {
    /// Tokens that it cost.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        model::tokens(&self.synthesizer, self.models.as_deref())
    }
}

/// The context was cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserHistoryReset {
    pub by: Option<Arc<str>>,
}

/// A command came too late or asked for what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandRefused {
    pub command_type: Arc<str>,
    /// `turn_not_open`, `unknown_turn`, `unknown_effect`, `not_in_doubt`, `not_in_backoff`, `not_awaiting_approval`,
    /// `unknown_tool`, `invalid_arguments`.
    pub code: Arc<str>,
    pub message: Arc<str>,
}

macro_rules! events {
    ($($name:ident),* $(,)?) => {
        /// What happened. Turn-scoped events carry the turn's command id in their envelope; UserHistoryReset
        /// and CommandRefused carry the id of the command that they answer.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event { $($name($name)),* }

        impl Event {
            /// Every type's bare name.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The bare name that `type` carries.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name)),* }
            }

            /// Newest payload version written by this build.
            #[must_use]
            pub fn version(&self) -> u32 { 1 }

            /// Reads version 1 of the type `name`; `None` when this build does not know the type.
            pub(crate) fn read_v1(name: &str, payload: &str) -> Option<Result<Self, serde_json::Error>> {
                match name {
                    $(stringify!($name) => Some(serde_json::from_str(payload).map(Self::$name)),)*
                    _ => None,
                }
            }

            /// The payload as JSON.
            ///
            /// # Errors
            /// Never for values built through this crate; a payload that cannot be written is a defect.
            pub fn payload(&self) -> Result<RawJson, serde_json::Error> {
                match self { $(Self::$name(body) => RawJson::of(body)),* }
            }
        }
    };
}

events!(
    UserQueryReceived,
    PlanGenerated,
    ToolInvocationResulted,
    ToolInvocationInDoubt,
    InvocationSettled,
    RetryAdvanced,
    ApprovalRequested,
    ApprovalRecorded,
    DeadlineExpired,
    PlanFailed,
    PlanCancelled,
    FinalAnswerSynthesized,
    UserHistoryReset,
    CommandRefused,
);

impl Event {
    /// Whether it ends a turn.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::FinalAnswerSynthesized(_) | Self::PlanFailed(_) | Self::PlanCancelled(_))
    }
}

/// A 64-bit fingerprint as 16 hex digits: JSON numbers lose bits beyond 2^53 in most readers.
mod hex64 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}
