//! Conversations: the list, one at a glance, its history, its replay.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use callboard_domain::id::ConversationId;
use callboard_domain::view;
use serde::Deserialize;

use super::api::{Api, Running};
use super::dto::{ConversationDto, ConversationEntry, ConversationPage, HistoryDto, ReplayDto};
use super::prefer;
use super::problem::Problem;
use crate::compare::{Frozen, compare};
use crate::history;

/// A page's default and largest size: ids are short, a page stays below 100 kB.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Exchanges of a history: at their bounds they would still be large, so that more must be asked for by event.
const TURNS: usize = 100;
const MAX_TURNS: usize = 1_000;
/// How long `min_offset` is waited for by default: a read-back takes milliseconds.
const READ_YOUR_WRITES: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, Deserialize)]
pub struct PageQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// The conversations served here, in order of their ids.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations",
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
           ("limit" = Option<u32>, Query, description = "At most 1000; 100 without it")),
    responses((status = 200, body = ConversationPage), (status = 503, body = Problem))
)]
pub async fn list(api: web::Data<Api>, query: web::Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let after = match query.cursor.as_deref() {
        None | Some("") => None,
        Some(cursor) => Some(ConversationId::new(cursor).map_err(|e| {
            Problem::bad_request("invalid_cursor", format!("this is no cursor: {e}")).field("cursor")
        })?),
    };
    let ids = running.node.conversations(after, limit).await?;
    let next_cursor = (ids.len() >= limit).then(|| ids.last().map(ToString::to_string)).flatten();
    let conversations = ids.iter().map(|id| ConversationEntry { conversation_id: id.to_string() }).collect();
    Ok(HttpResponse::Ok().json(ConversationPage { conversations, next_cursor }))
}

fn unknown(id: &ConversationId) -> Problem {
    Problem::not_found("unknown_conversation", format!("there is no conversation {id}"))
}

/// One conversation at a glance.
#[utoipa::path(
    get, path = "/v1/conversations/{id}", tag = "conversations", params(("id" = String, Path)),
    responses((status = 200, body = ConversationDto), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn get(api: web::Data<Api>, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let id = ConversationId::new(&path)?;
    let found = running.node.read(&id, |state| (!state.is_empty()).then(|| view::view(state))).await?;
    Ok(HttpResponse::Ok().json(ConversationDto::from(found.ok_or_else(|| unknown(&id))?)))
}

#[derive(Debug, Deserialize)]
pub struct HistoryQuery {
    min_offset: Option<u64>,
    limit: Option<usize>,
}

/// What was said.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/history", tag = "conversations",
    params(("id" = String, Path),
           ("min_offset" = Option<u64>, Query, description = "Wait until the event at this offset is in it"),
           ("limit" = Option<u32>, Query, description = "Newest exchanges, at most 1000; 100 without it")),
    responses((status = 200, body = HistoryDto), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn history(
    api: web::Data<Api>,
    request: HttpRequest,
    path: web::Path<String>,
    query: web::Query<HistoryQuery>,
) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let id = ConversationId::new(&path)?;
    let limit = query.limit.unwrap_or(TURNS).clamp(1, MAX_TURNS);
    if let Some(offset) = query.min_offset {
        reach(running, &id, offset, prefer::wait(&request, READ_YOUR_WRITES)).await?;
    }
    let (in_state, turns, empty) =
        running.node.read(&id, |state| (view::history(state), state.turns, state.is_empty())).await?;
    if empty {
        return Err(unknown(&id));
    }
    let held = in_state.turns.len();
    let mut found = if held >= turns as usize || held >= limit {
        in_state
    } else {
        history::from_log(&id, running.node.records(&id).await?, limit).await?
    };
    let beyond = found.turns.len().saturating_sub(limit);
    found.turns.drain(..beyond);
    Ok(HttpResponse::Ok().json(HistoryDto::from(found)))
}

/// Waits until the conversation has applied the event at `offset`.
async fn reach(running: &Running, id: &ConversationId, offset: u64, wait: Duration) -> Result<(), Problem> {
    let until = tokio::time::Instant::now() + wait;
    loop {
        let next = running.node.read(id, |state| state.next_offset).await?;
        if next > offset {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            let detail = format!("the event at offset {offset} is not applied yet; the next one is {next}");
            return Err(Problem::unavailable("not_caught_up", detail).field("min_offset"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[derive(Debug, Deserialize)]
pub struct ReplayQuery {
    state: Option<bool>,
}

/// Folds the log from the first record and compares with the live state, byte for byte.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/replay", tag = "conversations",
    params(("id" = String, Path), ("state" = Option<bool>, Query, description = "false leaves the state out")),
    responses((status = 200, body = ReplayDto), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn replay(
    api: web::Data<Api>,
    path: web::Path<String>,
    query: web::Query<ReplayQuery>,
) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let id = ConversationId::new(&path)?;
    let live = running.node.read(&id, |state| (!state.is_empty()).then(|| Frozen::of(state))).await?;
    let live = live.ok_or_else(|| unknown(&id))?;
    let records = running.node.records(&id).await?;
    let compared = compare(id, live, records).await?;
    if !compared.equal {
        tracing::error!(conversation = %compared.conversation, "replay differs from the live state");
    }
    Ok(HttpResponse::Ok().json(compared.to_json(query.state.unwrap_or(true))))
}
