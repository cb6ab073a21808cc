//! `view`: what people and the inspection endpoint see. Derived from the state; nothing acts on it.

use std::sync::Arc;

use serde::Serialize;

use crate::conversation::{
    Blocked, ClosedTurn, Phase, PlanVersion, State, Step, StepState, Turn, TurnStatus,
};
use crate::event::{ToolError, TurnError};
use crate::id::{CommandId, ConversationId, EffectId, StepId};
use crate::json::RawJson;
use crate::plan::{PlanReason, Then};
use crate::time::{Millis, rfc3339};

/// A turn's answer, or that there is none yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnView {
    pub conversation_id: ConversationId,
    pub turn: u32,
    pub command_id: CommandId,
    /// `answered`, `failed`, `cancelled`, `pending`.
    pub status: &'static str,
    /// `None` also where the answer is too old to be kept in the state: read it at `offset`.
    pub answer: Option<Arc<str>>,
    pub error: Option<TurnError>,
    /// Offset of the terminal event, or of the newest record applied.
    pub offset: u64,
    /// Whether answer and error are in the state; `false` for old turns, whose terminal event lies at `offset`.
    #[serde(skip)]
    pub in_state: bool,
}

/// How a step stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Waiting,
    Running,
    Done,
    Failed,
    Skipped,
    InDoubt,
    AwaitingApproval,
    Cancelled,
}

impl StepStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::InDoubt => "in_doubt",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    Queued,
    Planning,
    Running,
    Answered,
    Failed,
    Cancelled,
}

impl PlanStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Who planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannerView {
    pub provider: Arc<str>,
    pub model: Option<Arc<str>>,
}

/// A step, live.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepView {
    pub id: StepId,
    pub tool: Arc<str>,
    pub arguments: RawJson,
    pub depends_on: Vec<StepId>,
    pub status: StepStatus,
    /// Highest attempt requested.
    pub attempts: u32,
    pub effect_id: EffectId,
    pub started_at: Option<Arc<str>>,
    pub finished_at: Option<Arc<str>>,
    /// Until when a step that awaits approval waits.
    pub approval_until: Option<String>,
    pub approved_by: Option<Arc<str>>,
    /// When a step in back-off is tried again.
    pub retry_at: Option<String>,
    pub result: Option<RawJson>,
    pub error: Option<ToolError>,
}

/// A plan version, live.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanView {
    pub conversation_id: ConversationId,
    pub turn: u32,
    /// 0 before the first plan.
    pub version: u32,
    pub status: PlanStatus,
    pub planner: Option<PlannerView>,
    pub reason: Option<PlanReason>,
    pub then: Option<Then>,
    /// The planner's word to whoever writes the answer.
    pub guidance: Option<Arc<str>>,
    pub steps: Vec<StepView>,
}

/// A conversation at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversationView {
    pub conversation_id: ConversationId,
    /// Offset of the next record that it will apply.
    pub offset: u64,
    pub turns: u32,
    /// Number of the running turn.
    pub running: Option<u32>,
    pub queued: usize,
    pub updated_at: String,
    pub blocked: Option<Blocked>,
    pub tokens_used: u64,
    /// What it may use; `None`: as many as it takes.
    pub token_budget: Option<u64>,
}

/// One exchange of a history.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct HistoryTurn {
    pub turn: u32,
    pub command_id: CommandId,
    pub message: Arc<str>,
    pub status: Arc<str>,
    pub answer: Option<Arc<str>>,
    pub at: String,
}

/// A conversation's exchanges, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct HistoryView {
    pub conversation_id: ConversationId,
    /// Offset of the next record.
    pub offset: u64,
    pub turns: Vec<HistoryTurn>,
}

fn status_word(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Open => "pending",
        TurnStatus::Answered => "answered",
        TurnStatus::Failed => "failed",
        TurnStatus::Cancelled => "cancelled",
    }
}

/// The turn of a command, as far as the state remembers it.
#[must_use]
pub fn turn(state: &State, command: &str) -> Option<TurnView> {
    let known = state.known(command)?;
    let number = known.turn?;
    let closed = state.closed.iter().rev().find(|turn| turn.number == number);
    Some(TurnView {
        conversation_id: state.conversation.clone(),
        turn: number,
        command_id: known.command.clone(),
        status: status_word(known.status),
        answer: closed.and_then(|turn| turn.answer.clone()),
        error: closed.and_then(|turn| turn.error.clone()),
        offset: known.terminal_offset.unwrap_or(state.next_offset.saturating_sub(1)),
        in_state: closed.is_some() || known.status == TurnStatus::Open,
    })
}

/// The conversation at a glance.
#[must_use]
pub fn view(state: &State) -> ConversationView {
    ConversationView {
        conversation_id: state.conversation.clone(),
        offset: state.next_offset,
        turns: state.turns,
        running: state.running().map(|turn| turn.number),
        queued: state.open.len().saturating_sub(1),
        updated_at: rfc3339(state.clock_ms),
        blocked: state.blocked.clone(),
        tokens_used: state.tokens_used,
        token_budget: state.token_budget,
    }
}

/// Every plan version of turn `number`, oldest first; one without steps while there is no plan yet; empty
/// when the state no longer holds that turn in full.
#[must_use]
pub fn plans(state: &State, number: u32, now_ms: Millis) -> Vec<PlanView> {
    let now_ms = now_ms.max(state.clock_ms);
    if let Some(turn) = state.open.iter().find(|turn| turn.number == number) {
        let status = match turn.phase {
            Phase::Queued => PlanStatus::Queued,
            Phase::Planning(_) => PlanStatus::Planning,
            _ => PlanStatus::Running,
        };
        return versions(state, turn.number, &turn.command, &turn.versions, status, Some((turn, now_ms)));
    }
    let Some(turn) = state.closed.iter().find(|turn| turn.number == number) else { return Vec::new() };
    let status = match turn.status {
        TurnStatus::Answered | TurnStatus::Open => PlanStatus::Answered,
        TurnStatus::Failed => PlanStatus::Failed,
        TurnStatus::Cancelled => PlanStatus::Cancelled,
    };
    versions(state, turn.number, &turn.command, &turn.versions, status, None)
}

fn versions(
    state: &State,
    number: u32,
    command: &CommandId,
    versions: &[PlanVersion],
    status: PlanStatus,
    live: Option<(&Turn, Millis)>,
) -> Vec<PlanView> {
    let empty = PlanView {
        conversation_id: state.conversation.clone(),
        turn: number,
        version: 0,
        status,
        planner: None,
        reason: None,
        then: None,
        guidance: None,
        steps: Vec::new(),
    };
    if versions.is_empty() {
        return vec![empty];
    }
    let of = |plan: &PlanVersion| PlanView {
        version: plan.version,
        planner: Some(PlannerView {
            provider: plan.planner.provider.clone(),
            model: plan.planner.model.clone(),
        }),
        reason: Some(plan.reason),
        then: Some(plan.then),
        guidance: plan.guidance.clone(),
        steps: plan.steps.iter().map(|s| step(state, command, plan.version, s, live)).collect(),
        ..empty.clone()
    };
    versions.iter().map(of).collect()
}

fn step(
    state: &State,
    command: &CommandId,
    version: u32,
    step: &Step,
    live: Option<(&Turn, Millis)>,
) -> StepView {
    let in_backoff = |now_ms: Millis| step.state == StepState::Ready && now_ms < step.not_before_ms;
    let status = match (&step.state, live) {
        (StepState::Done(_), _) => StepStatus::Done,
        (StepState::Failed(error), _) if &*error.kind == "cancelled" => StepStatus::Cancelled,
        (StepState::Failed(_), _) => StepStatus::Failed,
        (StepState::Skipped, _) => StepStatus::Skipped,
        (StepState::InDoubt(_), _) => StepStatus::InDoubt,
        (_, None) => StepStatus::Cancelled,
        (StepState::AwaitingApproval(_), _) => StepStatus::AwaitingApproval,
        (StepState::Waiting, _) => StepStatus::Waiting,
        (StepState::Ready, Some((turn, now_ms))) => {
            let acting = turn.phase == Phase::Acting && !in_backoff(now_ms) && !step.wants_approval();
            if acting { StepStatus::Running } else { StepStatus::Waiting }
        }
    };
    let waits = live.is_some_and(|(_, now_ms)| in_backoff(now_ms));
    let (result, error) = match &step.state {
        StepState::Done(result) => (Some(result.clone()), None),
        StepState::Failed(error) => (None, Some(error.clone())),
        _ => (None, step.last_error.clone()),
    };
    StepView {
        id: step.plan.id.clone(),
        tool: step.plan.tool.clone(),
        arguments: step.arguments().clone(),
        depends_on: step.plan.depends_on.clone(),
        status,
        attempts: step.attempt - u32::from(waits),
        effect_id: EffectId {
            conversation: state.conversation.clone(),
            command: command.clone(),
            version,
            step: step.plan.id.clone(),
        },
        started_at: step.started_at.clone(),
        finished_at: step.finished_at.clone(),
        retry_at: waits.then(|| rfc3339(step.not_before_ms)),
        approval_until: match (&step.state, live) {
            (StepState::AwaitingApproval(awaited), Some(_)) => Some(rfc3339(awaited.until_ms())),
            _ => None,
        },
        approved_by: step.approved_by.clone(),
        result,
        error,
    }
}

/// The exchanges that the state holds in full, oldest first.
#[must_use]
pub fn history(state: &State) -> HistoryView {
    let closed = |turn: &ClosedTurn| HistoryTurn {
        turn: turn.number,
        command_id: turn.command.clone(),
        message: turn.message.clone(),
        status: status_word(turn.status).into(),
        answer: turn.answer.clone(),
        at: rfc3339(turn.received_ms),
    };
    let open = |turn: &Turn| HistoryTurn {
        turn: turn.number,
        command_id: turn.command.clone(),
        message: turn.message.clone(),
        status: "pending".into(),
        answer: None,
        at: rfc3339(turn.received_ms),
    };
    let mut turns: Vec<_> = state.closed.iter().map(closed).chain(state.open.iter().map(open)).collect();
    turns.sort_by_key(|turn| turn.turn);
    HistoryView { conversation_id: state.conversation.clone(), offset: state.next_offset, turns }
}
