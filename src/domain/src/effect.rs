//! Effects: the outstanding work that a state calls for, small enough to be derived after every record.
//! Their inputs (what a planner, a tool, a synthesizer is given) are built from the state when they are issued.

use std::sync::Arc;

use crate::conversation::{Phase, PlanVersion, State, Step, StepState, Turn};
use crate::event::{Author, Event, Outcome, PlanFailed, PlanGenerated, TurnError, clip};
use crate::id::{CommandId, EffectId, StepId};
use crate::json::RawJson;
use crate::limits::MAX_HISTORY_BYTES;
use crate::plan::{EffectClass, PlanReason, Then};
use crate::request::{Exchange, StepReport};
use crate::time::Millis;

/// One piece of outstanding work.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the planner for plan `version` before `until_ms`.
    AskPlanner { command: CommandId, version: u32, reason: PlanReason, until_ms: Millis },
    /// Request one attempt of a step.
    Invoke { command: CommandId, version: u32, step: StepId, attempt: u32, until_ms: Millis },
    /// Call off what may be under way of a step whose turn has closed; nobody need remember it after `until_ms`.
    CancelInvocation { command: CommandId, version: u32, step: StepId, attempt: u32, until_ms: Millis },
    /// Request the answer before `until_ms`.
    Synthesize { command: CommandId, version: u32, until_ms: Millis },
    /// Append an event that follows from the state and the time alone.
    Append { command: CommandId, event: Event },
}

/// Identity of an effect while it is under way; volatile, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectKey {
    kind: &'static str,
    command: CommandId,
    version: u32,
    step: Option<StepId>,
    attempt: u32,
}

impl EffectKey {
    /// The key of asking for the first plan of `command`, also before its turn was read back.
    #[must_use]
    pub fn first_plan(command: &CommandId) -> Self {
        Self { kind: "plan", command: command.clone(), version: 1, step: None, attempt: 0 }
    }

    /// The plan version that is asked for, where it is one.
    #[must_use]
    pub fn plan_version(&self) -> Option<u32> {
        (self.kind == "plan").then_some(self.version)
    }
}

impl Effect {
    #[must_use]
    pub fn key(&self) -> EffectKey {
        let key = |kind, command: &CommandId, version, step, attempt| EffectKey {
            kind,
            command: command.clone(),
            version,
            step,
            attempt,
        };
        match self {
            Self::AskPlanner { command, version, .. } => key("plan", command, *version, None, 0),
            Self::Invoke { command, version, step, attempt, .. } => {
                key("invoke", command, *version, Some(step.clone()), *attempt)
            }
            Self::CancelInvocation { command, version, step, attempt, .. } => {
                key("cancel", command, *version, Some(step.clone()), *attempt)
            }
            Self::Synthesize { command, version, .. } => key("synthesize", command, *version, None, 0),
            Self::Append { command, event } => match event {
                Event::DeadlineExpired(body) => {
                    key(event.name(), command, body.version, Some(body.step.clone()), body.attempt)
                }
                Event::ApprovalRequested(body) => {
                    key(event.name(), command, body.version, Some(body.step.clone()), 0)
                }
                Event::ToolInvocationInDoubt(body) => {
                    key(event.name(), command, body.version, Some(body.step.clone()), body.attempt)
                }
                _ => key(event.name(), command, 0, None, 0),
            },
        }
    }
}

/// What a tool is asked to do, derived from the state.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    pub effect_id: EffectId,
    pub attempt: u32,
    pub tool: Arc<str>,
    pub arguments: RawJson,
    pub effect: EffectClass,
    pub pool: Arc<str>,
    pub timeout_ms: u64,
}

/// The invocation behind [`Effect::Invoke`]; `None` when the state has moved on.
#[must_use]
pub fn invocation(state: &State, command: &CommandId, version: u32, step: &StepId) -> Option<Invocation> {
    let turn = state.running().filter(|turn| turn.command == *command)?;
    let step = turn.plan().filter(|plan| plan.version == version)?.step(step)?;
    Some(of_step(effect_id(state, turn, version, &step.plan.id), step))
}

/// The step behind [`Effect::CancelInvocation`]; `None` when the state has moved on.
#[must_use]
pub fn cancelled(state: &State, command: &CommandId, version: u32, step: &StepId) -> Option<Invocation> {
    let turn = state.closed.iter().rev().find(|turn| turn.command == *command)?;
    let (_, step) = turn.loose_steps().find(|(of, found)| *of == version && found.plan.id == *step)?;
    let effect_id = EffectId {
        conversation: state.conversation.clone(),
        command: command.clone(),
        version,
        step: step.plan.id.clone(),
    };
    Some(of_step(effect_id, step))
}

fn of_step(effect_id: EffectId, step: &Step) -> Invocation {
    Invocation {
        effect_id,
        attempt: step.attempt,
        tool: step.plan.tool.clone(),
        arguments: step.arguments().clone(),
        effect: step.plan.policy.effect,
        pool: step.plan.policy.pool.clone(),
        timeout_ms: step.plan.policy.timeout_ms,
    }
}

fn effect_id(state: &State, turn: &Turn, version: u32, step: &StepId) -> EffectId {
    EffectId {
        conversation: state.conversation.clone(),
        command: turn.command.clone(),
        version,
        step: step.clone(),
    }
}

/// Every ended step of a turn, oldest version first.
#[must_use]
pub fn reports(versions: &[PlanVersion]) -> Vec<StepReport> {
    let of = |version: u32, step: &crate::conversation::Step| {
        let outcome = match &step.state {
            StepState::Done(result) => Some(Outcome::Ok(result.clone())),
            StepState::Failed(error) => Some(Outcome::Error(error.clone())),
            _ => None,
        };
        let (id, tool, arguments) = (step.plan.id.clone(), step.plan.tool.clone(), step.arguments().clone());
        StepReport { version, id, tool, arguments, outcome }
    };
    versions.iter().flat_map(|plan| plan.steps.iter().map(move |step| of(plan.version, step))).collect()
}

/// What is recorded where no planner had plan `version`: see [`without_plan`]. Where that gives nothing the turn fails, unless
/// the plan came after all and is first in the log.
#[must_use]
pub fn planless(turn: Option<&Turn>, version: u32, why: &str) -> Event {
    turn.and_then(|turn| without_plan(turn, version, why)).unwrap_or_else(|| {
        let error = TurnError::new("no_plan", why);
        Event::PlanFailed(PlanFailed { error, missing_version: Some(version) })
    })
}

/// A version without steps in the place of plan `version`, which does not come: finished results are kept, and answered from.
/// `None` where there are none.
#[must_use]
pub fn without_plan(turn: &Turn, version: u32, why: &str) -> Option<Event> {
    let Phase::Planning(reason) = turn.phase else { return None };
    let done = |plan: &PlanVersion| plan.steps.iter().any(|step| matches!(step.state, StepState::Done(_)));
    if turn.version() + 1 != version || !turn.versions.iter().any(done) {
        return None;
    }
    let words = format!("There is no further plan ({why}): answer from the results that there are.");
    let planner = Author { provider: "none".into(), model: None, input_tokens: None, output_tokens: None };
    Some(Event::PlanGenerated(PlanGenerated {
        version,
        reason,
        planner,
        steps: Vec::new(),
        then: Then::Answer,
        guidance: Some(Arc::from(clip(&words))),
        models: None,
        approvals: Vec::new(),
    }))
}

/// Earlier exchanges for planner and synthesizer: the newest that fit [`MAX_HISTORY_BYTES`], oldest first,
/// nothing from before the last history reset. What the conversation began with is the oldest.
#[must_use]
pub fn history(state: &State) -> Vec<Exchange> {
    let mut left = MAX_HISTORY_BYTES;
    let mut out: Vec<Exchange> = Vec::new();
    let closed = state.closed.iter().rev().filter(|turn| turn.number > state.context_floor);
    let closed = closed.map(|turn| (&turn.message, &turn.answer));
    let seed = state.seed.iter().rev().map(|exchange| (&exchange.message, &exchange.answer));
    for (message, answer) in closed.chain(seed) {
        match left.checked_sub(message.len() + answer.as_ref().map_or(0, |answer| answer.len())) {
            Some(rest) => left = rest,
            None => break,
        }
        out.push(Exchange { message: message.clone(), answer: answer.clone() });
    }
    out.reverse();
    out
}
