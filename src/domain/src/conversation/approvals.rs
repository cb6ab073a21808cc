//! A person's word on a step before its first attempt: asked for, given or refused, or not given in time. While a
//! step waits for it, its deadline has not begun and its turn's clock stands still (`turn`); the others run.
//!
//! | step | left by | for |
//! |---|---|---|
//! | Ready, needs approval | ApprovalRequested | AwaitingApproval |
//! | AwaitingApproval | ApprovalRecorded | Ready at attempt 1, or Failed `rejected` |
//! | AwaitingApproval | DeadlineExpired of attempt 0 | Failed `approval_timeout` |
//!
//! Called by `apply` and `steps`.

use std::sync::Arc;

use super::apply::{Folded, Ignored, Recorded, learn};
use super::state::State;
use super::step::{Awaited, StepState};
use super::steps::open_step;
use super::turn::{Phase, Turn};
use crate::event::{Approval, ApprovalRecorded, ApprovalRequested, DeadlineExpired, ToolError, clip};
use crate::limits::{MAX_APPROVAL_TIMEOUT_MS, MAX_ARGUMENTS_BYTES};
use crate::time::Millis;

pub(super) fn requested(state: &mut State, record: &Recorded, body: &ApprovalRequested) -> Folded {
    let clock = state.clock_ms;
    let turn = acting(open_step(state, record, body.version, &body.step)?)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if !step.wants_approval() {
        return Err(Ignored::NotAwaited);
    }
    let timeout_ms = body.timeout_ms.min(MAX_APPROVAL_TIMEOUT_MS);
    step.state = StepState::AwaitingApproval(Awaited { since_ms: clock, timeout_ms });
    turn.keep_time(clock);
    Ok(())
}

pub(super) fn recorded(state: &mut State, record: &Recorded, body: &ApprovalRecorded) -> Folded {
    let clock = state.clock_ms;
    // Known or not, the command has now had its say.
    let _ = learn(state, body.approval_command.as_ref(), record.offset);
    let turn = acting(open_step(state, record, body.version, &body.step)?)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if !matches!(step.state, StepState::AwaitingApproval(_)) {
        return Err(Ignored::NotAwaited);
    }
    match &body.decision {
        Approval::Approved => step.let_in(clock),
        // More than a request can carry is nobody's arguments: the step goes on waiting.
        Approval::ApprovedWith(arguments) if arguments.len_bytes() > MAX_ARGUMENTS_BYTES => {
            return Err(Ignored::NotAwaited);
        }
        Approval::ApprovedWith(arguments) => {
            step.resolved = Some(arguments.clone());
            step.let_in(clock);
        }
        Approval::Rejected => {
            let reason = body.reason.as_deref().unwrap_or("no reason given");
            let words = format!("{} rejected it: {reason}", body.by);
            step.state = StepState::Failed(ToolError::new("rejected", words, false));
        }
    }
    if step.state == StepState::Ready {
        step.approved_by = Some(Arc::from(clip(&body.by)));
    }
    turn.advance(clock);
    Ok(())
}

/// Nobody said a word in time. (An approval that came first in the log has made this void: its attempt is 1.)
pub(super) fn expired(turn: &mut Turn, body: &DeadlineExpired, clock_ms: Millis) -> Folded {
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    let StepState::AwaitingApproval(awaited) = step.state else { return Err(Ignored::NotAwaited) };
    let words = format!("nobody approved or rejected it within {} ms", awaited.timeout_ms);
    step.state = StepState::Failed(ToolError::new("approval_timeout", words, false));
    turn.advance(clock_ms);
    Ok(())
}

/// Of a turn that is about to end nothing is begun.
fn acting(turn: &mut Turn) -> Result<&mut Turn, Ignored> {
    if turn.phase == Phase::Acting { Ok(turn) } else { Err(Ignored::NotAwaited) }
}
