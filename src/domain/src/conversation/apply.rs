//! The fold: one total match over what a record can say. It never fails and never asks anyone.
//!
//! The first in the log wins: whatever comes second (a plan version, a result, a terminal event, a command id)
//! is ignored with a reason. Live work and recovery call the same function.

use super::state::{Blocked, ClosedTurn, Known, State, TurnStatus};
use super::turn::{Phase, PlanVersion, StepState, Turn};
use crate::event::{
    Approval, ApprovalRecorded, ApprovalRequested, DeadlineExpired, Event, InvocationSettled, Outcome,
    PlanCancelled, PlanGenerated, Settlement, ToolError, ToolInvocationInDoubt, ToolInvocationResulted,
    TurnError, UserQueryReceived,
};
use crate::id::{CommandId, EffectId, StepId};
use crate::json::RawJson;
use crate::limits::{MAX_ANSWER_BYTES, MAX_ATTEMPTS, MAX_QUEUED_TURNS, MAX_RESULT_BYTES, MAX_TURN_RESULTS_BYTES};
use crate::plan::{PlanReason, structure_problem};
use crate::retry;
use crate::time::Millis;
use crate::wire::Readable;

/// A record of `conversation-events` as it was read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub offset: u64,
    /// The log's append time.
    pub timestamp_ms: Millis,
    /// The envelope's command id.
    pub command: Option<CommandId>,
    pub body: Readable,
}

/// Why a record changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ignored {
    /// Its offset is below the state's.
    AlreadyApplied,
    /// The conversation is blocked at an earlier record.
    Blocked,
    DuplicateCommand,
    /// Its turn is not open (any more), or not the running one.
    TurnNotRunning,
    /// Another plan version than the one awaited or current.
    OtherVersion,
    /// The plan breaks a structural rule.
    InvalidPlan,
    UnknownStep,
    /// The step has ended already.
    StepEnded,
    /// About an attempt that is not the current one.
    OtherAttempt,
    /// The step is not in the state that the event answers.
    NotAwaited,
}

impl Ignored {
    /// Label of the metric that counts it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyApplied => "already_applied",
            Self::Blocked => "blocked",
            Self::DuplicateCommand => "duplicate_command",
            Self::TurnNotRunning => "turn_not_running",
            Self::OtherVersion => "other_version",
            Self::InvalidPlan => "invalid_plan",
            Self::UnknownStep => "unknown_step",
            Self::StepEnded => "step_ended",
            Self::OtherAttempt => "other_attempt",
            Self::NotAwaited => "not_awaited",
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Changed,
    Ignored(Ignored),
}

type Folded = Result<(), Ignored>;

/// Folds one record into the state.
pub fn apply(state: &mut State, record: &Recorded) -> Applied {
    if state.blocked.is_some() {
        return Applied::Ignored(Ignored::Blocked);
    }
    if record.offset < state.next_offset {
        return Applied::Ignored(Ignored::AlreadyApplied);
    }
    let event = match &record.body {
        Readable::Event(event) => event,
        Readable::Unknown { kind, version } => {
            state.blocked = Some(Blocked { offset: record.offset, kind: kind.clone(), version: *version });
            return Applied::Changed;
        }
    };
    state.next_offset = record.offset + 1;
    state.clock_ms = state.clock_ms.max(record.timestamp_ms);
    match fold(state, record, event) {
        Ok(()) => Applied::Changed,
        Err(reason) => Applied::Ignored(reason),
    }
}

fn fold(state: &mut State, record: &Recorded, event: &Event) -> Folded {
    match event {
        Event::UserQueryReceived(body) => received(state, record, body),
        Event::PlanGenerated(body) => planned(state, record, body),
        Event::ToolInvocationResulted(body) => resulted(state, record, body),
        Event::ToolInvocationInDoubt(body) => in_doubt(state, record, body),
        Event::InvocationSettled(body) => settled(state, record, body),
        Event::ApprovalRequested(body) => approval_requested(state, record, body),
        Event::ApprovalRecorded(body) => approval_recorded(state, record, body),
        Event::DeadlineExpired(body) => expired(state, record, body),
        Event::FinalAnswerSynthesized(body) => {
            let clock = state.clock_ms;
            let turn = running(state, record)?;
            if turn.version() != body.version {
                return Err(Ignored::OtherVersion);
            }
            if body.answer.len() > MAX_ANSWER_BYTES {
                let words = format!("the answer has {} bytes; at most {MAX_ANSWER_BYTES} are allowed", body.answer.len());
                turn.enter(Phase::Failing(TurnError::new("answer_too_large", words)), clock);
                return Ok(());
            }
            close(state, record, TurnStatus::Answered, Some(body.answer.clone()), None)
        }
        Event::PlanFailed(body) => close(state, record, TurnStatus::Failed, None, Some(body.error.clone())),
        Event::PlanCancelled(body) => cancelled(state, record, body),
        Event::UserHistoryReset(_) => reset(state, record),
        Event::CommandRefused(_) => learn(state, record.command.as_ref(), record.offset),
    }
}

/// Remembers a command that is no question.
fn learn(state: &mut State, command: Option<&CommandId>, offset: u64) -> Folded {
    let command = command.ok_or(Ignored::NotAwaited)?;
    if state.known(command.as_str()).is_some() {
        return Err(Ignored::DuplicateCommand);
    }
    state.remember(Known {
        command: command.clone(),
        turn: None,
        body_hash: 0,
        status: TurnStatus::Answered,
        offset,
        terminal_offset: Some(offset),
    });
    Ok(())
}

fn received(state: &mut State, record: &Recorded, body: &UserQueryReceived) -> Folded {
    let command = record.command.as_ref().ok_or(Ignored::NotAwaited)?;
    if state.known(command.as_str()).is_some() {
        return Err(Ignored::DuplicateCommand);
    }
    state.turns += 1;
    state.remember(Known {
        command: command.clone(),
        turn: Some(state.turns),
        body_hash: body.body_hash,
        status: TurnStatus::Open,
        offset: record.offset,
        terminal_offset: None,
    });
    let phase = if state.open.len() > MAX_QUEUED_TURNS {
        let words = format!("{MAX_QUEUED_TURNS} messages of this conversation are waiting already");
        Phase::Failing(TurnError::new("queue_full", words))
    } else {
        Phase::Queued
    };
    state.open.push_back(Turn {
        number: state.turns,
        command: command.clone(),
        message: body.message.clone(),
        agent: body.agent.clone(),
        principal: body.principal.clone(),
        metadata: body.metadata.clone(),
        limits: body.limits,
        received_ms: state.clock_ms,
        started_ms: None,
        phase,
        phase_since_ms: state.clock_ms,
        versions: Vec::new(),
        results_bytes: 0,
    });
    start_next(state);
    Ok(())
}

fn start_next(state: &mut State) {
    let clock = state.clock_ms;
    if let Some(first) = state.open.front_mut()
        && first.started_ms.is_none()
    {
        first.start(clock);
    }
}

/// The running turn, when the record is about it.
fn running<'a>(state: &'a mut State, record: &Recorded) -> Result<&'a mut Turn, Ignored> {
    let turn = state.open.front_mut().ok_or(Ignored::TurnNotRunning)?;
    if record.command.as_ref() == Some(&turn.command) { Ok(turn) } else { Err(Ignored::TurnNotRunning) }
}

fn planned(state: &mut State, record: &Recorded, body: &PlanGenerated) -> Folded {
    let clock = state.clock_ms;
    let turn = running(state, record)?;
    let edit = body.reason == PlanReason::Edit && turn.phase == Phase::Acting;
    if !edit && !matches!(turn.phase, Phase::Planning(_)) || body.version != turn.version() + 1 {
        return Err(Ignored::OtherVersion);
    }
    if structure_problem(&body.steps).is_some() {
        return Err(Ignored::InvalidPlan);
    }
    turn.adopt(PlanVersion::of(body, clock, record.offset), clock);
    Ok(())
}

/// The running turn and, in its current version, the step that has not ended.
fn open_step<'a>(
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

fn resulted(state: &mut State, record: &Recorded, body: &ToolInvocationResulted) -> Folded {
    let (clock, conversation) = (state.clock_ms, state.conversation.clone());
    let turn = open_step(state, record, body.version, &body.step)?;
    let effect = EffectId {
        conversation,
        command: turn.command.clone(),
        version: body.version,
        step: body.step.clone(),
    };
    let used = turn.results_bytes;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    // A late success of an earlier attempt is as good as any; a late failure says nothing about this one.
    let current = match &body.outcome {
        Outcome::Ok(_) => body.attempt >= 1 && body.attempt <= step.attempt,
        Outcome::Error(_) => body.attempt == step.attempt && !matches!(step.state, StepState::InDoubt(_)),
    };
    if !current || step.state == StepState::Waiting {
        return Err(Ignored::OtherAttempt);
    }
    step.started_at = Some(body.started_at.clone());
    step.finished_at = Some(body.finished_at.clone());
    match &body.outcome {
        Outcome::Ok(result) => {
            step.state = fits(used, result).map_or_else(|| StepState::Done(result.clone()), StepState::Failed);
            if matches!(step.state, StepState::Done(_)) {
                turn.results_bytes += result.len_bytes();
            }
        }
        Outcome::Error(error) => {
            let policy = &step.plan.policy;
            if error.retryable && step.attempt < policy.max_attempts.min(MAX_ATTEMPTS) {
                let delay = retry::delay_ms(policy.backoff, step.attempt, &effect.invocation(step.attempt));
                step.attempt += 1;
                step.not_before_ms = clock.saturating_add_unsigned(delay);
                step.last_error = Some(error.clone());
            } else {
                step.state = StepState::Failed(error.clone());
            }
        }
    }
    turn.advance(clock);
    Ok(())
}

/// The error that an oversized result becomes.
fn fits(used: usize, result: &RawJson) -> Option<ToolError> {
    let bytes = result.len_bytes();
    let words = if bytes > MAX_RESULT_BYTES {
        format!("the result has {bytes} bytes; at most {MAX_RESULT_BYTES} are allowed")
    } else if used + bytes > MAX_TURN_RESULTS_BYTES {
        format!("the turn's results would have {} bytes; at most {MAX_TURN_RESULTS_BYTES} are allowed", used + bytes)
    } else {
        return None;
    };
    Some(ToolError::new("result_too_large", words, false))
}

fn in_doubt(state: &mut State, record: &Recorded, body: &ToolInvocationInDoubt) -> Folded {
    let turn = open_step(state, record, body.version, &body.step)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if step.state != StepState::Ready || step.attempt != body.attempt {
        return Err(Ignored::OtherAttempt);
    }
    step.state = StepState::InDoubt(body.reason.clone());
    Ok(())
}

fn settled(state: &mut State, record: &Recorded, body: &InvocationSettled) -> Folded {
    let clock = state.clock_ms;
    // Known or not, the command has now had its say.
    let _ = learn(state, body.settle_command.as_ref(), record.offset);
    let turn = open_step(state, record, body.version, &body.step)?;
    let used = turn.results_bytes;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if !matches!(step.state, StepState::InDoubt(_)) || step.attempt != body.attempt {
        return Err(Ignored::NotAwaited);
    }
    match &body.settlement {
        Settlement::Done(result) => {
            step.state = fits(used, result).map_or_else(|| StepState::Done(result.clone()), StepState::Failed);
            if matches!(step.state, StepState::Done(_)) {
                turn.results_bytes += result.len_bytes();
            }
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

fn approval_requested(state: &mut State, record: &Recorded, body: &ApprovalRequested) -> Folded {
    let turn = open_step(state, record, body.version, &body.step)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if step.state != StepState::Ready || !step.plan.policy.needs_approval {
        return Err(Ignored::NotAwaited);
    }
    step.state = StepState::AwaitingApproval;
    Ok(())
}

fn approval_recorded(state: &mut State, record: &Recorded, body: &ApprovalRecorded) -> Folded {
    let clock = state.clock_ms;
    let _ = learn(state, body.approval_command.as_ref(), record.offset);
    let turn = open_step(state, record, body.version, &body.step)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if step.state != StepState::AwaitingApproval {
        return Err(Ignored::NotAwaited);
    }
    step.plan.policy.needs_approval = false;
    step.ready_ms = clock;
    step.not_before_ms = clock;
    step.state = match &body.decision {
        Approval::Approved => StepState::Ready,
        Approval::ApprovedWith(arguments) => {
            step.resolved = Some(arguments.clone());
            StepState::Ready
        }
        Approval::Rejected => {
            let reason = body.reason.as_deref().unwrap_or("no reason given");
            StepState::Failed(ToolError::new("rejected", format!("{} rejected it: {reason}", body.by), false))
        }
    };
    turn.advance(clock);
    Ok(())
}

fn expired(state: &mut State, record: &Recorded, body: &DeadlineExpired) -> Folded {
    let clock = state.clock_ms;
    let turn = open_step(state, record, body.version, &body.step)?;
    let step = turn.step_mut(body.version, &body.step).ok_or(Ignored::UnknownStep)?;
    if step.state != StepState::Ready || step.attempt != body.attempt {
        return Err(Ignored::OtherAttempt);
    }
    let deadline_ms = step.plan.policy.deadline_ms;
    let error = match &step.last_error {
        Some(error) => {
            let words = format!("no attempt succeeded within {deadline_ms} ms; the last one: {}", error.message);
            ToolError::new(&error.kind, words, false)
        }
        None => ToolError::new("no_worker", format!("no worker finished it within {deadline_ms} ms"), false),
    };
    step.state = StepState::Failed(error);
    turn.advance(clock);
    Ok(())
}

fn cancelled(state: &mut State, record: &Recorded, body: &PlanCancelled) -> Folded {
    if body.cancel_command.is_some() {
        let _ = learn(state, body.cancel_command.as_ref(), record.offset);
    }
    close(state, record, TurnStatus::Cancelled, None, None)
}

fn reset(state: &mut State, record: &Recorded) -> Folded {
    learn(state, record.command.as_ref(), record.offset)?;
    state.context_floor = state.turns;
    let clock = state.clock_ms;
    for turn in &mut state.open {
        turn.enter(Phase::Cancelling, clock);
    }
    Ok(())
}

/// Ends an open turn: the first terminal event in the log takes effect.
fn close(
    state: &mut State,
    record: &Recorded,
    status: TurnStatus,
    answer: Option<std::sync::Arc<str>>,
    error: Option<TurnError>,
) -> Folded {
    let command = record.command.as_ref().ok_or(Ignored::TurnNotRunning)?;
    let at = state.open.iter().position(|turn| turn.command == *command).ok_or(Ignored::TurnNotRunning)?;
    let turn = state.open.remove(at).ok_or(Ignored::TurnNotRunning)?;
    if let Some(known) = state.known.iter_mut().rev().find(|known| known.command == *command) {
        known.status = status;
        known.terminal_offset = Some(record.offset);
    }
    state.archive(ClosedTurn {
        number: turn.number,
        command: turn.command,
        agent: turn.agent,
        message: turn.message,
        status,
        answer,
        error,
        versions: turn.versions,
        received_ms: turn.received_ms,
        closed_ms: state.clock_ms,
        terminal_offset: record.offset,
    });
    start_next(state);
    Ok(())
}
