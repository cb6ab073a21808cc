//! What HTTP gives: the domain's views in the shapes that outsiders rely on (OpenAPI is generated from these).

use std::sync::Arc;

use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::json::RawJson;
use callboard_domain::plan::PlanReason;
use callboard_domain::view::{ConversationView, HistoryView, PlanView, StepView, TurnView};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;

/// A turn: what a chat answers with.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TurnDto {
    pub conversation_id: String,
    /// From 1; `null` while the message is accepted and not yet a turn.
    pub turn: Option<u32>,
    pub command_id: String,
    /// `answered`, `failed`, `cancelled`, `pending`.
    pub status: String,
    pub answer: Option<String>,
    /// Why a turn failed.
    pub error: Option<Problem>,
    /// Offset of the event that ended it, or of the newest event; for `/history?min_offset=`.
    pub offset: Option<u64>,
}

impl TurnDto {
    /// A message that is in the log and not yet a turn.
    #[must_use]
    pub fn accepted(conversation: &ConversationId, command: &CommandId) -> Self {
        Self {
            conversation_id: conversation.to_string(),
            turn: None,
            command_id: command.to_string(),
            status: "pending".to_owned(),
            answer: None,
            error: None,
            offset: None,
        }
    }
}

impl From<TurnView> for TurnDto {
    fn from(view: TurnView) -> Self {
        Self {
            conversation_id: view.conversation_id.to_string(),
            turn: Some(view.turn),
            command_id: view.command_id.to_string(),
            status: view.status.to_owned(),
            answer: view.answer.map(|answer| answer.to_string()),
            error: view.error.as_ref().map(Problem::of_turn),
            offset: Some(view.offset),
        }
    }
}

/// Who planned.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlannerDto {
    pub provider: Arc<str>,
    pub model: Option<Arc<str>>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ToolErrorDto {
    pub kind: Arc<str>,
    pub message: Arc<str>,
    pub retryable: bool,
}

/// A step of a plan, live.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StepDto {
    pub id: String,
    pub tool: Arc<str>,
    #[schema(value_type = Object)]
    pub arguments: RawJson,
    pub depends_on: Vec<String>,
    /// `waiting`, `running`, `done`, `failed`, `skipped`, `in_doubt`, `awaiting_approval`, `cancelled`.
    pub status: &'static str,
    /// Highest attempt requested.
    pub attempts: u32,
    pub effect_id: String,
    pub started_at: Option<Arc<str>>,
    pub finished_at: Option<Arc<str>>,
    /// When a step in back-off is tried again.
    pub retry_at: Option<String>,
    /// Until when a step that awaits approval waits.
    pub approval_until: Option<String>,
    pub approved_by: Option<Arc<str>>,
    #[schema(value_type = Object, nullable)]
    pub result: Option<RawJson>,
    pub error: Option<ToolErrorDto>,
}

impl From<StepView> for StepDto {
    fn from(step: StepView) -> Self {
        let error =
            step.error.map(|e| ToolErrorDto { kind: e.kind, message: e.message, retryable: e.retryable });
        Self {
            id: step.id.to_string(),
            tool: step.tool,
            arguments: step.arguments,
            depends_on: step.depends_on.iter().map(ToString::to_string).collect(),
            status: step.status.as_str(),
            attempts: step.attempts,
            effect_id: step.effect_id.to_string(),
            started_at: step.started_at,
            finished_at: step.finished_at,
            retry_at: step.retry_at,
            approval_until: step.approval_until,
            approved_by: step.approved_by,
            result: step.result,
            error,
        }
    }
}

/// A plan version, live.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlanDto {
    pub conversation_id: String,
    pub turn: u32,
    /// 0 before the first plan.
    pub version: u32,
    /// How many versions there are.
    pub versions: u32,
    /// `queued`, `planning`, `running`, `answered`, `failed`, `cancelled`.
    pub status: &'static str,
    pub planner: Option<PlannerDto>,
    /// Why it was asked for: `first`, `continue`, `failure`, `edit`.
    pub reason: Option<&'static str>,
    /// The planner's word to whoever writes the answer.
    pub guidance: Option<Arc<str>>,
    pub steps: Vec<StepDto>,
}

impl PlanDto {
    #[must_use]
    pub fn of(plan: PlanView, versions: usize) -> Self {
        Self {
            conversation_id: plan.conversation_id.to_string(),
            turn: plan.turn,
            version: plan.version,
            versions: if plan.version == 0 { 0 } else { u32::try_from(versions).unwrap_or(u32::MAX) },
            status: plan.status.as_str(),
            planner: plan.planner.map(|p| PlannerDto { provider: p.provider, model: p.model }),
            reason: plan.reason.map(PlanReason::as_str),
            guidance: plan.guidance,
            steps: plan.steps.into_iter().map(StepDto::from).collect(),
        }
    }
}

/// Every version of a turn's plan, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlansDto {
    pub conversation_id: String,
    pub turn: u32,
    pub plans: Vec<PlanDto>,
}

/// A record that holds a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BlockedDto {
    pub offset: u64,
    pub r#type: String,
    pub version: u32,
}

/// A conversation at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConversationDto {
    pub conversation_id: String,
    /// Offset of the next event.
    pub offset: u64,
    pub turns: u32,
    /// Number of the running turn.
    pub running: Option<u32>,
    pub queued: usize,
    pub updated_at: String,
    pub blocked: Option<BlockedDto>,
    /// By plans and answers of all its turns.
    pub tokens_used: u64,
    /// `null`: it may use as many as it takes.
    pub token_budget: Option<u64>,
}

impl From<ConversationView> for ConversationDto {
    fn from(view: ConversationView) -> Self {
        let blocked =
            view.blocked.map(|b| BlockedDto { offset: b.offset, r#type: b.kind.into(), version: b.version });
        Self {
            conversation_id: view.conversation_id.to_string(),
            offset: view.offset,
            turns: view.turns,
            running: view.running,
            queued: view.queued,
            updated_at: view.updated_at,
            blocked,
            tokens_used: view.tokens_used,
            token_budget: view.token_budget,
        }
    }
}

/// One entry of the list of conversations.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConversationEntry {
    pub conversation_id: String,
}

/// A page of conversations, in order of their ids.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConversationPage {
    pub conversations: Vec<ConversationEntry>,
    /// For the next page; `null` at the end.
    pub next_cursor: Option<String>,
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryTurnDto {
    pub turn: u32,
    pub command_id: String,
    pub message: Arc<str>,
    /// `answered`, `failed`, `cancelled`, `pending`.
    pub status: Arc<str>,
    pub answer: Option<Arc<str>>,
    pub at: String,
}

/// A conversation's exchanges, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryDto {
    pub conversation_id: String,
    /// Offset of the next event.
    pub offset: u64,
    pub turns: Vec<HistoryTurnDto>,
}

impl From<HistoryView> for HistoryDto {
    fn from(view: HistoryView) -> Self {
        let turn = |turn: callboard_domain::view::HistoryTurn| HistoryTurnDto {
            turn: turn.turn,
            command_id: turn.command_id.to_string(),
            message: turn.message,
            status: turn.status,
            answer: turn.answer,
            at: turn.at,
        };
        Self {
            conversation_id: view.conversation_id.to_string(),
            offset: view.offset,
            turns: view.turns.into_iter().map(turn).collect(),
        }
    }
}

/// Replay against life.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReplayDto {
    pub conversation_id: String,
    /// Byte for byte.
    pub equal: bool,
    pub offset: u64,
    /// Records folded.
    pub records: u64,
    /// Size of the state.
    pub bytes: u64,
    pub live_digest: String,
    pub replay_digest: String,
    /// The replayed state; left out by `?state=false`.
    #[schema(value_type = Object, nullable)]
    pub state: Option<serde_json::Value>,
}

/// A context that was cleared.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ResetDto {
    pub conversation_id: String,
    pub command_id: String,
    /// `done`, or `pending` while it is accepted and not yet in effect.
    pub status: &'static str,
}

/// Whether requests would be served.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReadyDto {
    pub ready: bool,
    pub waiting_for: Vec<String>,
}
