//! What the log says about one step: its results, doubts and deadlines. Called by `apply`; when a step ends, `turn`
//! moves the plan on. Neighbour: `approvals`, for what comes before a step's first attempt.

use super::apply::{Folded, Ignored, Recorded, learn, running};
use super::state::State;
use super::step::{Step, StepState};
use super::turn::{Phase, Turn};
use super::{approvals, late};
use crate::event::{
    DeadlineExpired, InvocationSettled, Outcome, RetryAdvanced, Settlement, ToolError, ToolInvocationInDoubt,
    ToolInvocationResulted,
};
use crate::id::{EffectId, StepId};
use crate::json::RawJson;
use crate::limits::{MAX_ATTEMPTS, MAX_DOUBTS, MAX_RESULT_BYTES, MAX_TURN_RESULTS_BYTES};
use crate::plan::EffectClass;
use crate::planted::{self, Defect};
use crate::retry;

/// The running turn and, in its current version, the step that has not ended.
pub(super) fn open_step<'a>(
    state: &'a mut State,
    record: &Recorded,
    version: u32,
    step: &StepId,
) -> Result<&'a mut Turn, Ignored> {
    let turn = running(state, record)?;
    if turn.version() != version {
        return Err(Ignored::OtherVersion);
    }
    match turn.step_mut(version, step) {
        None => Err(Ignored::UnknownStep),
        Some(found) if found.state.has_ended() => Err(Ignored::StepEnded),
        Some(_) => Ok(turn),
    }
}

pub(super) fn resulted(state: &mut State, record: &Recorded, body: &ToolInvocationResulted) -> Folded {
    let (clock, conversation) = (state.clock_ms, state.conversation.clone());
    if planted::is(Defect::CountResultTwice)
        && let (Ok(turn), Outcome::Ok(result)) = (running(state, record), &body.outcome)
        && let Some(step) = turn.step_mut(body.version, &body.step)
        && matches!(step.state, StepState::Done(_))
    {
        step.state = StepState::Done(result.clone());
        return Ok(());
    }
    let turn = match open_step(state, record, body.version, &body.step) {
        Err(Ignored::TurnNotRunning) => return late::resulted(state, record, body),
        found => found?,
    };
    let effect = EffectId {
        conversation,
        command: turn.command.clone(),
        version: body.version,
        step: body.step.clone(),
    };
    let (used, acting) = (turn.results_bytes, turn.phase == Phase::Acting);
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    // A late success of an earlier attempt is as good as any; a late failure says nothing about this one.
    let current = match &body.outcome {
        Outcome::Ok(_) => body.attempt >= 1 && body.attempt <= step.attempt,
        Outcome::Error(error) => body.attempt == step.attempt && !leaves_doubt(step, error),
    };
    // Nobody has asked for an attempt of a step that waits, for others or for its approval.
    if !current || step.attempt == 0 {
        return Err(Ignored::OtherAttempt);
    }
    step.started_at = Some(body.started_at.clone());
    step.finished_at = Some(body.finished_at.clone());
    match &body.outcome {
        Outcome::Ok(result) => {
            step.state =
                fits(used, result).map_or_else(|| StepState::Done(result.clone()), StepState::Failed);
            if matches!(step.state, StepState::Done(_)) {
                turn.results_bytes += result.len_bytes();
            }
        }
        Outcome::Error(error) => {
            let policy = &step.plan.policy;
            // Of a turn that is about to end nothing is run again.
            if acting && error.retryable && step.attempt < policy.max_attempts.min(MAX_ATTEMPTS) {
                let delay = retry::delay_ms(policy.backoff, step.attempt, &effect.invocation(step.attempt));
                step.attempt += 1;
                step.not_before_ms = clock.saturating_add_unsigned(delay);
                step.last_error = Some(error.bounded());
            } else {
                step.state = StepState::Failed(error.bounded());
            }
        }
    }
    turn.advance(clock);
    Ok(())
}

/// A doubt is closed by whoever knows: a final error does, one that only wishes to be retried does not, or a worker
/// that took a lost answer for a failure would run the effect twice.
pub(super) fn leaves_doubt(step: &Step, error: &ToolError) -> bool {
    matches!(step.state, StepState::InDoubt(_)) && error.retryable
}

/// The error that an oversized result becomes.
pub(super) fn fits(used: usize, result: &RawJson) -> Option<ToolError> {
    let bytes = result.len_bytes();
    let words = if bytes > MAX_RESULT_BYTES {
        format!("the result has {bytes} bytes; at most {MAX_RESULT_BYTES} are allowed")
    } else if used + bytes > MAX_TURN_RESULTS_BYTES {
        format!(
            "the turn's results would have {} bytes; at most {MAX_TURN_RESULTS_BYTES} are allowed",
            used + bytes
        )
    } else {
        return None;
    };
    Some(ToolError::new("result_too_large", words, false))
}

pub(super) fn in_doubt(state: &mut State, record: &Recorded, body: &ToolInvocationInDoubt) -> Folded {
    let (clock, doubts) = (state.clock_ms, state.doubts().count());
    let turn = match open_step(state, record, body.version, &body.step) {
        Err(Ignored::TurnNotRunning) => return late::in_doubt(state, record, body),
        found => found?,
    };
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if step.state != StepState::Ready || step.attempt != body.attempt || step.attempt == 0 {
        return Err(Ignored::OtherAttempt);
    }
    step.state = doubt(doubts, &body.reason);
    turn.advance(clock);
    Ok(())
}

/// In doubt, or failed where as many are in doubt as may be: a plan is only adopted where there is room for the
/// doubts of its unsafe steps, so that only foreign workers get here with other tools.
pub(super) fn doubt(doubts: usize, reason: &str) -> StepState {
    if doubts < MAX_DOUBTS {
        return StepState::InDoubt(ToolError::in_doubt(reason).message);
    }
    let words = format!("its outcome is unknown ({reason}), and {MAX_DOUBTS} steps are in doubt already");
    StepState::Failed(ToolError::new("too_many_doubts", words, false))
}

pub(super) fn settled(state: &mut State, record: &Recorded, body: &InvocationSettled) -> Folded {
    let clock = state.clock_ms;
    // Known or not, the command has now had its say.
    let _ = learn(state, body.settle_command.as_ref(), record.offset);
    if planted::is(Defect::IgnoreSettlement) {
        return Err(Ignored::NotAwaited);
    }
    let turn = match open_step(state, record, body.version, &body.step) {
        Err(Ignored::TurnNotRunning) => return late::settled(state, record, body),
        found => found?,
    };
    let (used, acting) = (turn.results_bytes, turn.phase == Phase::Acting);
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if !matches!(step.state, StepState::InDoubt(_)) || step.attempt != body.attempt {
        return Err(Ignored::NotAwaited);
    }
    match &body.settlement {
        Settlement::Done(result) => {
            step.state =
                fits(used, result).map_or_else(|| StepState::Done(result.clone()), StepState::Failed);
            if matches!(step.state, StepState::Done(_)) {
                turn.results_bytes += result.len_bytes();
            }
        }
        Settlement::NotDone if !acting => {
            step.state = StepState::Failed(late::not_done(&body.by));
        }
        Settlement::NotDone if step.attempt >= MAX_ATTEMPTS => {
            let words = format!("it was not done in {MAX_ATTEMPTS} attempts");
            step.state = StepState::Failed(ToolError::new("not_done", words, false));
        }
        Settlement::NotDone => {
            step.state = StepState::Ready;
            step.attempt += 1;
            step.ready_ms = clock;
            step.not_before_ms = clock;
        }
    }
    turn.advance(clock);
    Ok(())
}

pub(super) fn retry_advanced(state: &mut State, record: &Recorded, body: &RetryAdvanced) -> Folded {
    let clock = state.clock_ms;
    let _ = learn(state, body.retry_command.as_ref(), record.offset);
    let turn = open_step(state, record, body.version, &body.step)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if step.state != StepState::Ready || step.attempt != body.attempt || step.not_before_ms <= clock {
        return Err(Ignored::NotAwaited);
    }
    step.not_before_ms = clock;
    Ok(())
}

pub(super) fn expired(state: &mut State, record: &Recorded, body: &DeadlineExpired) -> Folded {
    let (clock, doubts) = (state.clock_ms, state.doubts().count());
    let turn = open_step(state, record, body.version, &body.step)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if step.attempt == 0 && body.attempt == 0 {
        return approvals::expired(turn, body, clock);
    }
    if step.state != StepState::Ready || step.attempt != body.attempt {
        return Err(Ignored::OtherAttempt);
    }
    let deadline_ms = step.plan.policy.deadline_ms;
    if step.plan.policy.effect == EffectClass::Unsafe && step.may_run(clock) {
        // Its writer had not read that the attempt was let go before its time.
        step.state = doubt(doubts, &format!("no result within {deadline_ms} ms, and it may have been run"));
        turn.advance(clock);
        return Ok(());
    }
    let error = match &step.last_error {
        Some(error) => {
            let words =
                format!("no attempt succeeded within {deadline_ms} ms; the last one: {}", error.message);
            ToolError::new(&error.kind, words, false)
        }
        None => ToolError::new("no_worker", format!("no worker finished it within {deadline_ms} ms"), false),
    };
    step.state = StepState::Failed(error);
    turn.advance(clock);
    Ok(())
}
