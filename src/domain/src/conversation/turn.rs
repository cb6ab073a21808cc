//! One turn: its phases, its plan versions, its clock, and how it moves on when a step ends (`step`).
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

use super::step::{Awaited, Step, StepState};
use crate::event::{Author, PlanGenerated, ToolError, TurnError, TurnLimits};
use crate::id::{CommandId, StepId};
use crate::json::RawJson;
use crate::limits::{DEFAULT_APPROVAL_TIMEOUT_MS, MAX_APPROVAL_TIMEOUT_MS, MAX_VERSIONS};
use crate::plan::{OnFailure, PlanReason, PlannedStep, Then, reference};
use crate::planted::{self, Defect};
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

    /// Steps that await approval.
    pub fn approvals(&self) -> impl Iterator<Item = (&Step, Awaited)> {
        self.steps.iter().filter_map(|step| match step.state {
            StepState::AwaitingApproval(awaited) => Some((step, awaited)),
            _ => None,
        })
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
    /// While a step awaits approval the turn's clock stands still: since when it does…
    pub waiting_since_ms: Option<Millis>,
    /// …and how long it stood still before.
    pub waited_ms: u64,
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

    /// When the turn is given up, as far as `now_ms` can tell: the waiting for approvals does not count.
    #[must_use]
    pub fn deadline_ms(&self, now_ms: Millis) -> Millis {
        let started_ms = self.started_ms.unwrap_or(self.received_ms);
        let waiting_ms = self.waiting_since_ms.map_or(0, |since| now_ms.saturating_sub(since).max(0));
        let counted = self.limits.turn_timeout_ms.saturating_add(self.waited_ms);
        started_ms.saturating_add_unsigned(counted).saturating_add(waiting_ms)
    }

    /// Stops the turn's clock while a step awaits approval, and lets it go on when none does.
    pub(super) fn keep_time(&mut self, clock_ms: Millis) {
        let waits =
            self.phase == Phase::Acting && self.plan().is_some_and(|plan| plan.approvals().next().is_some());
        match (waits, self.waiting_since_ms) {
            (true, None) => self.waiting_since_ms = Some(clock_ms),
            (false, Some(since)) => {
                self.waiting_since_ms = None;
                self.waited_ms = self.waited_ms.saturating_add(clock_ms.abs_diff(since));
            }
            _ => {}
        }
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
        self.versions.reserve_exact(1);
        self.versions.push(plan);
        self.enter(Phase::Acting, clock_ms);
        self.advance(clock_ms);
    }

    /// Keeps a plan of which nothing is begun, and fails.
    pub(super) fn turn_down(&mut self, plan: PlanVersion, error: TurnError, clock_ms: Millis) {
        self.versions.reserve_exact(1);
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
                plan.steps[i] = Step::new(plan.steps[i].plan.clone(), plan.steps[i].approval_timeout_ms);
            }
        }
        self.enter(next, clock_ms);
    }

    fn next_phase(&self) -> Option<Phase> {
        let plan = self.versions.last()?;
        let failed = |wanted: OnFailure| {
            plan.steps.iter().find_map(|step| match &step.state {
                StepState::Failed(error) if step.consequence(error) == wanted => Some((step, error)),
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
    pub(super) fn of(event: &PlanGenerated, clock_ms: Millis, offset: u64) -> Self {
        let step = |planned: &PlannedStep| {
            let said = event.approvals.iter().find(|approval| approval.step == planned.id);
            let timeout_ms = said.map_or(DEFAULT_APPROVAL_TIMEOUT_MS, |approval| approval.timeout_ms);
            let mut planned = planned.clone();
            planned.policy.needs_approval &= !planted::is(Defect::RunUnapproved);
            Step::new(planned, timeout_ms.min(MAX_APPROVAL_TIMEOUT_MS))
        };
        Self {
            version: event.version,
            reason: event.reason,
            planner: event.planner.clone(),
            steps: event.steps.iter().map(step).collect(),
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
            step.attempt = u32::from(!step.plan.policy.needs_approval);
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
