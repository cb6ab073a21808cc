//! What is heard of a step after its turn has closed: the result of an invocation that was still under way, its
//! doubt, and how that was settled. The turn's end stands; only the step changes. Called by `steps`.

use super::apply::{Folded, Ignored, Recorded};
use super::state::State;
use super::step::{Step, StepState};
use super::steps::{doubt, fits, leaves_doubt};
use crate::event::{
    InvocationSettled, Outcome, Settlement, ToolError, ToolInvocationInDoubt, ToolInvocationResulted,
};
use crate::id::StepId;

/// Changes a loose step of a closed turn.
fn change(
    state: &mut State,
    record: &Recorded,
    version: u32,
    id: &StepId,
    to: impl FnOnce(&mut Step) -> Result<StepState, Ignored>,
) -> Folded {
    let command = record.command.as_ref().ok_or(Ignored::TurnNotRunning)?;
    let at = state.closed.iter().rposition(|turn| turn.loose && turn.command == *command);
    let at = at.ok_or(Ignored::TurnNotRunning)?;
    let turn = &mut state.closed[at];
    let closed_ms = turn.closed_ms;
    let plan =
        turn.versions.last_mut().filter(|plan| plan.version == version).ok_or(Ignored::OtherVersion)?;
    let step = plan.steps.iter_mut().find(|step| step.plan.id == *id).ok_or(Ignored::UnknownStep)?;
    if step.state.has_ended() {
        return Err(Ignored::StepEnded);
    }
    if !matches!(step.state, StepState::InDoubt(_)) && !step.may_run(closed_ms) {
        return Err(Ignored::NotAwaited);
    }
    step.state = to(step)?;
    state.recount_loose(at);
    Ok(())
}

pub(super) fn resulted(state: &mut State, record: &Recorded, body: &ToolInvocationResulted) -> Folded {
    change(state, record, body.version, &body.step, |step| {
        let current = match &body.outcome {
            Outcome::Ok(_) => body.attempt >= 1 && body.attempt <= step.attempt,
            Outcome::Error(error) => body.attempt == step.attempt && !leaves_doubt(step, error),
        };
        if !current {
            return Err(Ignored::OtherAttempt);
        }
        step.started_at = Some(body.started_at.clone());
        step.finished_at = Some(body.finished_at.clone());
        Ok(match &body.outcome {
            Outcome::Ok(result) => {
                fits(0, result).map_or_else(|| StepState::Done(result.clone()), StepState::Failed)
            }
            Outcome::Error(error) => StepState::Failed(error.bounded()),
        })
    })
}

pub(super) fn in_doubt(state: &mut State, record: &Recorded, body: &ToolInvocationInDoubt) -> Folded {
    let doubts = state.doubts().count();
    change(state, record, body.version, &body.step, |step| {
        if step.state != StepState::Ready || step.attempt != body.attempt {
            return Err(Ignored::OtherAttempt);
        }
        Ok(doubt(doubts, &body.reason))
    })
}

pub(super) fn settled(state: &mut State, record: &Recorded, body: &InvocationSettled) -> Folded {
    change(state, record, body.version, &body.step, |step| {
        if !matches!(step.state, StepState::InDoubt(_)) || step.attempt != body.attempt {
            return Err(Ignored::NotAwaited);
        }
        Ok(match &body.settlement {
            Settlement::Done(result) => {
                fits(0, result).map_or_else(|| StepState::Done(result.clone()), StepState::Failed)
            }
            Settlement::NotDone => StepState::Failed(not_done(&body.by)),
        })
    })
}

/// Nothing is run again for a turn that has ended, or is about to.
pub(super) fn not_done(by: &str) -> ToolError {
    ToolError::new("not_done", format!("{by} settled it as not done, after its turn had ended"), false)
}
