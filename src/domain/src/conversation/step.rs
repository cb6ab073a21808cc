//! One step of a plan: what was planned, where it stands, its attempts. `steps`, `approvals` and `late` say what moves
//! it, `turn` what follows from it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::ToolError;
use crate::json::RawJson;
use crate::plan::{OnFailure, PlannedStep};
use crate::time::Millis;

/// Since when an approval is waited for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    pub since_ms: Millis,
    pub timeout_ms: u64,
}

impl Awaited {
    /// When it is waited for no longer.
    #[must_use]
    pub fn until_ms(self) -> Millis {
        self.since_ms.saturating_add_unsigned(self.timeout_ms)
    }
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StepState {
    /// For its dependencies.
    Waiting,
    /// To be invoked, or being invoked: the log cannot tell.
    Ready,
    AwaitingApproval(Awaited),
    InDoubt(Arc<str>),
    Done(RawJson),
    Failed(ToolError),
    Skipped,
}

impl StepState {
    /// For sentences: the word that people read.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "running",
            Self::AwaitingApproval(_) => "awaiting approval",
            Self::InDoubt(_) => "in doubt",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether nothing more will happen to the step.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed(_) | Self::Skipped)
    }
}

/// A step and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub plan: PlannedStep,
    pub state: StepState,
    /// The current attempt, from 1; 0 until the step became ready and, where it needs approval, was approved.
    pub attempt: u32,
    /// When it became ready or was approved: its deadline counts from here.
    pub ready_ms: Millis,
    /// The current attempt's back-off ends here.
    pub not_before_ms: Millis,
    /// Arguments with references resolved or changed by an approval; `None` where they are as planned.
    pub resolved: Option<RawJson>,
    /// The worker's clock, for display.
    pub started_at: Option<Arc<str>>,
    pub finished_at: Option<Arc<str>>,
    /// Why the previous attempt failed.
    pub last_error: Option<ToolError>,
    /// How long its approval is waited for, where its policy asks for one.
    pub approval_timeout_ms: u64,
    /// Who approved it.
    pub approved_by: Option<Arc<str>>,
}

impl Step {
    pub(super) fn new(plan: PlannedStep, approval_timeout_ms: u64) -> Self {
        Self {
            plan,
            state: StepState::Waiting,
            attempt: 0,
            ready_ms: 0,
            not_before_ms: 0,
            resolved: None,
            started_at: None,
            finished_at: None,
            last_error: None,
            approval_timeout_ms,
            approved_by: None,
        }
    }

    /// Whether it stands at the door: nobody has asked for its approval yet.
    #[must_use]
    pub fn wants_approval(&self) -> bool {
        self.state == StepState::Ready && self.plan.policy.needs_approval
    }

    /// From here on its attempts run.
    pub(super) fn let_in(&mut self, clock_ms: Millis) {
        self.plan.policy.needs_approval = false;
        self.state = StepState::Ready;
        self.attempt = 1;
        self.ready_ms = clock_ms;
        self.not_before_ms = clock_ms;
    }

    /// What the tool is called with.
    #[must_use]
    pub fn arguments(&self) -> &RawJson {
        self.resolved.as_ref().unwrap_or(&self.plan.arguments)
    }

    /// Whether an attempt may have been requested by `at_ms`: the log cannot tell.
    #[must_use]
    pub fn may_run(&self, at_ms: Millis) -> bool {
        self.state == StepState::Ready && !self.plan.policy.needs_approval && at_ms >= self.not_before_ms
    }

    /// When the step is given up.
    #[must_use]
    pub fn deadline_ms(&self) -> Millis {
        self.ready_ms.saturating_add_unsigned(self.plan.policy.deadline_ms)
    }

    /// What its failure means for its plan. A tool that is not called at all, because its circuit breaker is open, is no
    /// reason to give the turn up: the planner is told what is down, and may go another way.
    pub(super) fn consequence(&self, error: &ToolError) -> OnFailure {
        match self.plan.policy.on_failure {
            OnFailure::Fail if &*error.kind == "breaker_open" => OnFailure::Replan,
            policy => policy,
        }
    }
}
