//! `due`: the effects that a state calls for, and when to look again.
//!
//! Derived from the state and the time alone, it drives live work and recovery alike. Deadlines come before
//! anything else; every open turn has one, so every accepted turn ends.

use crate::conversation::{Phase, PlanVersion, State, Step, StepState, Turn};
use crate::effect::{Effect, without_plan};
use crate::event::{
    ApprovalRequested, DeadlineExpired, Event, PlanCancelled, PlanFailed, ToolInvocationInDoubt, TurnError,
};
use crate::id::CommandId;
use crate::plan::EffectClass;
use crate::time::Millis;

/// Work to do now, and when there may be more.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Due {
    pub effects: Vec<Effect>,
    /// The next instant at which time alone changes what is due; `None` without open turns.
    pub wake_at_ms: Option<Millis>,
}

impl Due {
    fn wake(&mut self, at_ms: Millis) {
        self.wake_at_ms = Some(self.wake_at_ms.map_or(at_ms, |known| known.min(at_ms)));
    }
}

/// What `state` calls for at `now_ms` (the host's clock; the log's clock counts where it is ahead).
#[must_use]
pub fn due(state: &State, now_ms: Millis) -> Due {
    let mut due = Due::default();
    if state.blocked.is_some() {
        return due;
    }
    let now_ms = now_ms.max(state.clock_ms);
    for (i, turn) in state.open.iter().enumerate() {
        match &turn.phase {
            Phase::Failing(error) => fail(&mut due, turn, error.clone(), None),
            Phase::Cancelling => {
                let reason = Some("the history was reset".into());
                let event = Event::PlanCancelled(PlanCancelled { by: None, reason, cancel_command: None });
                due.effects.push(Effect::Append { command: turn.command.clone(), event });
            }
            _ if i == 0 => run(&mut due, state, turn, now_ms),
            _ => {}
        }
    }
    if state.loose > 0 {
        loose_ends(&mut due, state, now_ms);
    }
    due
}

/// Whether nothing is due and time alone will change nothing: such a conversation need not be woken.
#[must_use]
pub fn is_at_rest(state: &State, now_ms: Millis) -> bool {
    let due = due(state, now_ms);
    state.blocked.is_none() && due.effects.is_empty() && due.wake_at_ms.is_none()
}

/// What closed turns left under way: it is called off, and an unsafe step that nobody answers is in doubt from its
/// deadline on.
fn loose_ends(due: &mut Due, state: &State, now_ms: Millis) {
    for turn in state.closed.iter().filter(|turn| turn.loose) {
        for (version, step) in turn.loose_steps().filter(|(_, step)| step.state == StepState::Ready) {
            let until_ms = step.deadline_ms();
            if now_ms < until_ms {
                due.wake(until_ms);
                due.effects.push(Effect::CancelInvocation {
                    command: turn.command.clone(),
                    version,
                    step: step.plan.id.clone(),
                    attempt: step.attempt,
                    until_ms,
                });
            } else if step.plan.policy.effect == EffectClass::Unsafe {
                due.effects.push(doubt(&turn.command, version, step));
            }
        }
    }
}

fn doubt(command: &CommandId, version: u32, step: &Step) -> Effect {
    let deadline_ms = step.plan.policy.deadline_ms;
    let event = Event::ToolInvocationInDoubt(ToolInvocationInDoubt {
        version,
        step: step.plan.id.clone(),
        attempt: step.attempt,
        reason: format!("no result within {deadline_ms} ms, and it may have been run").into(),
    });
    Effect::Append { command: command.clone(), event }
}

/// `missing_version`: the plan that was waited for in vain. Where it comes to be first in the log, the turn goes on: a timer
/// that fires late declares nothing about a phase that the log has left.
fn fail(due: &mut Due, turn: &Turn, error: TurnError, missing_version: Option<u32>) {
    let event = Event::PlanFailed(PlanFailed { error, missing_version });
    due.effects.push(Effect::Append { command: turn.command.clone(), event });
}

/// The code of a turn whose plan did not come in time.
const PLANNING_TIMEOUT: &str = "planning_timeout";

/// A phase's end: its own timeout or the turn's, whichever comes first, with the code to fail with.
fn deadline(turn: &Turn, now_ms: Millis) -> (Millis, &'static str, u64) {
    let whole = turn.limits.turn_timeout_ms;
    let turn_ends = turn.deadline_ms(now_ms);
    let phase = match turn.phase {
        Phase::Planning(_) => Some((turn.limits.planning_timeout_ms, PLANNING_TIMEOUT)),
        Phase::Synthesizing => Some((turn.limits.synthesis_timeout_ms, "synthesis_timeout")),
        _ => None,
    };
    match phase.map(|(ms, code)| (turn.phase_since_ms.saturating_add_unsigned(ms), code, ms)) {
        Some(phase) if phase.0 < turn_ends => phase,
        _ => (turn_ends, "turn_timeout", whole),
    }
}

fn run(due: &mut Due, state: &State, turn: &Turn, now_ms: Millis) {
    let (until_ms, code, ms) = deadline(turn, now_ms);
    if now_ms >= until_ms {
        let missing_version = (code == PLANNING_TIMEOUT).then(|| turn.version() + 1);
        let words = format!("the turn's {code} of {ms} ms has passed");
        // Where the turn's own time is over too, there is none to answer in.
        let version = missing_version.filter(|_| now_ms < turn.deadline_ms(now_ms));
        if let Some(event) = version.and_then(|version| without_plan(turn, version, &words)) {
            due.effects.push(Effect::Append { command: turn.command.clone(), event });
            return;
        }
        fail(due, turn, TurnError::new(code, words), missing_version);
        return;
    }
    // A clock that stands still has no alarm: the step that it waits for has one.
    if turn.waiting_since_ms.is_none() {
        due.wake(until_ms);
    }
    let command = turn.command.clone();
    match (&turn.phase, turn.plan()) {
        (Phase::Planning(_), _) if state.tokens_left() == Some(0) => {
            let (used, budget) = (state.tokens_used, state.token_budget.unwrap_or(0));
            let words = format!("this conversation has used {used} tokens; its budget is {budget}");
            fail(due, turn, TurnError::new("token_budget", words), None);
        }
        (Phase::Planning(reason), _) => {
            due.effects.push(Effect::AskPlanner {
                command,
                version: turn.version() + 1,
                reason: *reason,
                until_ms,
            });
        }
        (Phase::Acting, Some(plan)) => act(due, turn, plan, now_ms, until_ms),
        (Phase::Synthesizing, _) => {
            due.effects.push(Effect::Synthesize { command, version: turn.version(), until_ms });
        }
        _ => {}
    }
}

fn act(due: &mut Due, turn: &Turn, plan: &PlanVersion, now_ms: Millis, turn_until_ms: Millis) {
    for step in &plan.steps {
        match step.state {
            StepState::Ready if step.plan.policy.needs_approval => {
                due.effects.push(ask_for_approval(turn, plan, step));
            }
            StepState::Ready => run_step(due, turn, plan, step, now_ms, turn_until_ms),
            StepState::AwaitingApproval(awaited) if now_ms >= awaited.until_ms() => {
                due.effects.push(expired(turn, plan, step));
            }
            StepState::AwaitingApproval(awaited) => due.wake(awaited.until_ms()),
            _ => {}
        }
    }
}

fn ask_for_approval(turn: &Turn, plan: &PlanVersion, step: &Step) -> Effect {
    let event = Event::ApprovalRequested(ApprovalRequested {
        version: plan.version,
        step: step.plan.id.clone(),
        timeout_ms: step.approval_timeout_ms,
    });
    Effect::Append { command: turn.command.clone(), event }
}

fn run_step(
    due: &mut Due,
    turn: &Turn,
    plan: &PlanVersion,
    step: &Step,
    now_ms: Millis,
    turn_until_ms: Millis,
) {
    let until_ms = step.deadline_ms();
    if now_ms >= until_ms {
        due.effects.push(expire(turn, plan, step));
        return;
    }
    due.wake(until_ms);
    if now_ms < step.not_before_ms {
        due.wake(step.not_before_ms);
        return;
    }
    due.effects.push(Effect::Invoke {
        command: turn.command.clone(),
        version: plan.version,
        step: step.plan.id.clone(),
        attempt: step.attempt,
        until_ms: until_ms.min(turn_until_ms),
    });
}

fn expire(turn: &Turn, plan: &PlanVersion, step: &Step) -> Effect {
    // What was never requested, because its back-off reaches beyond the deadline, cannot be in doubt.
    if step.plan.policy.effect == EffectClass::Unsafe && step.may_run(step.deadline_ms()) {
        return doubt(&turn.command, plan.version, step);
    }
    expired(turn, plan, step)
}

/// The attempt's deadline has passed, or with attempt 0 the approval's.
fn expired(turn: &Turn, plan: &PlanVersion, step: &Step) -> Effect {
    let event = Event::DeadlineExpired(DeadlineExpired {
        version: plan.version,
        step: step.plan.id.clone(),
        attempt: step.attempt,
    });
    Effect::Append { command: turn.command.clone(), event }
}
