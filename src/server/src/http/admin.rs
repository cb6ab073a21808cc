//! `/admin/v1`: the actor tree, killing on purpose, dead letters.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::KillHow;
use callboard_domain::time::rfc3339;
use callboard_ports::{Record, Topic};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::{Api, Running};
use super::body;
use super::dto::{DeadLetterDto, DeadLetterPage};
use super::problem::Problem;

/// Dead letters of one answer; a flood is looked at with a Kafka consumer or in parts.
const MAX_DEAD_LETTERS: usize = 1_000;

/// The actor tree.
#[utoipa::path(get, path = "/admin/v1/actors", tag = "admin",
    responses((status = 200, body = Object, description = "path, kind, state, mailbox, restarts, endings, work, children"),
              (status = 503, body = Problem)))]
pub async fn actors(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(api.running()?.node.actors().await))
}

/// Whom to kill, and how.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape for OpenAPI; `body::Fields` reads it so that refusals name the field")]
pub struct KillBody {
    /// As the tree names it; `/` with `abort` is the whole process, by SIGKILL.
    path: String,
    /// `panic`, `stop`, `abort`.
    how: String,
}

/// Kills an actor, on purpose.
#[utoipa::path(post, path = "/admin/v1/actors/kill", tag = "admin", request_body = KillBody,
    responses((status = 202, description = "It is being killed"), (status = 403, body = Problem, description = "Without --allow-chaos"),
              (status = 404, body = Problem)))]
pub async fn kill(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let mut fields = body::fields(&request, payload, false).await?;
    fields.only(&["path", "how"])?;
    let (path, how): (String, KillHow) = (fields.need("path")?, fields.need("how")?);
    if !api.rules.allow_chaos {
        let detail = "killing is allowed only by a server that was started with --allow-chaos";
        return Err(Problem::new(StatusCode::FORBIDDEN, "chaos_not_allowed", detail));
    }
    if path == "/" && how == KillHow::Abort {
        tracing::warn!("killing this process as asked");
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).map_err(
            |error| {
                tracing::error!(%error, "the process cannot kill itself");
                Problem::internal()
            },
        )?;
    }
    tracing::warn!(path, ?how, "killing an actor as asked");
    api.running()?.node.kill(&path, how).await?;
    Ok(HttpResponse::Accepted().json(serde_json::json!({ "path": path, "how": how })))
}

async fn dead_letters_of(running: &Running, with_value: bool) -> Result<(Vec<DeadLetterDto>, bool), Problem> {
    let mut out: Vec<DeadLetterDto> = Vec::new();
    let mut truncated = false;
    let share = (MAX_DEAD_LETTERS / running.log.partitions() as usize).max(1);
    for partition in 0..running.log.partitions() {
        let bounds = running.log.bounds(Topic::DeadLetterQueue, partition).await?;
        let from = bounds.start.max(bounds.end.saturating_sub(share as u64));
        truncated |= from > bounds.start;
        if from == bounds.end {
            continue;
        }
        #[allow(clippy::single_range_in_vec_init, reason = "the port takes ranges")]
        let mut records = running.log.replay(Topic::DeadLetterQueue, partition, vec![from..bounds.end], None);
        while let Some(batch) = records.recv().await {
            out.extend(batch?.records.iter().map(|record| dead_letter(record, with_value)));
        }
    }
    // A crash between the letter and its position writes it once more; it is shown once.
    let mut seen = std::collections::HashSet::new();
    out.retain(|letter| seen.insert(letter.id.clone()));
    Ok((out, truncated))
}

fn dead_letter(record: &Record, with_value: bool) -> DeadLetterDto {
    let header = |name| record.header(name).unwrap_or("").to_owned();
    let foreign = || format!("{}:{}:{}", record.topic, record.partition, record.offset);
    DeadLetterDto {
        id: record.header("callboard-dlq-id").map_or_else(foreign, str::to_owned),
        reason: header("callboard-dlq-reason"),
        detail: header("callboard-dlq-detail"),
        attempt: header("callboard-dlq-attempt").parse().unwrap_or(0),
        key: String::from_utf8_lossy(&record.key).into_owned(),
        at: rfc3339(record.timestamp_ms),
        value: with_value.then(|| String::from_utf8_lossy(&record.value).into_owned()),
    }
}

/// The newest records that were given up.
#[utoipa::path(get, path = "/admin/v1/dead-letters", tag = "admin",
    responses((status = 200, body = DeadLetterPage), (status = 503, body = Problem)))]
pub async fn dead_letters(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let (dead_letters, truncated) = dead_letters_of(api.running()?, false).await?;
    Ok(HttpResponse::Ok().json(DeadLetterPage { dead_letters, truncated }))
}

/// Where a dead letter's original lay.
#[derive(Debug, Deserialize)]
pub struct LetterPath {
    id: String,
}

/// One dead letter whole.
#[utoipa::path(get, path = "/admin/v1/dead-letters/{id}", tag = "admin",
    params(("id" = String, Path, description = "TOPIC:PARTITION:OFFSET of the original")),
    responses((status = 200, body = DeadLetterDto), (status = 404, body = Problem)))]
pub async fn one_dead_letter(
    api: web::Data<Api>,
    path: web::Path<LetterPath>,
) -> Result<HttpResponse, Problem> {
    let (letters, _) = dead_letters_of(api.running()?, true).await?;
    let found = letters.into_iter().find(|letter| letter.id == path.id);
    let letter = found.ok_or_else(|| {
        Problem::not_found(
            "unknown_dead_letter",
            format!("there is no dead letter {:?} among the newest", path.id),
        )
    })?;
    Ok(HttpResponse::Ok().json(letter))
}
