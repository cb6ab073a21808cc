//! A turn as it happens, as server-sent events: `POST /v1/chat` with `Accept: text/event-stream`, and
//! `GET …/turns/{n}/stream` for whoever takes it up again after a disconnect or a crash of the node.
//!
//! `story` (what the records tell) → `feed` (merged with the pieces of the answer) → `sse`; `place` is an event's id.

pub mod feed;
pub mod place;
pub mod sse;
pub mod story;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::Asked;
use callboard_domain::command::{Command, UserQuery};
use callboard_domain::conversation::State;
use callboard_domain::id::ConversationId;
use serde::Deserialize;
use serde_json::json;

use self::feed::Feed;
use self::place::Place;
use super::api::{Api, Running};
use super::chat::{queue_full, same_request};
use super::problem::Problem;
use super::send::{self, Identity};
use super::turn::{TurnName, find};

/// Whether the client wants events.
pub fn is_wanted(request: &HttpRequest) -> bool {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepts.contains(sse::MEDIA)
}

/// Puts a question into the log, unless it is there, and gives the feed of its turn; with it whether it was known.
///
/// # Errors
/// What stands against the question, or against one more stream; then nothing was taken.
pub async fn ask(
    api: &web::Data<Api>,
    running: &Running,
    identity: &Identity,
    query: UserQuery,
    traceparent: Option<&str>,
    pieces: bool,
) -> Result<(Feed, bool), Problem> {
    let hash = query.body_hash();
    let (conversation, command) = (&identity.conversation, &identity.command);
    let turn = (conversation, command);
    match running.node.ask(conversation, command).await? {
        Asked::QueueFull => Err(queue_full()),
        Asked::Known { body_hash, turn: known } => {
            same_request(body_hash, hash, known.is_some())?;
            let state = State::new(conversation.clone());
            Ok((Feed::begin(api, running, turn, state, Place::default(), pieces).await?, true))
        }
        Asked::New => {
            running.node.admit()?;
            let state = running.node.read(conversation, State::clone).await?;
            // Whoever watches is there before there is anything to miss.
            let feed = Feed::begin(api, running, turn, state, Place::default(), pieces).await?;
            send::command(running, identity, &Command::UserQueryReceived(query), traceparent).await?;
            Ok((feed, false))
        }
    }
}

/// A chat as events. The first one says where to take it up again; by then the question is durable.
///
/// # Errors
/// As [`ask`].
pub async fn chat(
    api: &web::Data<Api>,
    running: &Running,
    identity: &Identity,
    query: UserQuery,
    traceparent: Option<&str>,
) -> Result<HttpResponse, Problem> {
    let (feed, replayed) = ask(api, running, identity, query, traceparent, true).await?;
    let (conversation, command) = (&identity.conversation, &identity.command);
    let turn = format!("/v1/conversations/{conversation}/turns/{command}");
    let head =
        json!({ "url": format!("{turn}/stream"), "conversation_id": conversation, "command_id": command });
    let mut response = sse::response(feed, Some(sse::event(&Place::default(), "resume", &head)));
    let header = |text: &str| actix_web::http::header::HeaderValue::from_str(text).ok();
    if let Some(location) = header(&turn) {
        response.headers_mut().insert(LOCATION, location);
    }
    if replayed && let Some(value) = header("true") {
        response.headers_mut().insert("idempotent-replayed".parse().expect("a header's name"), value);
    }
    Ok(response)
}

#[derive(Debug, Deserialize)]
pub struct StreamQuery {
    after: Option<String>,
}

/// A turn as it happens.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/turns/{turn}/stream", tag = "conversations",
    params(("id" = String, Path), ("turn" = String, Path, description = "Number from 1, or command id"),
           ("after" = Option<String>, Query, description = "Only what follows the event of this id"),
           ("Last-Event-ID" = Option<String>, Header, description = "As `after`, as EventSource sends it")),
    responses((status = 200, description = "text/event-stream: accepted, plan, step_started, step_waiting, step_in_doubt, approval_requested, step_ended, answer, answer_restarted, done", body = String),
              (status = 204, description = "The event of this id was the last"),
              (status = 400, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem),
              (status = 503, body = Problem))
)]
pub async fn resume(
    api: web::Data<Api>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    query: web::Query<StreamQuery>,
) -> Result<HttpResponse, Problem> {
    let running = api.taking()?;
    let id = ConversationId::new(&path.0)?;
    let name = TurnName::parse(&path.1)?;
    let place = after(&request, &query)?;
    let command = match (find(running, &id, &name).await, name) {
        (Ok(turn), _) => {
            let ended = turn.status != "pending";
            if ended && place.record.is_some_and(|(offset, _)| offset >= turn.offset) {
                // An EventSource that is told so does not come again.
                return Ok(HttpResponse::NoContent().finish());
            }
            turn.command_id
        }
        (Err(problem), TurnName::Command(command))
            if problem.status == Some(StatusCode::NOT_FOUND.as_u16()) && api.is_accepted(&id, &command) =>
        {
            command
        }
        (Err(problem), _) => return Err(problem),
    };
    let state = State::new(id.clone());
    let feed = Feed::begin(&api, running, (&id, &command), state, place, true).await?;
    Ok(sse::response(feed, None))
}

fn after(request: &HttpRequest, query: &StreamQuery) -> Result<Place, Problem> {
    let header = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let (text, field) = match (query.after.as_deref(), header) {
        // A reconnecting EventSource repeats the URL and knows better by now.
        (_, Some(text)) if !text.is_empty() => (text, "Last-Event-ID"),
        (Some(text), _) if !text.is_empty() => (text, "after"),
        _ => return Ok(Place::default()),
    };
    let wrong = || {
        let detail = "this is no id of an event of a turn's stream";
        Problem::bad_request("invalid_event_id", detail).field(field)
    };
    Place::parse(text).ok_or_else(wrong)
}
