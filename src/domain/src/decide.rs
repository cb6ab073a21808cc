//! `decide`: a command becomes the one event that it yields. Refusals are events too.

use crate::command::{
    ApprovalDecision, Asked, Command, InvocationSettleRequest, PlanCancelRequest, RetryNowRequest, UserQuery,
};
use crate::conversation::{Phase, State, Step, StepState, TurnStatus};
use crate::event::{
    Approval, ApprovalRecorded, CommandRefused, Event, InvocationSettled, PlanCancelled, RetryAdvanced,
    UserHistoryReset, UserQueryReceived,
};
use crate::id::{CommandId, EffectId};
use crate::json::RawJson;
use crate::plan::reference::referenced_steps;
use crate::plan::{ToolRefusal, Toolbox};
use crate::planted::{self, Defect};
use crate::time::Millis;

/// What a command comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Append this, about the turn or command `command`.
    Append { command: CommandId, event: Event },
    /// The log knows this command already: nothing to append.
    Known,
}

/// Decides `asked` against the state as the log has it, at the host's time (the log's counts where it is ahead). Pure: appending and reading back is the host's work.
#[must_use]
pub fn decide(state: &State, asked: &Asked, toolbox: &dyn Toolbox, now_ms: Millis) -> Decision {
    if state.known(asked.id.as_str()).is_some() && !planted::is(Defect::SkipDedup) {
        return Decision::Known;
    }
    let own = |event| Decision::Append { command: asked.id.clone(), event };
    match &asked.command {
        Command::UserQueryReceived(query) => own(Event::UserQueryReceived(accept(query, toolbox))),
        Command::UserHistoryReset(reset) => {
            own(Event::UserHistoryReset(UserHistoryReset { by: reset.by.clone() }))
        }
        Command::PlanCancelRequested(request) => match cancel(state, request, &asked.id) {
            Ok(event) => Decision::Append { command: request.turn_command_id.clone(), event },
            Err(refused) => own(Event::CommandRefused(refused)),
        },
        Command::InvocationSettleRequested(request) => match settle(state, request, &asked.id) {
            Ok(event) => Decision::Append { command: request.effect_id.command.clone(), event },
            Err(refused) => own(Event::CommandRefused(refused)),
        },
        Command::ApprovalGiven(given) => match approve(state, given, &asked.id, toolbox, now_ms) {
            Ok(event) => Decision::Append { command: given.effect_id.command.clone(), event },
            Err(refused) => own(Event::CommandRefused(refused)),
        },
        Command::RetryNowRequested(request) => match retry_now(state, request, &asked.id, now_ms) {
            Ok(event) => Decision::Append { command: request.effect_id.command.clone(), event },
            Err(refused) => own(Event::CommandRefused(refused)),
        },
    }
}

/// The step of an effect, as far as the state holds it in full.
fn step_of<'a>(state: &'a State, effect: &EffectId, asked: &str) -> Result<&'a Step, CommandRefused> {
    let plan = state.plan_of(effect.command.as_str(), effect.version);
    let step =
        plan.filter(|_| effect.conversation == state.conversation).and_then(|plan| plan.step(&effect.step));
    step.ok_or_else(|| CommandRefused {
        command_type: asked.into(),
        code: "unknown_effect".into(),
        message: format!("no step {effect} of a newest plan version is held by this conversation").into(),
    })
}

fn settle(
    state: &State,
    request: &InvocationSettleRequest,
    own: &CommandId,
) -> Result<Event, CommandRefused> {
    const ASKED: &str = "InvocationSettleRequested";
    let effect = &request.effect_id;
    let step = step_of(state, effect, ASKED)?;
    if !matches!(step.state, StepState::InDoubt(_)) {
        return Err(CommandRefused {
            command_type: ASKED.into(),
            code: "not_in_doubt".into(),
            message: format!("{effect} is not in doubt: it is {}", step.state.word()).into(),
        });
    }
    if let Some(attempt) = request.attempt.filter(|attempt| *attempt != step.attempt) {
        let words = format!("attempt {attempt} of {effect} is not in doubt: attempt {} is", step.attempt);
        return Err(CommandRefused {
            command_type: ASKED.into(),
            code: "another_attempt".into(),
            message: words.into(),
        });
    }
    Ok(Event::InvocationSettled(InvocationSettled {
        version: effect.version,
        step: effect.step.clone(),
        attempt: step.attempt,
        settlement: request.settlement.clone(),
        by: request.by.clone(),
        why: request.why.clone(),
        settle_command: Some(own.clone()),
    }))
}

fn approve(
    state: &State,
    given: &ApprovalDecision,
    own: &CommandId,
    toolbox: &dyn Toolbox,
    now_ms: Millis,
) -> Result<Event, CommandRefused> {
    const ASKED: &str = "ApprovalGiven";
    let effect = &given.effect_id;
    let refused = |code: &str, message: String| CommandRefused {
        command_type: ASKED.into(),
        code: code.into(),
        message: message.into(),
    };
    let step = step_of(state, effect, ASKED)?;
    let running = state.running().filter(|turn| turn.command == effect.command);
    let StepState::AwaitingApproval(awaited) = step.state else {
        let words = format!("{effect} does not await approval: it is {}", step.state.word());
        return Err(refused("not_awaiting_approval", words));
    };
    if running.is_none_or(|turn| turn.phase != Phase::Acting) {
        let words = format!("{effect} awaits no approval any more: its turn has ended, or is about to");
        return Err(refused("not_awaiting_approval", words));
    }
    if now_ms.max(state.clock_ms) >= awaited.until_ms() {
        let words = format!("{effect} awaits no approval any more: {} ms have passed", awaited.timeout_ms);
        return Err(refused("not_awaiting_approval", words));
    }
    if let Approval::ApprovedWith(arguments) = &given.decision {
        check_approved(&step.plan.tool, arguments, toolbox)
            .map_err(|(code, message)| refused(code, message))?;
    }
    Ok(Event::ApprovalRecorded(ApprovalRecorded {
        version: effect.version,
        step: effect.step.clone(),
        decision: given.decision.clone(),
        by: given.by.clone(),
        reason: given.reason.clone(),
        approval_command: Some(own.clone()),
    }))
}

/// Whether a step of `tool` may run with arguments that a person wrote: they are taken as they are.
///
/// # Errors
/// The refusal's code, and a sentence with what is wrong.
pub fn check_approved(
    tool: &str,
    arguments: &RawJson,
    toolbox: &dyn Toolbox,
) -> Result<(), (&'static str, String)> {
    if let Some(step) = referenced_steps(arguments).first() {
        let words = format!("approved arguments are taken as they are: ${{{step}}} would refer to nothing");
        return Err(("invalid_arguments", words));
    }
    toolbox.check(tool, arguments).map(|_| ()).map_err(|refusal| {
        let code = match refusal {
            ToolRefusal::Unknown { .. } => "unknown_tool",
            ToolRefusal::Arguments { .. } => "invalid_arguments",
        };
        (code, refusal.to_string())
    })
}

fn retry_now(
    state: &State,
    request: &RetryNowRequest,
    own: &CommandId,
    now_ms: Millis,
) -> Result<Event, CommandRefused> {
    const ASKED: &str = "RetryNowRequested";
    let effect = &request.effect_id;
    let step = step_of(state, effect, ASKED)?;
    let running = state.running().is_some_and(|turn| turn.command == effect.command);
    if !running || step.state != StepState::Ready || step.not_before_ms <= now_ms.max(state.clock_ms) {
        return Err(CommandRefused {
            command_type: ASKED.into(),
            code: "not_in_backoff".into(),
            message: format!("{effect} does not wait for a retry: it is {}", step.state.word()).into(),
        });
    }
    Ok(Event::RetryAdvanced(RetryAdvanced {
        version: effect.version,
        step: effect.step.clone(),
        attempt: step.attempt,
        by: request.by.clone(),
        retry_command: Some(own.clone()),
    }))
}

fn accept(query: &UserQuery, toolbox: &dyn Toolbox) -> UserQueryReceived {
    UserQueryReceived {
        message: query.message.clone(),
        agent: query.agent.clone(),
        principal: query.principal.clone(),
        metadata: query.metadata.clone(),
        body_hash: query.body_hash(),
        limits: toolbox.turn_limits(&query.agent),
        token_budget: toolbox.token_budget(&query.agent),
        history: query.history.clone(),
    }
}

fn cancel(state: &State, request: &PlanCancelRequest, own: &CommandId) -> Result<Event, CommandRefused> {
    let refused = |code: &str, message: String| CommandRefused {
        command_type: "PlanCancelRequested".into(),
        code: code.into(),
        message: message.into(),
    };
    let turn = &request.turn_command_id;
    match state.known(turn.as_str()) {
        Some(known) if known.turn.is_some() && known.status == TurnStatus::Open => {
            Ok(Event::PlanCancelled(PlanCancelled {
                by: request.by.clone(),
                reason: request.reason.clone(),
                cancel_command: Some(own.clone()),
            }))
        }
        Some(_) => Err(refused("turn_not_open", format!("the turn of command {turn} has ended already"))),
        None => Err(refused("unknown_turn", format!("there is no turn of command {turn}"))),
    }
}
