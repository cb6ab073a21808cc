//! The fold: one total match over what a record can say. It never fails and never asks anyone.
//!
//! The first in the log wins: whatever comes second (a plan version, a result, a terminal event, a command id)
//! is ignored with a reason. Live work and recovery call the same function. What concerns a whole turn is
//! here, what concerns one of its steps in `steps`.

use std::collections::VecDeque;

use super::state::{Blocked, ClosedTurn, Known, State, TurnStatus};
use super::turn::{Phase, PlanVersion, Turn};
use super::{approvals, steps};
use crate::event::{
    Event, FinalAnswerSynthesized, PlanCancelled, PlanFailed, PlanGenerated, TurnError, UserQueryReceived,
};
use crate::id::CommandId;
use crate::limits::{MAX_ANSWER_BYTES, MAX_DOUBTS, MAX_QUEUED_TURNS, MAX_VERSIONS};
use crate::plan::{EffectClass, PlanReason, PlannedStep, structure_problem};
use crate::planted::{self, Defect};
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
    /// A plan version while an effect of the turn is in doubt.
    InDoubt,
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
            Self::InDoubt => "in_doubt",
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Changed,
    Ignored(Ignored),
}

pub(super) type Folded = Result<(), Ignored>;

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
    let folded = fold(state, record, event);
    let clock = state.clock_ms;
    if let Some(turn) = state.open.front_mut().filter(|turn| turn.waiting_since_ms.is_some()) {
        turn.keep_time(clock);
    }
    folded.map_or_else(Applied::Ignored, |()| Applied::Changed)
}

fn fold(state: &mut State, record: &Recorded, event: &Event) -> Folded {
    match event {
        Event::UserQueryReceived(body) => received(state, record, body),
        Event::PlanGenerated(body) => planned(state, record, body),
        Event::ToolInvocationResulted(body) => steps::resulted(state, record, body),
        Event::ToolInvocationInDoubt(body) => steps::in_doubt(state, record, body),
        Event::InvocationSettled(body) => steps::settled(state, record, body),
        Event::RetryAdvanced(body) => steps::retry_advanced(state, record, body),
        Event::ApprovalRequested(body) => approvals::requested(state, record, body),
        Event::ApprovalRecorded(body) => approvals::recorded(state, record, body),
        Event::DeadlineExpired(body) => steps::expired(state, record, body),
        Event::FinalAnswerSynthesized(body) => answered(state, record, body),
        Event::PlanFailed(body) => failed(state, record, body),
        Event::PlanCancelled(body) => cancelled(state, record, body),
        Event::UserHistoryReset(_) => reset(state, record),
        Event::CommandRefused(_) => learn(state, record.command.as_ref(), record.offset),
    }
}

/// Remembers a command that is no question. It counts as answered also where its event came too late for its
/// turn and is ignored otherwise.
pub(super) fn learn(state: &mut State, command: Option<&CommandId>, offset: u64) -> Folded {
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
    if state.known(command.as_str()).is_some() && !planted::is(Defect::SkipDedup) {
        return Err(Ignored::DuplicateCommand);
    }
    state.turns += 1;
    if planted::is(Defect::WriterNumbersTurns) {
        let written = body.metadata.as_ref().and_then(|metadata| metadata.to_value()["turn"].as_u64());
        state.turns = written.and_then(|number| u32::try_from(number).ok()).unwrap_or(state.turns);
    }
    state.remember(Known {
        command: command.clone(),
        turn: Some(state.turns),
        body_hash: body.body_hash,
        status: TurnStatus::Open,
        offset: record.offset,
        terminal_offset: None,
    });
    if state.turns == 1 {
        state.seed = body.history.clone().unwrap_or_default();
    }
    let phase = if state.open.len() > MAX_QUEUED_TURNS {
        let words = format!("{MAX_QUEUED_TURNS} messages of this conversation are waiting already");
        Phase::Failing(TurnError::new("queue_full", words))
    } else {
        Phase::Queued
    };
    // Few conversations ever have a second open turn: no room is kept for four.
    state.open.reserve_exact(1);
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
        waiting_since_ms: None,
        waited_ms: 0,
    });
    state.token_budget = body.token_budget;
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
pub(super) fn running<'a>(state: &'a mut State, record: &Recorded) -> Result<&'a mut Turn, Ignored> {
    let turn = state.open.front_mut().ok_or(Ignored::TurnNotRunning)?;
    if record.command.as_ref() == Some(&turn.command) { Ok(turn) } else { Err(Ignored::TurnNotRunning) }
}

fn planned(state: &mut State, record: &Recorded, body: &PlanGenerated) -> Folded {
    let clock = state.clock_ms;
    let doubts = state.possible_doubts();
    let turn = running(state, record)?;
    if turn.plan().is_some_and(|plan| plan.doubts().next().is_some()) {
        return Err(Ignored::InDoubt);
    }
    let edit = body.reason == PlanReason::Edit && turn.phase == Phase::Acting;
    if !edit && !matches!(turn.phase, Phase::Planning(_)) || body.version != turn.version() + 1 {
        return Err(Ignored::OtherVersion);
    }
    if body.version > MAX_VERSIONS || structure_problem(&body.steps).is_some() {
        return Err(Ignored::InvalidPlan);
    }
    let plan = PlanVersion::of(body, clock, record.offset);
    let may_doubt =
        |step: &&PlannedStep| matches!(step.policy.effect, EffectClass::Unsafe | EffectClass::Reconcilable);
    if doubts + body.steps.iter().filter(may_doubt).count() > MAX_DOUBTS {
        let words = format!(
            "{doubts} steps of this conversation are in doubt or may yet be; at most {MAX_DOUBTS} may: settle them first"
        );
        turn.turn_down(plan, TurnError::new("too_many_doubts", words), clock);
    } else {
        turn.adopt(plan, clock);
    }
    state.use_tokens(body.tokens());
    Ok(())
}

fn answered(state: &mut State, record: &Recorded, body: &FinalAnswerSynthesized) -> Folded {
    let clock = state.clock_ms;
    if planted::is(Defect::SecondTerminal) {
        return close(state, record, TurnStatus::Answered, Some(body.answer.clone()), None);
    }
    let turn = running(state, record)?;
    if turn.version() != body.version {
        return Err(Ignored::OtherVersion);
    }
    let bytes = body.answer.len();
    if bytes > MAX_ANSWER_BYTES {
        let words = format!("the answer has {bytes} bytes; at most {MAX_ANSWER_BYTES} are allowed");
        // A second copy of it finds the turn failing.
        let first = turn.phase == Phase::Synthesizing;
        turn.enter(Phase::Failing(TurnError::new("answer_too_large", words)), clock);
        state.use_tokens(if first { body.tokens() } else { 0 });
        return Ok(());
    }
    state.use_tokens(body.tokens());
    close(state, record, TurnStatus::Answered, Some(body.answer.clone()), None)
}

fn failed(state: &mut State, record: &Recorded, body: &PlanFailed) -> Folded {
    if let Some(missing) = body.missing_version {
        let turn = running(state, record)?;
        if !matches!(turn.phase, Phase::Planning(_)) || turn.version() + 1 != missing {
            return Err(Ignored::OtherVersion);
        }
    }
    close(state, record, TurnStatus::Failed, None, Some(body.error.bounded()))
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
    state.seed = Vec::new();
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
    if planted::is(Defect::SecondTerminal)
        && let Some(closed) = state.closed.iter_mut().find(|turn| turn.command == *command)
    {
        (closed.status, closed.answer, closed.error) = (status, answer, error);
        closed.terminal_offset = record.offset;
        return Ok(());
    }
    let at = state.open.iter().position(|turn| turn.command == *command).ok_or(Ignored::TurnNotRunning)?;
    let turn = state.open.remove(at).ok_or(Ignored::TurnNotRunning)?;
    if state.open.is_empty() {
        // A conversation that waits for its next question is what there may be thousands of in memory.
        state.open = VecDeque::new();
    }
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
        loose: false,
    });
    start_next(state);
    Ok(())
}
