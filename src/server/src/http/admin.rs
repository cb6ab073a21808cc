//! `/admin/v1`: the actor tree, with the MCP servers beside the actors; killing on purpose.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use callboard_actors::KillHow;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::body;
use super::problem::Problem;

/// A browser whose connection breaks before there is an answer sends the request again, and would kill the next
/// process too: the answer goes first, which takes a millisecond.
const ANSWER_FIRST: Duration = Duration::from_millis(20);

/// The actor tree.
#[utoipa::path(get, path = "/admin/v1/actors", tag = "admin",
    responses((status = 200, body = Object, description = "path, kind, state, mailbox, restarts, endings, work, children"),
              (status = 503, body = Problem)))]
pub async fn actors(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let mut tree = running.node.actors().await;
    tree.children.extend(running.mcp.view());
    Ok(HttpResponse::Ok().json(tree))
}

/// Whom to kill, and how.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape for OpenAPI; `body::Fields` reads it so that refusals name the field")]
pub struct KillBody {
    /// As the tree names it; `/` with `abort` is the whole process, by SIGKILL.
    path: String,
    /// `panic`, `stop`, `abort`, `wedge`.
    how: String,
}

/// Kills an actor, on purpose.
#[utoipa::path(post, path = "/admin/v1/actors/kill", tag = "admin", request_body = KillBody,
    responses((status = 202, description = "It is being killed"), (status = 403, body = Problem, description = "Without --allow-chaos"),
              (status = 404, body = Problem, description = "No such actor; `near` lists paths that may have been meant")))]
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
        actix_web::rt::spawn(async {
            tokio::time::sleep(ANSWER_FIRST).await;
            if let Err(error) =
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            {
                tracing::error!(%error, "the process cannot kill itself");
            }
        });
        return Ok(HttpResponse::Accepted().json(serde_json::json!({ "path": path, "how": how })));
    }
    tracing::warn!(path, ?how, "killing an actor as asked");
    let running = api.running()?;
    // A server knows one way to die.
    if !running.mcp.kill(&path) {
        running.node.kill(&path, how).await?;
    }
    Ok(HttpResponse::Accepted().json(serde_json::json!({ "path": path, "how": how })))
}
