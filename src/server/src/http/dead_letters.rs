//! `/admin/v1/dead-letters`: what was given up, a page at a time, one whole, and redriven. `crate::dead_letters` does it.

use actix_web::{HttpRequest, HttpResponse, web};
use callboard_domain::time::rfc3339;
use callboard_ports::Topic;
use callboard_ports::dead_letter::LetterId;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::body;
use super::guard::Principal;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::dead_letters::{Cursor, Done, Filter, Letter, MAX_LETTERS, Outcome, Stays, judge};

/// A page's default and largest size: a letter without its value is about a kilobyte.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Letters of one redrive: a few seconds even where each is read back from Kafka, so that an answer always comes.
pub const MAX_REDRIVE: usize = 100;
/// Who redrives: a principal's bound.
const MAX_BY_BYTES: usize = callboard_domain::limits::MAX_PRINCIPAL_BYTES;

/// That a letter was redriven.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RedrivenDto {
    pub by: String,
    pub at: String,
}

/// Why a letter may not be redriven.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StaysDto {
    /// `already_redriven`, `from_conversation_events`, `unsafe_tool`, `expired`, `undecodable`, `unknown_type`,
    /// `conversation_blocked`, `too_large`, `from_tool_effects`, `foreign`, `unknown_dead_letter`.
    pub code: &'static str,
    pub detail: String,
}

impl From<Stays> for StaysDto {
    fn from(stays: Stays) -> Self {
        Self { code: stays.code, detail: stays.detail }
    }
}

/// A record that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeadLetterDto {
    /// TOPIC:PARTITION:OFFSET of the original.
    pub id: String,
    pub topic: &'static str,
    pub reason: String,
    pub detail: String,
    pub attempt: u32,
    pub key: String,
    pub at: String,
    /// `null` while it was not redriven.
    pub redriven: Option<RedrivenDto>,
    /// Why it may not be redriven; `null` where it may.
    pub stays: Option<StaysDto>,
    /// The letter that this one came back from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redrive_of: Option<String>,
    /// The original value; only when one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl DeadLetterDto {
    fn of(letter: &Letter, stays: Option<Stays>, with_value: bool) -> Self {
        let mark = letter.mark.as_ref();
        Self {
            id: letter.id.to_string(),
            topic: letter.id.topic.name(),
            reason: letter.reason().to_owned(),
            detail: letter.detail().to_owned(),
            attempt: letter.attempt(),
            key: letter.key(),
            at: rfc3339(letter.record.timestamp_ms),
            redriven: mark.map(|mark| RedrivenDto { by: mark.by.clone(), at: rfc3339(mark.at_ms) }),
            stays: stays.map(StaysDto::from),
            redrive_of: letter.redrive_of().map(str::to_owned),
            value: with_value.then(|| String::from_utf8_lossy(&letter.record.value).into_owned()),
        }
    }
}

/// A page of dead letters, oldest first within each partition.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeadLetterPage {
    pub dead_letters: Vec<DeadLetterDto>,
    /// For the next page; `null` at the end. A page may be short, or empty, and still have a next one.
    pub next_cursor: Option<String>,
    /// Whether there are more than anybody is shown: then the oldest are left out.
    pub truncated: bool,
}

fn cursor(text: &str) -> Option<Cursor> {
    let (partition, offset) = text.split_once('-')?;
    Some(Cursor { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
}

/// The records that were given up.
#[utoipa::path(get, path = "/admin/v1/dead-letters", tag = "admin",
    params(("reason" = Option<String>, Query), ("topic" = Option<String>, Query, description = "Of the original, without prefix"),
           ("conversation" = Option<String>, Query), ("since" = Option<String>, Query, description = "RFC 3339, or how long ago: 2h"),
           ("until" = Option<String>, Query, description = "As `since`; that instant is not in it"),
           ("redriven" = Option<bool>, Query), ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
           ("limit" = Option<u32>, Query, description = "At most 1000; 100 without it")),
    responses((status = 200, body = DeadLetterPage), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub async fn list(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let known = ["reason", "topic", "conversation", "since", "until", "redriven", "cursor", "limit"];
    let mut of = Parameters::of(&request, &known)?;
    let now_ms = running.clock.now_ms();
    let filter = Filter {
        reason: of.text("reason"),
        topic: of.one_of("topic", &Topic::ALL.map(|topic| (topic.name(), topic)))?,
        conversation: of.text("conversation"),
        since_ms: of.instant_ms("since", now_ms)?,
        until_ms: of.instant_ms("until", now_ms)?,
        redriven: of.one_of("redriven", &[("true", true), ("false", false)])?,
    };
    let from = of.parsed("cursor", "a next_cursor of a page before", cursor)?.unwrap_or_default();
    let limit = of.number("limit", 1..=MAX_PAGE)?.unwrap_or(PAGE);
    let page = running.dead_letters.page(&*running.log, &filter, from, limit, now_ms).await?;
    let dead_letters =
        page.letters.into_iter().map(|(letter, stays)| DeadLetterDto::of(&letter, stays, false)).collect();
    let next_cursor = page.next.map(|next| format!("{}-{}", next.partition, next.offset));
    Ok(HttpResponse::Ok().json(DeadLetterPage { dead_letters, next_cursor, truncated: page.truncated }))
}

fn letter_id(text: &str, field: &str) -> Result<LetterId, Problem> {
    text.parse().map_err(|e: callboard_ports::dead_letter::InvalidLetterId| {
        Problem::bad_request("invalid_id", e.to_string()).field(field)
    })
}

/// One dead letter whole.
#[utoipa::path(get, path = "/admin/v1/dead-letters/{id}", tag = "admin",
    params(("id" = String, Path, description = "TOPIC:PARTITION:OFFSET of the original")),
    responses((status = 200, body = DeadLetterDto), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn one(api: web::Data<Api>, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let id = letter_id(&path, "id")?;
    let letter = running.dead_letters.find(&*running.log, id).await?.ok_or_else(|| {
        let detail = format!("there is no dead letter {id} (of the newest {MAX_LETTERS})");
        Problem::not_found("unknown_dead_letter", detail)
    })?;
    let stays = judge(&letter, running.clock.now_ms()).err();
    Ok(HttpResponse::Ok().json(DeadLetterDto::of(&letter, stays, true)))
}

/// Which letters to redrive.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape for OpenAPI; `body::Fields` reads it so that refusals name the field")]
pub struct RedriveBody {
    /// TOPIC:PARTITION:OFFSET of each, at most 100.
    ids: Vec<String>,
    /// Who; the owner of the key without it.
    by: Option<String>,
    /// Say what would be done, and do nothing.
    dry_run: Option<bool>,
}

/// What became of one letter.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RedriveResultDto {
    pub id: String,
    /// What it was given up for; `null` where there is no such letter.
    pub reason: Option<String>,
    /// `redriven`, `would_be_redriven` (a dry run), `stays`, `failed` (nobody knows, or not now: asking again is safe).
    pub outcome: &'static str,
    /// TOPIC:PARTITION:OFFSET of the record that it became.
    pub now_lies_at: Option<String>,
    /// Why it stays.
    pub stays: Option<StaysDto>,
    /// Why it failed.
    pub error: Option<String>,
}

impl RedriveResultDto {
    fn of(id: LetterId, done: Done) -> Self {
        let Done { reason, outcome } = done;
        let of = |outcome| Self {
            id: id.to_string(),
            reason,
            outcome,
            now_lies_at: None,
            stays: None,
            error: None,
        };
        match outcome {
            Outcome::Would => of("would_be_redriven"),
            Outcome::Redriven(now) => Self { now_lies_at: Some(now.to_string()), ..of("redriven") },
            Outcome::Stays(stays) => Self { stays: Some(stays.into()), ..of("stays") },
            Outcome::Failed(words) => Self { error: Some(words), ..of("failed") },
        }
    }
}

/// What became of the letters, in the order in which they were named.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RedriveResults {
    pub results: Vec<RedriveResultDto>,
}

/// Appends dead letters to their topics again.
#[utoipa::path(post, path = "/admin/v1/dead-letters/redrive", tag = "admin", request_body = RedriveBody,
    responses((status = 200, body = RedriveResults, description = "Also where some stay: each says what became of it"),
              (status = 400, body = Problem), (status = 503, body = Problem)))]
pub async fn redrive(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, Problem> {
    let mut fields = body::fields(&request, payload, false).await?;
    fields.only(&["ids", "by", "dry_run"])?;
    let named: Vec<String> = fields.need("ids")?;
    let by = fields.take::<String>("by")?.unwrap_or_else(|| principal.0.clone());
    let dry_run = fields.take::<bool>("dry_run")?.unwrap_or(false);
    if named.is_empty() || named.len() > MAX_REDRIVE {
        let detail = format!("ids: {} are named; 1 to {MAX_REDRIVE} may be", named.len());
        return Err(Problem::bad_request("invalid_field", detail).field("ids").limit(MAX_REDRIVE));
    }
    if by.trim().is_empty() || by.len() > MAX_BY_BYTES {
        let detail = format!("by: who redrives is 1 to {MAX_BY_BYTES} bytes");
        return Err(Problem::bad_request("invalid_field", detail).field("by").limit(MAX_BY_BYTES));
    }
    let ids = named.iter().map(|id| letter_id(id, "ids")).collect::<Result<Vec<_>, _>>()?;
    let running = api.taking()?;
    let outcomes = running.dead_letters.redrive(running, &ids, &by, dry_run).await?;
    let results = ids.into_iter().zip(outcomes).map(|(id, done)| RedriveResultDto::of(id, done)).collect();
    Ok(HttpResponse::Ok().json(RedriveResults { results }))
}
