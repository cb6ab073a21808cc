//! `/openapi.json`, generated from the handlers and their shapes.

use actix_web::HttpResponse;
use utoipa::OpenApi;

use super::{
    admin, approvals, chat, control, conversation, dead_letters, dto, effects, events, health, open_turns,
    openai, problem, stream, turn,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Callboard", description = "A durable runtime for tool-using LLM agents on Apache Kafka."),
    paths(
        chat::chat,
        conversation::list,
        conversation::get,
        conversation::history,
        conversation::replay,
        turn::get,
        turn::plan,
        turn::newest_plan,
        turn::plans,
        stream::resume,
        events::events,
        control::cancel,
        control::cancel_newest,
        control::reset,
        admin::actors,
        admin::kill,
        approvals::list,
        approvals::give,
        open_turns::list,
        open_turns::doubts,
        effects::settle,
        effects::retry_now,
        dead_letters::list,
        dead_letters::one,
        dead_letters::redrive,
        openai::completions,
        openai::models,
        openai::one_model,
        health::healthz,
        health::readyz,
        health::metrics,
    ),
    components(schemas(problem::Problem, dto::TurnDto, dto::PlanDto, dto::ReplayDto))
)]
struct Described;

/// The description as JSON.
#[must_use]
pub fn document() -> String {
    Described::openapi().to_pretty_json().unwrap_or_default()
}

/// The description of this interface.
pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document())
}
