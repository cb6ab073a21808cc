//! `POST /v1/chat`: a message becomes a command in the log, and its turn becomes the answer.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::Asked;
use callboard_domain::command::{Command, UserQuery, default_agent};
use callboard_domain::json::RawJson;
use callboard_domain::limits::{MAX_MESSAGE_BYTES, MAX_METADATA_BYTES};
use callboard_domain::view::TurnView;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::{Api, Running};
use super::body;
use super::dto::TurnDto;
use super::guard::Principal;
use super::prefer;
use super::problem::Problem;
use super::send::{self, Identity};
use super::stream;
use super::turn::whole;

/// A host reads an accepted command back within milliseconds; one that takes longer is catching up, and whoever
/// asked need not wait for that.
const READ_BACK_WITHIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The body of a chat.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape for OpenAPI; `body::Fields` reads it so that refusals name the field")]
pub struct ChatBody {
    /// 1 to 262,144 bytes.
    message: String,
    /// 1–128 of `[A-Za-z0-9._-]`; naming an unknown conversation creates it.
    conversation_id: Option<String>,
    /// Who answers; `default` is always there.
    agent: Option<String>,
    /// An object of at most 16,384 bytes, kept with the message.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
}

/// Ask.
#[utoipa::path(
    post, path = "/v1/chat", request_body = ChatBody, tag = "conversations",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key never makes a second turn"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=S` (at most 300)"),
    ),
    responses(
        (status = 200, body = TurnDto, description = "The turn ended: answered, failed or cancelled; with `Accept: text/event-stream` the turn as it happens, beginning with `resume`, whose `url` takes it up again"),
        (status = 202, body = TurnDto, description = "Accepted and durable; `Location` is the turn"),
        (status = 400, body = Problem), (status = 415, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem, description = "The key was used for another body"),
        (status = 429, body = Problem), (status = 503, body = Problem),
    )
)]
pub async fn chat(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    let mut fields = body::fields(&request, payload, false).await?;
    fields.only(&["message", "conversation_id", "agent", "metadata"])?;
    let message: String = fields.need("message")?;
    let named: Option<String> = fields.take("conversation_id")?;
    let agent: Option<String> = fields.take("agent")?;
    let metadata: Option<RawJson> = fields.take("metadata")?;
    let query = UserQuery {
        message: message.into(),
        agent: agent.map_or_else(default_agent, Into::into),
        principal: Some(principal.0.as_str().into()),
        metadata,
        history: None,
    };
    check(&query, &api.rules.agents)?;
    let key = send::idempotency_key(&request)?;
    let running = api.taking()?;
    let identity = send::identity(running, named.as_deref(), key.as_deref(), &principal.0, "chat")?;
    let traceparent = send::traceparent(&request);
    if stream::is_wanted(&request) {
        return stream::chat(&api, running, &identity, query, traceparent.as_deref()).await;
    }
    let wait = prefer::wait(&request, api.rules.wait);
    ask(&api, running, &identity, query, wait, traceparent).await
}

/// What stands against a question before anything is asked of the node; `agents` are those that there are.
///
/// # Errors
/// 400 or 413, naming the field.
pub(super) fn check(query: &UserQuery, agents: &[String]) -> Result<(), Problem> {
    let metadata_bytes = query.metadata.as_ref().map_or(0, RawJson::len_bytes);
    let bounds = [
        ("message", query.message.len(), MAX_MESSAGE_BYTES),
        ("metadata", metadata_bytes, MAX_METADATA_BYTES),
    ];
    if let Some((field, bytes, most)) = bounds.into_iter().find(|(_, bytes, most)| bytes > most) {
        let detail = format!("{field}: it has {bytes} bytes; at most {most} are allowed");
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "field_too_large", detail);
        return Err(problem.field(field).limit(most));
    }
    if let Some(problem) = query.problem() {
        let detail = format!("{}: {}", problem.field, problem.message);
        return Err(Problem::bad_request("invalid_field", detail).field(problem.field));
    }
    if !agents.iter().any(|agent| *agent == *query.agent) {
        let detail = format!("agent: there is no agent {:?}; there are: {}", query.agent, agents.join(", "));
        return Err(Problem::bad_request("invalid_field", detail).field("agent"));
    }
    Ok(())
}

async fn ask(
    api: &Api,
    running: &Running,
    identity: &Identity,
    query: UserQuery,
    wait: Duration,
    traceparent: Option<String>,
) -> Result<HttpResponse, Problem> {
    let hash = query.body_hash();
    let (conversation, command) = (&identity.conversation, &identity.command);
    let mut ended = Box::pin(running.node.ended(conversation, command));
    let replayed = match running.node.ask(conversation, command).await? {
        Asked::QueueFull => return Err(queue_full()),
        Asked::Known { body_hash, turn } => {
            same_request(body_hash, hash, turn.is_some())?;
            if let Some(turn) = turn.filter(|turn| turn.status != "pending") {
                return answer(running, turn, true).await;
            }
            true
        }
        Asked::New => {
            running.node.admit()?;
            // Whoever waits is registered before there is anything to miss.
            if let std::task::Poll::Ready(early) = futures_util::poll!(&mut ended) {
                return answer(running, early?, true).await;
            }
            send::command(running, identity, &Command::UserQueryReceived(query), traceparent.as_deref())
                .await?;
            false
        }
    };
    // From here on it is in the log: whatever happens, the client hears that it was taken.
    if wait.is_zero() {
        // Whoever wants no wait gets the same answer however quick the turn was.
        return Ok(pending(api, running, identity, replayed).await);
    }
    match api.wait_for(wait, ended).await {
        Some(Ok(turn)) => {
            if identity.keyed && !replayed {
                // Two requests with one key may have met in the log; only one of them is the turn's.
                if let Asked::Known { body_hash, turn } = running.node.ask(conversation, command).await? {
                    same_request(body_hash, hash, turn.is_some())?;
                }
            }
            answer(running, turn, replayed).await
        }
        Some(Err(error)) => {
            tracing::debug!(%conversation, %error, "an accepted turn goes on without its waiter");
            Ok(pending(api, running, identity, replayed).await)
        }
        None => Ok(pending(api, running, identity, replayed).await),
    }
}

/// 429.
pub(super) fn queue_full() -> Problem {
    let detail = "as many messages as may are waiting in this conversation";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail).retry_after(1)
}

/// # Errors
/// 422 where one key was used for two requests.
pub(super) fn same_request(known: u64, sent: u64, is_turn: bool) -> Result<(), Problem> {
    if known == sent && is_turn {
        return Ok(());
    }
    let detail = "this Idempotency-Key was used for another request";
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Err(Problem::new(status, "idempotency_key_reused", detail).field("Idempotency-Key"))
}

/// 200 with a turn that ended.
pub(super) async fn answer(
    running: &Running,
    turn: TurnView,
    replayed: bool,
) -> Result<HttpResponse, Problem> {
    let turn = whole(running, turn).await?;
    let mut response = HttpResponse::Ok();
    if replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.insert_header(ContentType::json());
    Ok(response.json(TurnDto::from(turn)))
}

/// 202: taken, and not yet answered. Its `Location` can be read at once: the command is read back before, or
/// remembered as accepted where that takes long.
pub(super) async fn pending(
    api: &Api,
    running: &Running,
    identity: &Identity,
    replayed: bool,
) -> HttpResponse {
    let (conversation, command) = (&identity.conversation, &identity.command);
    let read_back = async {
        loop {
            if let Ok(Asked::Known { turn, .. }) = running.node.ask(conversation, command).await {
                return turn;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let turn = match api.wait_for(READ_BACK_WITHIN, read_back).await.flatten() {
        // A turn that ended in this very moment was pending when the wait was over; its Location says how it ended.
        Some(turn) => TurnDto {
            turn: Some(turn.turn),
            offset: Some(turn.offset),
            ..TurnDto::accepted(conversation, command)
        },
        None => {
            api.accepted(conversation, command);
            TurnDto::accepted(conversation, command)
        }
    };
    let mut response = HttpResponse::Accepted();
    response.insert_header((LOCATION, format!("/v1/conversations/{conversation}/turns/{command}")));
    response.insert_header(("Retry-After", "1"));
    if replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.json(turn)
}
