//! Cancel a turn, clear a context: commands that make no turn.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::Asked;
use callboard_domain::State;
use callboard_domain::command::{Command, HistoryReset, PlanCancelRequest};
use callboard_domain::id::ConversationId;

use super::api::{Api, Running};
use super::body;
use super::chat::{answer, pending};
use super::dto::{ResetDto, TurnDto};
use super::guard::Principal;
use super::prefer;
use super::problem::Problem;
use super::send::{self, Identity};
use super::turn::{TurnName, find};

/// A reason is a sentence.
const MAX_REASON_BYTES: usize = 1_024;
/// How often a reset is looked for: it is decided within milliseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Cancels a turn.
#[utoipa::path(
    post, path = "/v1/conversations/{id}/turns/{turn}/cancel", tag = "conversations",
    params(("id" = String, Path), ("turn" = String, Path, description = "Number from 1, or command id")),
    responses((status = 200, body = TurnDto, description = "How it ended: an answer may have come first"),
              (status = 202, body = TurnDto), (status = 404, body = Problem),
              (status = 409, body = Problem, description = "It had ended before; not for a repeated key"))
)]
pub async fn cancel(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    path: web::Path<(String, String)>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    let name = TurnName::parse(&path.1)?;
    cancel_turn(&api, &request, payload, (&path.0, &name), &principal).await
}

/// Cancels the newest turn.
#[utoipa::path(
    post, path = "/v1/conversations/{id}/cancel", tag = "conversations", params(("id" = String, Path)),
    responses((status = 200, body = TurnDto), (status = 202, body = TurnDto), (status = 404, body = Problem),
              (status = 409, body = Problem),
              (status = 422, body = Problem, description = "The key cancelled an earlier turn"))
)]
pub async fn cancel_newest(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    path: web::Path<String>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    cancel_turn(&api, &request, payload, (&path, &TurnName::Newest), &principal).await
}

async fn cancel_turn(
    api: &Api,
    request: &HttpRequest,
    payload: web::Payload,
    (id, name): (&str, &TurnName),
    principal: &Principal,
) -> Result<HttpResponse, Problem> {
    let mut fields = body::fields(request, payload, true).await?;
    fields.only(&["reason"])?;
    let reason: Option<String> = fields.take("reason")?;
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
        let detail = format!("reason: at most {MAX_REASON_BYTES} bytes are allowed");
        return Err(Problem::bad_request("invalid_field", detail).field("reason").limit(MAX_REASON_BYTES));
    }
    let running = api.taking()?;
    let turn = find(running, &ConversationId::new(id)?, name).await?;
    let key = send::idempotency_key(request)?;
    // A key belongs to the turn that the path names. Where it names none, the key alone says whether this is the
    // request from before, and which turn that was about is looked up.
    let verb = match name {
        TurnName::Newest => "cancel".to_owned(),
        _ => format!("cancel:{}", turn.command_id),
    };
    let identity = send::identity(running, Some(id), key.as_deref(), &principal.0, &verb)?;
    if identity.keyed
        && let Some(cancelled) = cancelled_before(running, &identity).await?
    {
        if *name == TurnName::Newest && cancelled != Some(turn.turn) {
            let detail =
                "this Idempotency-Key was used to cancel an earlier turn; this one needs another key";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let problem = Problem::new(status, "idempotency_key_reused", detail);
            return Err(problem.field("Idempotency-Key"));
        }
        // What was read before may be older than what the command came to.
        let turn = find(running, &identity.conversation, &TurnName::Command(turn.command_id)).await?;
        return answer(running, turn, true).await;
    }
    if turn.status != "pending" {
        let detail = format!("turn {} has ended already: {}", turn.turn, turn.status);
        return Err(Problem::new(StatusCode::CONFLICT, "turn_not_open", detail));
    }
    let mut ended = Box::pin(running.node.ended(&turn.conversation_id, &turn.command_id));
    if let std::task::Poll::Ready(early) = futures_util::poll!(&mut ended) {
        return answer(running, early?, false).await;
    }
    let command = Command::PlanCancelRequested(PlanCancelRequest {
        turn_command_id: turn.command_id.clone(),
        by: Some(principal.0.as_str().into()),
        reason: reason.map(Into::into),
    });
    send::command(running, &identity, &command, send::traceparent(request).as_deref()).await?;
    match api.wait_for(prefer::wait(request, api.rules.wait), ended).await {
        Some(Ok(turn)) => answer(running, turn, false).await,
        _ => {
            let of_turn = Identity {
                conversation: turn.conversation_id,
                command: turn.command_id,
                keyed: identity.keyed,
            };
            Ok(pending(api, running, &of_turn, false).await)
        }
    }
}

/// Whether the log knows this cancellation, and the turn that it was about: the one that it ended, or else the one
/// that was the newest then.
async fn cancelled_before(running: &Running, identity: &Identity) -> Result<Option<Option<u32>>, Problem> {
    let command = identity.command.clone();
    let look = move |state: &State| {
        let at = state.known(command.as_str())?.offset;
        let turns = || state.known.iter().rev().filter(|known| known.turn.is_some());
        let ended = turns().find(|known| known.terminal_offset == Some(at));
        Some(ended.or_else(|| turns().find(|known| known.offset < at)).and_then(|known| known.turn))
    };
    Ok(running.node.read(&identity.conversation, look).await?)
}

/// Clears the context of later turns; open turns are cancelled.
#[utoipa::path(
    post, path = "/v1/conversations/{id}/reset", tag = "conversations", params(("id" = String, Path)),
    responses((status = 200, body = ResetDto), (status = 202, body = ResetDto), (status = 404, body = Problem))
)]
pub async fn reset(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    path: web::Path<String>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    body::fields(&request, payload, true).await?.only(&[])?;
    let running = api.taking()?;
    let key = send::idempotency_key(&request)?;
    let identity = send::identity(running, Some(&path), key.as_deref(), &principal.0, "reset")?;
    let id = &identity.conversation;
    if running.node.read(id, callboard_domain::State::is_empty).await? {
        return Err(Problem::not_found("unknown_conversation", format!("there is no conversation {id}")));
    }
    let command = Command::UserHistoryReset(HistoryReset { by: Some(principal.0.as_str().into()) });
    send::command(running, &identity, &command, send::traceparent(&request).as_deref()).await?;
    let wait = prefer::wait(&request, api.rules.wait);
    let done = api.wait_for(wait, decided(running, &identity)).await.is_some();
    let dto = ResetDto {
        conversation_id: id.to_string(),
        command_id: identity.command.to_string(),
        status: if done { "done" } else { "pending" },
    };
    Ok(if done { HttpResponse::Ok().json(dto) } else { HttpResponse::Accepted().json(dto) })
}

/// Resolves when the log knows the command.
async fn decided(running: &Running, identity: &Identity) {
    while !matches!(
        running.node.ask(&identity.conversation, &identity.command).await,
        Ok(Asked::Known { .. })
    ) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
