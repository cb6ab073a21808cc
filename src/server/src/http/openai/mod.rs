//! The OpenAI-compatible face: `POST /v1/chat/completions` and `GET /v1/models`, for clients that need not know of Callboard.
//! The model's name is the agent. `question` reads a request, `answers` writes what comes of it, `joins` finds the turn of a
//! request that a client repeats by itself, `refusal` gives errors OpenAI's shape.

mod answers;
mod joins;
mod question;
mod refusal;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use callboard_domain::view::TurnView;
use serde_json::json;

pub use joins::Joins;
pub use refusal::Refusal;

use self::answers::Completion;
use self::question::Question;
use super::api::{Api, Running};
use super::body;
use super::chat::check;
use super::guard::Principal;
use super::problem::Problem;
use super::send::{self, Identity};
use super::stream;
use super::stream::feed::{Feed, Item};
use super::stream::story::Told;

/// The conversation, in requests and in every answer.
pub const CONVERSATION: &str = "callboard-conversation-id";
/// Official clients wait ten minutes for an answer that is not streamed; whoever waited longer has gone.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Whether errors at this path have OpenAI's shape.
#[must_use]
pub fn is_path(path: &str) -> bool {
    path == "/v1/chat/completions" || path == "/v1/models" || path.starts_with("/v1/models/")
}

/// Ask as with OpenAI's chat completions.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai",
    request_body(content = Object, description = "OpenAI's chat completion request; `model` is the agent"),
    params(
        ("Callboard-Conversation-Id" = Option<String>, Header, description = "Go on with this conversation: only the last user message counts"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key never makes a second turn"),
    ),
    responses(
        (status = 200, description = "A chat completion, or its chunks as text/event-stream with `stream: true`", body = Object),
        (status = 400, description = "OpenAI's error object"), (status = 404, description = "model_not_found"),
        (status = 429, description = "OpenAI's error object"), (status = 500, description = "The turn failed"),
        (status = 503, description = "OpenAI's error object"), (status = 504, description = "No answer in time"),
    )
)]
pub async fn completions(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    principal: web::ReqData<Principal>,
) -> HttpResponse {
    let mut conversation =
        request.headers().get(CONVERSATION).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let answer = complete(&api, &request, payload, &principal.0, &mut conversation).await;
    let mut response = answer.unwrap_or_else(|refusal| refusal.error_response());
    if let Some(value) = conversation.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(HeaderName::from_static(CONVERSATION), value);
    }
    response
}

async fn complete(
    api: &web::Data<Api>,
    request: &HttpRequest,
    payload: web::Payload,
    principal: &str,
    conversation: &mut Option<String>,
) -> Result<HttpResponse, Refusal> {
    let bytes = body::bytes(payload).await?;
    let question = Question::read(body::parse(request, &bytes, false)?, conversation.clone())?;
    conversation.clone_from(&question.conversation);
    known(api, &question.query.agent)?;
    let query = question.query.by(principal);
    check(&query, &api.rules.agents)?;
    let running = api.taking()?;
    let key = send::idempotency_key(request)?;
    let named = question.conversation.as_deref();
    let digest = joins::digest(principal, named, &bytes);
    let retried =
        request.headers().get("x-stainless-retry-count").and_then(|n| n.to_str().ok()?.parse::<u32>().ok());
    let joined = match (&key, retried) {
        (None, Some(1..)) => api.joins.find(&digest),
        _ => None,
    };
    let identity = match joined {
        Some(identity) => identity,
        None => send::identity(running, named, key.as_deref(), principal, "completions")?,
    };
    *conversation = Some(identity.conversation.to_string());
    if key.is_none() {
        // Before the append: a client whose connection breaks at any later moment finds its turn.
        api.joins.note(digest, &identity);
    }
    let traceparent = send::traceparent(request);
    let (feed, _) =
        stream::ask(api, running, &identity, query, traceparent.as_deref(), question.stream).await?;
    let completion = Completion::new(&identity, &question, running.clock.now_ms());
    if question.stream {
        return Ok(answers::stream(feed, completion));
    }
    whole(running, &identity, feed, &completion).await
}

/// Waits for the turn's end.
async fn whole(
    running: &Running,
    identity: &Identity,
    mut feed: Feed,
    completion: &Completion,
) -> Result<HttpResponse, Refusal> {
    let ended = async {
        while let Some(item) = feed.next().await {
            if let Item::Told { told: Told::Ended(turn), .. } = item {
                return Some(turn);
            }
        }
        None
    };
    match tokio::time::timeout(LONGEST_WAIT, ended).await {
        Ok(Some(turn)) => answered(running, turn, &feed, completion).await,
        Ok(None) => {
            Err(Problem::unavailable("stopping", "this server is stopping; ask again: the turn goes on")
                .into())
        }
        Err(_) => {
            let words = format!(
                "no answer within {} s; the turn goes on: GET /v1/conversations/{}/turns/{}",
                LONGEST_WAIT.as_secs(),
                identity.conversation,
                identity.command
            );
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", words).into())
        }
    }
}

async fn answered(
    running: &Running,
    turn: TurnView,
    feed: &Feed,
    completion: &Completion,
) -> Result<HttpResponse, Refusal> {
    let turn = super::turn::whole(running, turn).await?;
    match &turn.answer {
        Some(answer) => Ok(HttpResponse::Ok().json(completion.whole(answer, feed.usage()))),
        None => Err(Refusal::of_turn(&turn)),
    }
}

/// # Errors
/// 404 for a model that is no agent.
fn known(api: &Api, model: &str) -> Result<(), Refusal> {
    let agents = &api.rules.agents;
    if agents.iter().any(|agent| agent == model) {
        return Ok(());
    }
    let shown: String = model.chars().take(128).collect();
    let detail = format!(
        "the model {shown:?} does not exist; models are agents, and there are: {}",
        agents.join(", ")
    );
    Err(Problem::not_found("model_not_found", detail).field("model").into())
}

fn model(agent: &str) -> serde_json::Value {
    json!({ "id": agent, "object": "model", "created": 0, "owned_by": "callboard" })
}

/// The agents, as models.
#[utoipa::path(
    get, path = "/v1/models", tag = "openai",
    responses((status = 200, description = "OpenAI's list of models: the agents", body = Object))
)]
pub async fn models(api: web::Data<Api>) -> HttpResponse {
    let data: Vec<_> = api.rules.agents.iter().map(|agent| model(agent)).collect();
    HttpResponse::Ok().json(json!({ "object": "list", "data": data }))
}

/// One agent, as a model.
#[utoipa::path(
    get, path = "/v1/models/{model}", tag = "openai", params(("model" = String, Path)),
    responses((status = 200, description = "OpenAI's model object", body = Object), (status = 404, description = "model_not_found"))
)]
pub async fn one_model(api: web::Data<Api>, path: web::Path<String>) -> Result<HttpResponse, Refusal> {
    known(&api, &path)?;
    Ok(HttpResponse::Ok().json(model(&path)))
}
