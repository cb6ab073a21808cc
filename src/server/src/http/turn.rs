//! A turn by number or command id, and its plan; what the state no longer holds is read from the log.

use std::time::Duration;

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_domain::conversation::State;
use callboard_domain::event::Event;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::plan::mermaid::mermaid;
use callboard_domain::view::{self, PlanView, TurnView};
use callboard_domain::wire::Readable;
use callboard_ports::Topic;
use serde::Deserialize;

use super::api::{Api, Running};
use super::chat::answer;
use super::dto::{PlanDto, PlansDto, TurnDto};
use super::prefer;
use super::problem::Problem;
use crate::compare::fold;
use crate::records::recorded;

/// A command that was accepted a moment ago may not be a turn yet: its host decides it within milliseconds, so
/// that its Location should not say 404 meanwhile.
const DECIDED_WITHIN: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A turn as paths name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnName {
    Newest,
    Number(u32),
    Command(CommandId),
}

impl TurnName {
    /// A number that counts turns, or else a command id.
    ///
    /// # Errors
    /// 400 for what is neither.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text.parse::<u32>() {
            Ok(0) => Err(Problem::bad_request("invalid_turn", "turns count from 1").field("turn")),
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => Ok(Self::Command(CommandId::new(text)?)),
        }
    }

    /// The turn of this name, as far as the state remembers it.
    #[must_use]
    pub fn find(&self, state: &State) -> Option<TurnView> {
        match self {
            Self::Command(id) => view::turn(state, id.as_str()),
            Self::Number(number) => {
                state.known_turn(*number).and_then(|known| view::turn(state, known.command.as_str()))
            }
            Self::Newest => Self::Number(state.turns).find(state),
        }
    }
}

/// The turn of this name.
///
/// # Errors
/// 404 when there is none, or none that is remembered.
pub async fn find(running: &Running, id: &ConversationId, name: &TurnName) -> Result<TurnView, Problem> {
    let until = tokio::time::Instant::now() + DECIDED_WITHIN;
    loop {
        let asked = name.clone();
        let (turn, turns) = running.node.read(id, move |state| (asked.find(state), state.turns)).await?;
        if let Some(turn) = turn {
            return Ok(turn);
        }
        let may_come = matches!(name, TurnName::Command(_)) && tokio::time::Instant::now() < until;
        if !may_come {
            return Err(match (name, turns) {
                (_, 0) => {
                    Problem::not_found("unknown_conversation", format!("there is no conversation {id}"))
                }
                (TurnName::Number(n), _) if *n <= turns => {
                    let detail = format!(
                        "turn {n} of {turns} is no longer remembered by number; its events are in the log"
                    );
                    Problem::not_found("turn_forgotten", detail)
                }
                _ => Problem::not_found(
                    "unknown_turn",
                    format!("conversation {id} has no such turn; it has {turns}"),
                ),
            });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A turn with its answer, read from the log where the state has let go of it.
///
/// # Errors
/// When the log cannot be read.
pub async fn whole(running: &Running, mut turn: TurnView) -> Result<TurnView, Problem> {
    if turn.in_state {
        return Ok(turn);
    }
    match event_at(running, &turn.conversation_id, turn.offset).await? {
        Some(Event::FinalAnswerSynthesized(body)) => turn.answer = Some(body.answer),
        Some(Event::PlanFailed(body)) => turn.error = Some(body.error),
        _ => {}
    }
    Ok(turn)
}

/// The event of a conversation at this offset.
async fn event_at(running: &Running, id: &ConversationId, offset: u64) -> Result<Option<Event>, Problem> {
    // Kafka's fetch may give more than was asked for; the range ends it.
    #[allow(clippy::single_range_in_vec_init, reason = "the port takes ranges")]
    let range = vec![offset..offset + 1];
    let (partition, key) = (running.node.partition_of(id), Some(id.to_string()));
    let mut records = running.log.replay(Topic::ConversationEvents, partition, range, key);
    let mut found = None;
    while let Some(batch) = records.recv().await {
        let batch = batch?;
        for record in recorded(&batch, id).filter(|record| record.offset == offset) {
            if let Readable::Event(event) = record.body {
                found = Some(event);
            }
        }
    }
    Ok(found)
}

/// A turn, by number or command id.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/turns/{turn}", tag = "conversations",
    params(("id" = String, Path), ("turn" = String, Path, description = "Number from 1, or command id"),
           ("Prefer" = Option<String>, Header, description = "`wait=S`: wait for its end, at most 300")),
    responses((status = 200, body = TurnDto), (status = 202, body = TurnDto, description = "Not ended yet"),
              (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn get(
    api: web::Data<Api>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let id = ConversationId::new(&path.0)?;
    let name = TurnName::parse(&path.1)?;
    let wait = prefer::wait(&request, Duration::ZERO);
    let turn = match (find(running, &id, &name).await, &name) {
        (Ok(turn), _) => turn,
        (Err(problem), TurnName::Command(command))
            if problem.status == Some(404) && api.is_accepted(&id, command) =>
        {
            if let Some(Ok(ended)) = api.wait_for(wait, running.node.ended(&id, command)).await {
                return answer(running, ended, false).await;
            }
            return Ok(not_yet(TurnDto::accepted(&id, command)));
        }
        (Err(problem), _) => return Err(problem),
    };
    if turn.status != "pending" {
        return answer(running, turn, false).await;
    }
    if !wait.is_zero()
        && let Some(Ok(ended)) = api.wait_for(wait, running.node.ended(&id, &turn.command_id)).await
    {
        return answer(running, ended, false).await;
    }
    Ok(not_yet(TurnDto::from(turn)))
}

fn not_yet(turn: TurnDto) -> HttpResponse {
    HttpResponse::Accepted().insert_header(("Retry-After", "1")).json(turn)
}

/// What a plan is asked for with.
#[derive(Debug, Deserialize)]
pub struct PlanQuery {
    /// From 1; the newest without it.
    version: Option<u32>,
    /// `mermaid`, for those who cannot set Accept.
    format: Option<String>,
}

/// A turn's plan, live.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/turns/{turn}/plan", tag = "conversations",
    params(("id" = String, Path), ("turn" = String, Path, description = "Number from 1, or command id"),
           ("version" = Option<u32>, Query, description = "From 1; the newest without it"),
           ("format" = Option<String>, Query, description = "`mermaid`, as Accept: text/vnd.mermaid")),
    responses((status = 200, body = PlanDto), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn plan(
    api: web::Data<Api>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    query: web::Query<PlanQuery>,
) -> Result<HttpResponse, Problem> {
    plan_of(&api, &request, &path.0, &TurnName::parse(&path.1)?, &query).await
}

/// The newest turn's plan, live.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/plan", tag = "conversations",
    params(("id" = String, Path), ("version" = Option<u32>, Query), ("format" = Option<String>, Query)),
    responses((status = 200, body = PlanDto), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn newest_plan(
    api: web::Data<Api>,
    request: HttpRequest,
    path: web::Path<String>,
    query: web::Query<PlanQuery>,
) -> Result<HttpResponse, Problem> {
    plan_of(&api, &request, &path, &TurnName::Newest, &query).await
}

/// Every version of a turn's plan, live.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/turns/{turn}/plans", tag = "conversations",
    params(("id" = String, Path), ("turn" = String, Path, description = "Number from 1, or command id")),
    responses((status = 200, body = PlansDto), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn plans(api: web::Data<Api>, path: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (turn, plans) = all_of(&api, &path.0, &TurnName::parse(&path.1)?).await?;
    let versions = plans.len();
    let plans = plans.into_iter().map(|plan| PlanDto::of(plan, versions)).collect();
    Ok(HttpResponse::Ok().json(PlansDto { conversation_id: path.0.clone(), turn, plans }))
}

/// The number of a turn, and every version of its plan.
async fn all_of(api: &Api, id: &str, name: &TurnName) -> Result<(u32, Vec<PlanView>), Problem> {
    let running = api.running()?;
    let id = ConversationId::new(id)?;
    let turn = find(running, &id, name).await?;
    let (number, now_ms) = (turn.turn, running.clock.now_ms());
    let plans: Vec<PlanView> =
        running.node.read(&id, move |state| view::plans(state, number, now_ms)).await?;
    if !plans.is_empty() {
        return Ok((number, plans));
    }
    // The state has let go of it; right after its last event it still had it in full.
    let records = running.node.records(&id).await?;
    let state = fold(&id, Some(turn.offset), records, |_, _, _| {}).await?;
    Ok((number, view::plans(&state, number, now_ms)))
}

async fn plan_of(
    api: &Api,
    request: &HttpRequest,
    id: &str,
    name: &TurnName,
    query: &PlanQuery,
) -> Result<HttpResponse, Problem> {
    let (number, mut plans) = all_of(api, id, name).await?;
    let versions = plans.len();
    let wanted = match query.version {
        None => plans.pop(),
        Some(version) => plans.into_iter().find(|plan| plan.version == version),
    };
    let plan = wanted.ok_or_else(|| {
        let detail = format!("turn {number} has no such plan version; it has {versions}");
        Problem::not_found("unknown_version", detail).field("version")
    })?;
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if query.format.as_deref() == Some("mermaid") || accepts.contains("text/vnd.mermaid") {
        return Ok(HttpResponse::Ok().content_type("text/vnd.mermaid; charset=utf-8").body(mermaid(&plan)));
    }
    Ok(HttpResponse::Ok().json(PlanDto::of(plan, versions)))
}
