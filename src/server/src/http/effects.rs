//! `/admin/v1/effects`: steps whose outcome nobody knows, settled by a person; steps in back-off, tried at once. Both are
//! commands like any other: the answer is what was read back from the log.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::{Asked as KnownAs, Commanded};
use callboard_domain::State;
use callboard_domain::command::{Command, InvocationSettleRequest, QueryProblem, RetryNowRequest};
use callboard_domain::event::{CommandRefused, Event, Settlement};
use callboard_domain::id::EffectId;
use callboard_domain::json::RawJson;
use callboard_domain::view::{self, StepStatus, StepView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::{Api, Running};
use super::body::{self, Fields};
use super::dto::StepDto;
use super::guard::{ANONYMOUS, Principal};
use super::prefer;
use super::problem::Problem;
use super::send;

/// A step, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EffectDto {
    pub effect_id: String,
    pub conversation_id: String,
    pub turn: u32,
    pub command_id: String,
    /// Of the plan.
    pub version: u32,
    pub step: StepDto,
}

/// The step of an effect, as it stands.
pub(super) struct Found {
    pub turn: u32,
    pub step: StepView,
}

impl Found {
    pub fn dto(self, effect: &EffectId) -> EffectDto {
        EffectDto {
            effect_id: effect.to_string(),
            conversation_id: effect.conversation.to_string(),
            turn: self.turn,
            command_id: effect.command.to_string(),
            version: effect.version,
            step: StepDto::from(self.step),
        }
    }

    fn state(&self) -> &'static str {
        self.step.status.as_str()
    }
}

/// What is asked of an effect, with the words for what it is not.
pub(super) struct Asked<'a> {
    pub effect: &'a EffectId,
    pub command: Command,
    /// Whether the step is as it must be…
    pub fits: fn(&Found) -> bool,
    /// …and the problem's code where it is not.
    pub code: &'static str,
    pub verb: &'static str,
    /// Whether an event is what an earlier request with the same key and this body came to.
    pub same: &'a dyn Fn(&Event) -> bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Settled {
    Done,
    NotDone,
}

/// How a doubt is settled.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape for OpenAPI; `body::Fields` reads it so that refusals name the field")]
pub struct SettleBody {
    /// `done` or `not_done`; what was not done is run again, within its limits.
    outcome: String,
    /// What the tool would have given; needed where it is done.
    #[schema(value_type = Object)]
    result: Option<serde_json::Value>,
    /// The attempt that was looked at (`attempts` of the step); a later one is not settled. Without it, the one in doubt now.
    attempt: Option<u32>,
    /// Who says so; the owner of the key without it.
    by: Option<String>,
    why: Option<String>,
}

/// Says what came of a step in doubt.
#[utoipa::path(post, path = "/admin/v1/effects/{effect}/settle", tag = "admin", request_body = SettleBody,
    params(("effect" = String, Path, description = "CONVERSATION:COMMAND:VERSION:STEP"),
           ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = EffectDto, description = "Settled; the step as it stands now"),
              (status = 202, body = EffectDto, description = "Taken, and not yet read back"),
              (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 409, body = Problem, description = "Not in doubt, or another attempt is; `state` says what it is"),
              (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn settle(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    path: web::Path<String>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    let effect = effect_id(&path)?;
    let mut fields = body::fields(&request, payload, false).await?;
    fields.only(&["outcome", "result", "attempt", "by", "why"])?;
    let settlement = settlement(&mut fields)?;
    let asked = InvocationSettleRequest {
        effect_id: effect.clone(),
        attempt: fields.take::<u32>("attempt")?,
        settlement: settlement.clone(),
        by: by(&mut fields, &principal)?.into(),
        why: fields.take::<String>("why")?.map(Into::into),
    };
    refuse(asked.problem())?;
    let same = |event: &Event| match event {
        Event::InvocationSettled(body) => body.settlement == settlement,
        _ => true,
    };
    let asked = Asked {
        effect: &effect,
        command: Command::InvocationSettleRequested(asked),
        fits: |found| found.step.status == StepStatus::InDoubt,
        code: "not_in_doubt",
        verb: "settle",
        same: &same,
    };
    decide(&api, &request, &principal, asked).await
}

fn settlement(fields: &mut Fields) -> Result<Settlement, Problem> {
    let outcome: Settled = fields.need("outcome")?;
    let result = fields.raw("result");
    let wrong = |detail: &str| Err(Problem::bad_request("invalid_field", detail).field("result"));
    match (outcome, result) {
        (Settled::Done, Some(raw)) => {
            RawJson::parse(raw.get()).map(Settlement::Done).map_err(|_| Problem::internal())
        }
        (Settled::NotDone, None) => Ok(Settlement::NotDone),
        (Settled::Done, None) => wrong("result: what was done has a result; say `null` where there is none"),
        (Settled::NotDone, Some(_)) => wrong("result: what was not done has none; leave it out"),
    }
}

/// Starts a step that waits in back-off at once.
#[utoipa::path(post, path = "/admin/v1/effects/{effect}/retry-now", tag = "admin",
    params(("effect" = String, Path, description = "CONVERSATION:COMMAND:VERSION:STEP"),
           ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = EffectDto, description = "The step as it stands now"),
              (status = 202, body = EffectDto, description = "Taken, and not yet read back"),
              (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 409, body = Problem, description = "Not in back-off; `state` says what it is"),
              (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn retry_now(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    path: web::Path<String>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    let effect = effect_id(&path)?;
    let mut fields = body::fields(&request, payload, true).await?;
    fields.only(&["by"])?;
    let by = fields.take::<String>("by")?.unwrap_or_else(|| principal.0.clone());
    let asked = Asked {
        effect: &effect,
        command: Command::RetryNowRequested(RetryNowRequest {
            effect_id: effect.clone(),
            by: Some(by.into()),
        }),
        fits: |found| found.step.retry_at.is_some(),
        code: "not_in_backoff",
        verb: "retry-now",
        same: &|_| true,
    };
    decide(&api, &request, &principal, asked).await
}

pub(super) fn effect_id(text: &str) -> Result<EffectId, Problem> {
    text.parse().map_err(|e: callboard_domain::id::InvalidId| {
        let detail = format!("{e}; an effect id reads CONVERSATION:COMMAND:VERSION:STEP, as plans show it");
        Problem::bad_request("invalid_id", detail).field("effect")
    })
}

/// Who says so. With keys, whose key it was is recorded beside the name that was written.
fn by(fields: &mut Fields, principal: &Principal) -> Result<String, Problem> {
    let anonymous = principal.0 == ANONYMOUS;
    match fields.take::<String>("by")? {
        Some(by) if anonymous || by == principal.0 => Ok(by),
        Some(by) if by.trim().is_empty() => Ok(by),
        Some(by) => Ok(format!("{by} (key {})", principal.0)),
        None if anonymous => fields.need("by"),
        None => Ok(principal.0.clone()),
    }
}

fn refuse(problem: Option<QueryProblem>) -> Result<(), Problem> {
    let Some(problem) = problem else { return Ok(()) };
    // The body calls the settlement's result so.
    let field = if problem.field == "settlement" { "result" } else { problem.field };
    Err(Problem::bad_request("invalid_field", format!("{field}: {}", problem.message)).field(field))
}

/// Appends the command where the step is as it must be, and gives what came of it.
pub(super) async fn decide(
    api: &Api,
    request: &HttpRequest,
    principal: &Principal,
    mut asked: Asked<'_>,
) -> Result<HttpResponse, Problem> {
    let running = api.taking()?;
    let effect = asked.effect;
    let key = send::idempotency_key(request)?;
    // One key may be used for several effects of a conversation.
    let verb = format!("{}:{effect}", asked.verb);
    let named = Some(effect.conversation.as_str());
    let identity = send::identity(running, named, key.as_deref(), &principal.0, &verb)?;
    let (conversation, command) = (&identity.conversation, &identity.command);
    let known = running.node.ask(conversation, command).await?;
    if identity.keyed && matches!(known, KnownAs::Known { .. }) {
        let before = running.node.commanded(conversation, command).await?;
        if !(asked.same)(&before.event) {
            let detail =
                "this Idempotency-Key was used to decide it otherwise; this request needs another key";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let problem = Problem::new(status, "idempotency_key_reused", detail);
            return Err(problem.field("Idempotency-Key"));
        }
        return answer(running, effect, asked.code, before, true).await;
    }
    let found = look(running, effect).await?.ok_or_else(|| unknown(effect, None))?;
    if !(asked.fits)(&found) {
        return Err(conflict(asked.code, effect, found.state()));
    }
    if let Command::InvocationSettleRequested(settle) = &mut asked.command {
        // The attempt that is in doubt now is meant, and not one that may be by the time that the command is decided.
        settle.attempt.get_or_insert(found.step.attempts);
    }
    // Whoever waits is registered before there is anything to miss.
    let mut decided = Box::pin(running.node.commanded(conversation, command));
    if let std::task::Poll::Ready(early) = futures_util::poll!(&mut decided) {
        return answer(running, effect, asked.code, early?, true).await;
    }
    send::command(running, &identity, &asked.command, send::traceparent(request).as_deref()).await?;
    match api.wait_for(prefer::wait(request, api.rules.wait), decided).await {
        Some(decided) => answer(running, effect, asked.code, decided?, false).await,
        None => {
            let mut taken = HttpResponse::Accepted();
            Ok(taken.insert_header((RETRY_AFTER, "1")).json(found.dto(effect)))
        }
    }
}

/// 200 with the step as it stands, or what the log refused it with.
async fn answer(
    running: &Running,
    effect: &EffectId,
    code: &'static str,
    decided: Commanded,
    replayed: bool,
) -> Result<HttpResponse, Problem> {
    let found = look(running, effect).await?;
    let refused = match &decided.event {
        Event::CommandRefused(refused) => Some(refused),
        _ => None,
    };
    let Some(found) = found.filter(|_| refused.is_none_or(|refused| &*refused.code != "unknown_effect"))
    else {
        return Err(unknown(effect, refused));
    };
    if let Some(refused) = refused.filter(|refused| &*refused.code == "another_attempt") {
        let problem = Problem::new(StatusCode::CONFLICT, &refused.code, refused.message.to_string());
        return Err(problem.state(found.state()).field("attempt"));
    }
    if let Some(refused) = refused.filter(|refused| &*refused.code != code) {
        // What its arguments may be is for the log to say, where the gateway knows other tools.
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::new(status, &refused.code, refused.message.to_string()).field("arguments"));
    }
    // What came first in the log (a late result, somebody else's word) made it void.
    if refused.is_some() || !decided.took_effect {
        return Err(conflict(code, effect, found.state()));
    }
    let mut response = HttpResponse::Ok();
    if replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    Ok(response.json(found.dto(effect)))
}

fn conflict(code: &'static str, effect: &EffectId, state: &'static str) -> Problem {
    let what = match code {
        "not_in_doubt" => "is not in doubt",
        "not_awaiting_approval" => "does not await approval",
        _ => "does not wait in back-off",
    };
    let detail = format!("{effect} {what}: it is {}", state.replace('_', " "));
    Problem::new(StatusCode::CONFLICT, code, detail).state(state)
}

pub(super) fn unknown(effect: &EffectId, refused: Option<&CommandRefused>) -> Problem {
    let detail = refused.map_or_else(
        || format!("there is no step {effect} in what its conversation still holds of its turns"),
        |refused| refused.message.to_string(),
    );
    Problem::not_found("unknown_effect", detail).field("effect")
}

/// The step of an effect, of any plan version of a turn that the state holds.
pub(super) async fn look(running: &Running, effect: &EffectId) -> Result<Option<Found>, Problem> {
    let (of, now_ms) = (effect.clone(), running.clock.now_ms());
    let look = move |state: &State| {
        let turn = state.known(of.command.as_str())?.turn?;
        let plan = view::plans(state, turn, now_ms).into_iter().find(|plan| plan.version == of.version)?;
        let step = plan.steps.into_iter().find(|step| step.id == of.step)?;
        Some(Found { turn, step })
    };
    Ok(running.node.read(&effect.conversation, look).await?)
}
