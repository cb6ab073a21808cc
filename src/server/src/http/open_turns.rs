//! `GET /v1/turns`: what is open, in doubt or old, over all conversations served here; and of these, `GET /admin/v1/effects`: the
//! steps in doubt, with what a person needs to settle them (`effects` does).

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::limits::OPEN_PAGE;
use callboard_actors::{OpenCursor, OpenFilter};
use callboard_domain::State;
use callboard_domain::conversation::StepState;
use callboard_domain::id::EffectId;
use callboard_domain::json::RawJson;
use callboard_domain::open_turns::{OpenStatus, OpenTurn};
use serde::Serialize;
use utoipa::ToSchema;

use super::api::{Api, Running};
use super::parameters::Parameters;
use super::problem::Problem;

/// A page without a `limit`; the largest is the node's to say.
const PAGE: usize = 100;

/// An open turn, or an ended one with a step in doubt.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OpenTurnDto {
    pub conversation_id: String,
    pub turn: u32,
    pub command_id: String,
    pub agent: Arc<str>,
    /// `queued`, `planning`, `running`, `backing_off`, `awaiting_approval`, `in_doubt`, `synthesizing`, `ending`.
    pub status: &'static str,
    /// Whether it has its terminal event already, and only its doubts are open.
    pub ended: bool,
    pub received_at: String,
    pub age_ms: u64,
    /// When the next attempt of a step in back-off starts.
    pub retry_at: Option<String>,
    /// Of the steps that have not ended.
    pub tools: Vec<Arc<str>>,
    /// Effect ids of the steps in doubt: settle them.
    pub in_doubt: Vec<String>,
    /// Effect ids of the steps in back-off: they can be tried at once.
    pub backing_off: Vec<String>,
    /// Effect ids of the steps that await approval: decide them.
    pub awaiting_approval: Vec<String>,
}

impl OpenTurnDto {
    fn of(turn: OpenTurn, now_ms: i64) -> Self {
        let texts = |effects: &[EffectId]| effects.iter().map(ToString::to_string).collect();
        Self {
            age_ms: age_ms(&turn, now_ms),
            conversation_id: turn.conversation_id.to_string(),
            turn: turn.turn,
            command_id: turn.command_id.to_string(),
            agent: turn.agent,
            status: turn.status.as_str(),
            ended: turn.ended,
            received_at: turn.received_at,
            retry_at: turn.retry_at,
            tools: turn.tools,
            in_doubt: texts(&turn.in_doubt),
            backing_off: texts(&turn.backing_off),
            awaiting_approval: texts(&turn.awaiting_approval),
        }
    }
}

fn age_ms(turn: &OpenTurn, now_ms: i64) -> u64 {
    u64::try_from(now_ms - turn.received_ms).unwrap_or(0)
}

/// A page of open turns, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OpenTurnPage {
    pub turns: Vec<OpenTurnDto>,
    /// For the next page; `null` at the end. A page may be short, or empty, and still have a next one.
    pub next_cursor: Option<String>,
    /// Partitions that are not served here, or not yet: what is open there is not among them.
    pub missing_partitions: Vec<u32>,
}

/// Cursor and limit, as both lists have them.
pub(super) fn place(of: &mut Parameters) -> Result<(Option<OpenCursor>, usize), Problem> {
    let after = of.parsed("cursor", "a next_cursor of a page before", |text| text.parse().ok())?;
    Ok((after, of.number("limit", 1..=OPEN_PAGE)?.unwrap_or(PAGE)))
}

/// Turns that have not ended, and ended ones with a step in doubt.
#[utoipa::path(get, path = "/v1/turns", tag = "conversations",
    params(("status" = Option<String>, Query, description = "queued, planning, running, backing_off, awaiting_approval, in_doubt, synthesizing or ending"),
           ("older_than" = Option<String>, Query, description = "Received this long ago: 90s, 5m, 2h, 1d"),
           ("tool" = Option<String>, Query, description = "With an unended step of this tool"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
           ("limit" = Option<u32>, Query, description = "At most 200; 100 without it")),
    responses((status = 200, body = OpenTurnPage), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub async fn list(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut of = Parameters::of(&request, &["status", "older_than", "tool", "cursor", "limit"])?;
    let status = of.one_of("status", &OpenStatus::ALL.map(|status| (status.as_str(), status)))?;
    let older_than_ms = of.length_ms("older_than")?.map(i64::unsigned_abs);
    let tool = of.text("tool");
    let (after, limit) = place(&mut of)?;
    let running = api.running()?;
    let now_ms = running.clock.now_ms();
    let wanted = OpenFilter { status, older_than_ms, tool: tool.map(Into::into), ..OpenFilter::default() };
    let page = running.node.open_turns(&wanted, after, limit).await?;
    let next_cursor = page.next.map(|next| next.to_string());
    let turns = page.turns.into_iter().map(|turn| OpenTurnDto::of(turn, now_ms)).collect();
    Ok(HttpResponse::Ok().json(OpenTurnPage { turns, next_cursor, missing_partitions: page.missing }))
}

/// A step whose outcome nobody knows.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DoubtDto {
    pub effect_id: String,
    pub conversation_id: String,
    pub turn: u32,
    pub command_id: String,
    pub tool: Arc<str>,
    #[schema(value_type = Object)]
    pub arguments: RawJson,
    /// The attempt that is in doubt.
    pub attempts: u32,
    /// Why nobody knows.
    pub reason: Arc<str>,
    /// Of the turn.
    pub age_ms: u64,
}

/// A page of steps in doubt, those of the oldest turns first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DoubtPage {
    pub effects: Vec<DoubtDto>,
    /// For the next page; `null` at the end. A page may be short, or empty, and still have a next one.
    pub next_cursor: Option<String>,
    /// Partitions that are not served here, or not yet: what is in doubt there is not among them.
    pub missing_partitions: Vec<u32>,
}

/// Steps in doubt.
#[utoipa::path(get, path = "/admin/v1/effects", tag = "admin",
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
           ("limit" = Option<u32>, Query, description = "Turns looked through, at most 200; 100 without it")),
    responses((status = 200, body = DoubtPage), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub async fn doubts(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut of = Parameters::of(&request, &["cursor", "limit"])?;
    let (after, limit) = place(&mut of)?;
    let running = api.running()?;
    let now_ms = running.clock.now_ms();
    let wanted = OpenFilter { in_doubt: true, ..OpenFilter::default() };
    let page = running.node.open_turns(&wanted, after, limit).await?;
    let next_cursor = page.next.map(|next| next.to_string());
    let mut effects = Vec::new();
    for turn in page.turns.into_iter().filter(|turn| !turn.in_doubt.is_empty()) {
        effects.extend(doubts_of(running, turn, now_ms).await?);
    }
    Ok(HttpResponse::Ok().json(DoubtPage { effects, next_cursor, missing_partitions: page.missing }))
}

async fn doubts_of(running: &Running, turn: OpenTurn, now_ms: i64) -> Result<Vec<DoubtDto>, Problem> {
    let (number, age_ms) = (turn.turn, age_ms(&turn, now_ms));
    let look = move |state: &State| {
        let of_turn = state.doubts().filter(|(of, ..)| *of == number);
        let doubt =
            |(turn, command, version, step): (u32, &_, u32, &callboard_domain::conversation::Step)| {
                let StepState::InDoubt(reason) = &step.state else { return None };
                let effect = EffectId {
                    conversation: state.conversation.clone(),
                    command: Clone::clone(command),
                    version,
                    step: step.plan.id.clone(),
                };
                Some(DoubtDto {
                    effect_id: effect.to_string(),
                    conversation_id: effect.conversation.to_string(),
                    turn,
                    command_id: effect.command.to_string(),
                    tool: step.plan.tool.clone(),
                    arguments: step.arguments().clone(),
                    attempts: step.attempt,
                    reason: reason.clone(),
                    age_ms,
                })
            };
        of_turn.filter_map(doubt).collect::<Vec<_>>()
    };
    Ok(running.node.read(&turn.conversation_id, look).await?)
}
