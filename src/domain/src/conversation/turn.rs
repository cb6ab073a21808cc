//! One turn: its phases, its plan versions, its steps, and how it moves on when a step ends.
//!
//! | phase | left by | for |
//! |---|---|---|
//! | Queued | the turn before it closes | Planning |
//! | Planning | PlanGenerated | Acting, or Synthesizing when there is no step |
//! | Acting | the last step's end | Synthesizing, Planning (continue, failure), Failing |
//! | Synthesizing | FinalAnswerSynthesized | closed |
//! | Failing, Cancelling | PlanFailed, PlanCancelled | closed |

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Author, ToolError, TurnError, TurnLimits};
use crate::id::{CommandId, StepId};
use crate::json::RawJson;
use crate::limits::MAX_VERSIONS;
use crate::plan::{OnFailure, PlanReason, PlannedStep, Then, reference};
use crate::time::Millis;

/// Where a turn stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Queued,
    Planning(PlanReason),
    Acting,
    Synthesizing,
    /// Decided by the fold; the host appends PlanFailed.
    Failing(TurnError),
    /// Decided by the fold; the host appends PlanCancelled.
    Cancelling,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StepState {
    /// For its dependencies.
    Waiting,
    /// To be invoked, or being invoked: the log cannot tell.
    Ready,
    AwaitingApproval,
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
            Self::AwaitingApproval => "awaiting approval",
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
    /// The current attempt, from 1; 0 until the step became ready.
    pub attempt: u32,
    /// When it became ready: its deadline counts from here.
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
}

impl Step {
    fn new(plan: PlannedStep) -> Self {
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
        }
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
}

/// One version of a turn's plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanVersion {
    pub version: u32,
    pub reason: PlanReason,
    pub planner: Author,
    pub steps: Vec<Step>,
    pub then: Then,
    pub guidance: Option<Arc<str>>,
    pub generated_ms: Millis,
    pub offset: u64,
}

impl PlanVersion {
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.plan.id == *id)
    }

    /// Steps whose outcome nobody knows.
    pub fn doubts(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step.state, StepState::InDoubt(_)))
    }

    pub(super) fn size_bytes(&self) -> usize {
        let of = |step: &Step| {
            let outcome = match &step.state {
                StepState::Done(result) => result.len_bytes(),
                StepState::Failed(error) => error.message.len(),
                _ => 0,
            };
            let last_error = step.last_error.as_ref().map_or(0, |error| error.message.len());
            let resolved = step.resolved.as_ref().map_or(0, RawJson::len_bytes);
            step.plan.arguments.len_bytes() + resolved + outcome + last_error + 256
        };
        self.guidance.as_ref().map_or(0, |text| text.len()) + self.steps.iter().map(of).sum::<usize>()
    }
}

/// An open turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    pub number: u32,
    pub command: CommandId,
    pub message: Arc<str>,
    pub agent: Arc<str>,
    pub principal: Option<Arc<str>>,
    pub metadata: Option<RawJson>,
    pub limits: TurnLimits,
    pub received_ms: Millis,
    /// When it became the running turn.
    pub started_ms: Option<Millis>,
    pub phase: Phase,
    pub phase_since_ms: Millis,
    pub versions: Vec<PlanVersion>,
    /// Bytes of all results so far.
    pub results_bytes: usize,
}

impl Turn {
    /// The newest plan version.
    #[must_use]
    pub fn plan(&self) -> Option<&PlanVersion> {
        self.versions.last()
    }

    /// The number of the newest plan version, 0 before the first.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.versions.last().map_or(0, |plan| plan.version)
    }

    pub(super) fn enter(&mut self, phase: Phase, clock_ms: Millis) {
        self.phase = phase;
        self.phase_since_ms = clock_ms;
    }

    /// Makes it the running turn; a turn that is already failing or being cancelled stays so.
    pub(super) fn start(&mut self, clock_ms: Millis) {
        self.started_ms = Some(clock_ms);
        if self.phase == Phase::Queued {
            self.enter(Phase::Planning(PlanReason::First), clock_ms);
        }
    }

    pub(super) fn adopt(&mut self, plan: PlanVersion, clock_ms: Millis) {
        self.versions.push(plan);
        self.enter(Phase::Acting, clock_ms);
        self.advance(clock_ms);
    }

    /// Keeps a plan of which nothing is begun, and fails.
    pub(super) fn turn_down(&mut self, plan: PlanVersion, error: TurnError, clock_ms: Millis) {
        self.versions.push(plan);
        self.enter(Phase::Failing(error), clock_ms);
    }

    pub(super) fn step_mut(&mut self, version: u32, id: &StepId) -> Option<&mut Step> {
        let plan = self.versions.last_mut().filter(|plan| plan.version == version)?;
        plan.steps.iter_mut().find(|step| step.plan.id == *id)
    }

    /// Moves on after a step ended or a plan came: skips, readies, and leaves Acting when nothing is left.
    pub(super) fn advance(&mut self, clock_ms: Millis) {
        if self.phase != Phase::Acting {
            return;
        }
        let Some(plan) = self.versions.last_mut() else { return };
        // Steps may be listed in any order, so that one pass may free an earlier one: at most |steps| passes.
        let mut readied = Vec::new();
        while settle_waiting(plan, clock_ms, &mut readied) {}
        let Some(next) = self.next_phase() else { return };
        if let (Phase::Failing(_), Some(plan)) = (&next, self.versions.last_mut()) {
            // Nobody will ask for what became ready as the turn failed, so nobody may wonder later whether it ran.
            for i in readied {
                plan.steps[i] = Step::new(plan.steps[i].plan.clone());
            }
        }
        self.enter(next, clock_ms);
    }

    fn next_phase(&self) -> Option<Phase> {
        let plan = self.versions.last()?;
        let failed = |wanted: OnFailure| {
            plan.steps.iter().find_map(|step| match &step.state {
                StepState::Failed(error) if step.plan.policy.on_failure == wanted => Some((step, error)),
                _ => None,
            })
        };
        let failing = |(step, error): (&Step, &ToolError)| {
            let words = format!(
                "step {:?} ({}) failed: {}: {}",
                step.plan.id, step.plan.tool, error.kind, error.message
            );
            Phase::Failing(TurnError::new("step_failed", words))
        };
        if let Some(cause) = failed(OnFailure::Fail) {
            return Some(failing(cause));
        }
        if !plan.steps.iter().all(|step| step.state.has_ended()) {
            return None;
        }
        let rounds_left = plan.version < self.limits.max_rounds.min(MAX_VERSIONS);
        if let Some(cause) = failed(OnFailure::Replan) {
            return Some(if rounds_left { Phase::Planning(PlanReason::Failure) } else { failing(cause) });
        }
        let again = plan.then == Then::Continue && rounds_left && !plan.steps.is_empty();
        Some(if again { Phase::Planning(PlanReason::Continue) } else { Phase::Synthesizing })
    }
}

impl PlanVersion {
    pub(super) fn of(event: &crate::event::PlanGenerated, clock_ms: Millis, offset: u64) -> Self {
        Self {
            version: event.version,
            reason: event.reason,
            planner: event.planner.clone(),
            steps: event.steps.iter().cloned().map(Step::new).collect(),
            then: event.then,
            guidance: event.guidance.clone(),
            generated_ms: clock_ms,
            offset,
        }
    }
}

/// One pass over the waiting steps; whether any of them changed, and which are ready now.
fn settle_waiting(plan: &mut PlanVersion, clock_ms: Millis, readied: &mut Vec<usize>) -> bool {
    let mut changed = false;
    for i in 0..plan.steps.len() {
        if plan.steps[i].state != StepState::Waiting {
            continue;
        }
        let dependencies = &plan.steps[i].plan.depends_on;
        let states: Vec<Option<&StepState>> =
            dependencies.iter().map(|id| plan.step(id).map(|step| &step.state)).collect();
        let next =
            if states.iter().any(|s| matches!(s, None | Some(StepState::Failed(_) | StepState::Skipped))) {
                StepState::Skipped
            } else if states.iter().all(|s| matches!(s, Some(StepState::Done(_)))) {
                StepState::Ready
            } else {
                continue;
            };
        changed = true;
        let resolved = if next == StepState::Ready { resolve(plan, i) } else { Ok(None) };
        let step = &mut plan.steps[i];
        step.state = next;
        match resolved {
            Ok(arguments) => step.resolved = arguments,
            Err(problem) => {
                step.state = StepState::Failed(ToolError::new("unresolved_reference", problem, false));
            }
        }
        if step.state == StepState::Ready {
            step.attempt = 1;
            step.ready_ms = clock_ms;
            step.not_before_ms = clock_ms;
            readied.push(i);
        }
    }
    changed
}

fn resolve(plan: &PlanVersion, i: usize) -> Result<Option<RawJson>, String> {
    let step = &plan.steps[i].plan;
    let resolved = reference::resolve(&step.arguments, |id| {
        let source = plan.steps.iter().find(|other| other.plan.id.as_str() == id)?;
        if let StepState::Done(result) = &source.state { Some(result) } else { None }
    })?;
    Ok((resolved != step.arguments).then_some(resolved))
}
