//! Requests: what the host asks of workers. They are derivable from `conversation-events` at any time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Outcome, ToolError};
use crate::id::{EffectId, StepId};
use crate::json::RawJson;
use crate::plan::EffectClass;

/// Where a result goes. Also sent as headers, so that a worker in another language needs no partitioner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplyTo {
    pub topic: Arc<str>,
    pub partition: u32,
    pub key: Arc<str>,
}

/// Run one attempt of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolInvocationRequested {
    pub effect_id: EffectId,
    /// From 1.
    pub attempt: u32,
    pub tool: Arc<str>,
    /// References resolved.
    pub arguments: RawJson,
    pub effect: EffectClass,
    pub timeout_ms: u64,
    /// Not to be started later than this instant (epoch milliseconds, the log's clock).
    pub not_after_ms: i64,
    pub reply_to: ReplyTo,
}

/// Drop the named attempt: its turn has ended without it. Same key as the request that it takes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolInvocationCancelled {
    pub effect_id: EffectId,
    /// The attempt that may be under way, and with it all earlier ones.
    pub attempt: u32,
    pub tool: Arc<str>,
    pub effect: EffectClass,
    /// Nothing of this step may start after this instant (epoch milliseconds, the log's clock): what has
    /// not been seen by then need not be remembered.
    pub not_after_ms: i64,
    pub reply_to: ReplyTo,
}

/// A step as the synthesizer and the planner see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepReport {
    pub version: u32,
    pub id: StepId,
    pub tool: Arc<str>,
    pub arguments: RawJson,
    /// `null` where the step was skipped.
    pub outcome: Option<Outcome>,
}

impl StepReport {
    #[must_use]
    pub fn result(&self) -> Option<&RawJson> {
        match &self.outcome {
            Some(Outcome::Ok(result)) => Some(result),
            _ => None,
        }
    }

    #[must_use]
    pub fn error(&self) -> Option<&ToolError> {
        match &self.outcome {
            Some(Outcome::Error(error)) => Some(error),
            _ => None,
        }
    }
}

/// An earlier exchange, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exchange {
    pub message: Arc<str>,
    pub answer: Option<Arc<str>>,
}

/// Write the answer of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SynthesizeFinalAnswerRequested {
    /// The plan version that is answered.
    pub version: u32,
    pub message: Arc<str>,
    pub agent: Arc<str>,
    pub guidance: Option<Arc<str>>,
    pub steps: Vec<StepReport>,
    pub history: Vec<Exchange>,
    pub not_after_ms: i64,
    pub reply_to: ReplyTo,
    /// What is left of the conversation's token budget; with 0 no model is asked. Absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_left: Option<u64>,
}

/// A request as its topic carries it.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    ToolInvocationRequested(ToolInvocationRequested),
    ToolInvocationCancelled(ToolInvocationCancelled),
    SynthesizeFinalAnswerRequested(SynthesizeFinalAnswerRequested),
}

impl Request {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ToolInvocationRequested(_) => "ToolInvocationRequested",
            Self::ToolInvocationCancelled(_) => "ToolInvocationCancelled",
            Self::SynthesizeFinalAnswerRequested(_) => "SynthesizeFinalAnswerRequested",
        }
    }
}
