//! `/v1/approvals`: what waits for a person, over all conversations served here, and
//! `/v1/conversations/{id}/approvals/{effect}`: what the person says. The word is a command like any other (`effects`).

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::OpenFilter;
use callboard_domain::State;
use callboard_domain::command::{ApprovalDecision, Command};
use callboard_domain::decide::check_approved;
use callboard_domain::event::{Approval, Event};
use callboard_domain::id::{ConversationId, EffectId};
use callboard_domain::json::RawJson;
use callboard_domain::open_turns::OpenTurn;
use callboard_domain::time::rfc3339;
use callboard_domain::view::StepStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::{Api, Running};
use super::body::{self, Fields};
use super::effects::{Asked, EffectDto, decide, effect_id, look, unknown};
use super::guard::Principal;
use super::open_turns::place;
use super::parameters::Parameters;
use super::problem::Problem;

const NOT_AWAITING: &str = "not_awaiting_approval";

/// A step that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApprovalDto {
    pub effect_id: String,
    pub conversation_id: String,
    pub turn: u32,
    pub command_id: String,
    pub agent: Arc<str>,
    /// What the user asked for.
    pub message: Arc<str>,
    pub tool: Arc<str>,
    /// With which it will run, unless others are approved.
    #[schema(value_type = Object)]
    pub arguments: RawJson,
    pub requested_at: String,
    pub age_ms: u64,
    /// Then the step fails.
    pub expires_at: String,
}

/// A page of steps that wait for a person, those of the oldest turns first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApprovalPage {
    pub approvals: Vec<ApprovalDto>,
    /// For the next page; `null` at the end. A page may be short, or empty, and still have a next one.
    pub next_cursor: Option<String>,
    /// Partitions that are not served here, or not yet: what waits there is not among them.
    pub missing_partitions: Vec<u32>,
}

/// What waits for a person.
#[utoipa::path(get, path = "/v1/approvals", tag = "conversations",
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
           ("limit" = Option<u32>, Query, description = "Turns looked through, at most 200; 100 without it")),
    responses((status = 200, body = ApprovalPage), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub async fn list(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut of = Parameters::of(&request, &["cursor", "limit"])?;
    let (after, limit) = place(&mut of)?;
    let running = api.running()?;
    let now_ms = running.clock.now_ms();
    let wanted = OpenFilter { awaiting_approval: true, ..OpenFilter::default() };
    let page = running.node.open_turns(&wanted, after, limit).await?;
    let next_cursor = page.next.map(|next| next.to_string());
    let mut approvals = Vec::new();
    for turn in page.turns {
        approvals.extend(waiting(running, turn, now_ms).await?);
    }
    Ok(HttpResponse::Ok().json(ApprovalPage { approvals, next_cursor, missing_partitions: page.missing }))
}

async fn waiting(running: &Running, turn: OpenTurn, now_ms: i64) -> Result<Vec<ApprovalDto>, Problem> {
    let number = turn.turn;
    let look = move |state: &State| {
        let of_turn = state.approvals().filter(|(turn, ..)| turn.number == number);
        let dto = |(turn, version, step, awaited): (
            &callboard_domain::conversation::Turn,
            u32,
            &callboard_domain::conversation::Step,
            callboard_domain::conversation::Awaited,
        )| {
            let effect = EffectId {
                conversation: state.conversation.clone(),
                command: turn.command.clone(),
                version,
                step: step.plan.id.clone(),
            };
            ApprovalDto {
                effect_id: effect.to_string(),
                conversation_id: effect.conversation.to_string(),
                turn: turn.number,
                command_id: turn.command.to_string(),
                agent: turn.agent.clone(),
                message: turn.message.clone(),
                tool: step.plan.tool.clone(),
                arguments: step.arguments().clone(),
                requested_at: rfc3339(awaited.since_ms),
                age_ms: u64::try_from(now_ms - awaited.since_ms).unwrap_or(0),
                expires_at: rfc3339(awaited.until_ms()),
            }
        };
        of_turn.map(dto).collect::<Vec<_>>()
    };
    Ok(running.node.read(&turn.conversation_id, look).await?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
    Reject,
}

/// A person's word.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape for OpenAPI; `body::Fields` reads it so that refusals name the field")]
pub struct ApprovalBody {
    /// `approve` or `reject`.
    decision: String,
    /// To run with these instead of the planned ones; only with `approve`.
    #[schema(value_type = Object)]
    arguments: Option<serde_json::Value>,
    reason: Option<String>,
    /// Whose word it is; the owner of the key without it.
    by: Option<String>,
}

/// Lets a step in, as planned or with other arguments, or turns it away.
#[utoipa::path(post, path = "/v1/conversations/{id}/approvals/{effect}", tag = "conversations",
    request_body = ApprovalBody,
    params(("id" = String, Path),
           ("effect" = String, Path, description = "CONVERSATION:COMMAND:VERSION:STEP, as plans and /v1/approvals show it"),
           ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = EffectDto, description = "Decided; the step as it stands now"),
              (status = 202, body = EffectDto, description = "Taken, and not yet read back"),
              (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 409, body = Problem, description = "It does not await approval; `state` says what it is"),
              (status = 422, body = Problem, description = "The tool does not take these arguments, or the key was used otherwise"),
              (status = 503, body = Problem)))]
pub async fn give(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    path: web::Path<(String, String)>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    let conversation = ConversationId::new(&path.0)?;
    let effect = effect_id(&path.1)?;
    if effect.conversation != conversation {
        return Err(unknown(&effect, None));
    }
    let mut fields = body::fields(&request, payload, false).await?;
    fields.only(&["decision", "arguments", "reason", "by"])?;
    let decision = decision(&mut fields)?;
    let asked = ApprovalDecision {
        effect_id: effect.clone(),
        decision: decision.clone(),
        by: by(&mut fields, &principal)?.into(),
        reason: fields.take::<String>("reason")?.map(Into::into),
    };
    if let Some(problem) = asked.problem() {
        let words = format!("{}: {}", problem.field, problem.message);
        return Err(Problem::bad_request("invalid_field", words).field(problem.field));
    }
    fits_tool(&api, &effect, &decision).await?;
    let same = |event: &Event| match event {
        Event::ApprovalRecorded(body) => body.decision == decision,
        _ => true,
    };
    let asked = Asked {
        effect: &effect,
        command: Command::ApprovalGiven(asked),
        fits: |found| found.step.status == StepStatus::AwaitingApproval,
        code: NOT_AWAITING,
        verb: "approve",
        same: &same,
    };
    decide(&api, &request, &principal, asked).await
}

fn decision(fields: &mut Fields) -> Result<Approval, Problem> {
    let word: Word = fields.need("decision")?;
    let arguments = fields.raw("arguments").filter(|raw| raw.get() != "null");
    match (word, arguments) {
        (Word::Approve, None) => Ok(Approval::Approved),
        (Word::Approve, Some(raw)) => {
            RawJson::parse(raw.get()).map(Approval::ApprovedWith).map_err(|_| Problem::internal())
        }
        (Word::Reject, None) => Ok(Approval::Rejected),
        (Word::Reject, Some(_)) => {
            let words = "arguments: what is rejected runs with none; leave them out";
            Err(Problem::bad_request("invalid_field", words).field("arguments"))
        }
    }
}

/// Whose word it is. With keys, whose key it was is recorded beside the name that was written.
fn by(fields: &mut Fields, principal: &Principal) -> Result<String, Problem> {
    let anonymous = principal.0 == super::guard::ANONYMOUS;
    Ok(match fields.take::<String>("by")? {
        Some(by) if anonymous || by == principal.0 || by.trim().is_empty() => by,
        Some(by) => format!("{by} (key {})", principal.0),
        None => principal.0.clone(),
    })
}

/// Other arguments are held to the tool's schema before anything is written. The owner holds them to it again: its tools
/// may be others.
async fn fits_tool(api: &Api, effect: &EffectId, decision: &Approval) -> Result<(), Problem> {
    let Approval::ApprovedWith(arguments) = decision else { return Ok(()) };
    let running = api.running()?;
    let found = look(running, effect).await?.ok_or_else(|| unknown(effect, None))?;
    check_approved(&found.step.tool, arguments, &*running.tools).map_err(|(code, words)| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, words).field("arguments")
    })
}
