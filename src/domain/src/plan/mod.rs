//! Plans as data: a validated DAG of tool calls. `validate` lets one in, `reference` resolves `${step.path}`,
//! `mermaid` draws one.

mod graph;
pub mod mermaid;
pub mod reference;
pub mod validate;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::StepId;
use crate::json::RawJson;

pub use graph::structure_problem;
pub use validate::{PlanProblem, Proposal, ProposedStep, ToolRefusal, Toolbox, validate};

/// Why a plan version was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlanReason {
    First,
    Continue,
    Failure,
    Edit,
}

impl PlanReason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Continue => "continue",
            Self::Failure => "failure",
            Self::Edit => "edit",
        }
    }
}

/// What follows when all steps have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Then {
    #[default]
    Answer,
    /// Ask the planner again, with the results.
    Continue,
}

/// What a failed step means for its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The turn fails.
    #[default]
    Fail,
    /// Steps that depend on it are skipped, the others go on.
    Skip,
    /// As skip; when the rest has ended the planner is asked again.
    Replan,
}

/// What running a tool twice would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    #[default]
    Pure,
    Idempotent,
    Reconcilable,
    Unsafe,
}

/// Exponential back-off between attempts: `initial_ms * 2^(attempt-1)`, at most `max_ms`, jittered down by
/// up to a half (`retry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Backoff {
    pub initial_ms: u64,
    pub max_ms: u64,
}

/// How a step is run, resolved when its plan was made: the fold never reads configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepPolicy {
    pub effect: EffectClass,
    pub pool: Arc<str>,
    /// One attempt, judged by the worker.
    pub timeout_ms: u64,
    /// All attempts together, from the moment the step became ready; judged by the host.
    pub deadline_ms: u64,
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub on_failure: OnFailure,
    pub needs_approval: bool,
}

/// One node of the DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlannedStep {
    pub id: StepId,
    pub tool: Arc<str>,
    /// As the planner wrote them, references unresolved.
    pub arguments: RawJson,
    /// Declared dependencies and those that references imply, in order, without duplicates.
    pub depends_on: Vec<StepId>,
    pub policy: StepPolicy,
}
