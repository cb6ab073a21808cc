//! HTTP: one file per resource, errors as problems (`problem`), every request through `guard`. The handlers
//! know the node and the log through `api`, and nothing of adapters.

mod admin;
mod api;
mod approvals;
mod body;
mod chat;
mod control;
mod conversation;
mod dead_letters;
mod dto;
mod effects;
mod events;
mod guard;
mod health;
mod instant;
mod model_metrics;
mod open_turns;
mod openai;
mod openapi;
mod page;
mod parameters;
mod prefer;
mod problem;
mod send;
mod stream;
#[cfg(test)]
mod tests;
mod turn;

use actix_web::dev::HttpServiceFactory;
use actix_web::{HttpRequest, ResponseError, Route, guard as guards, web};

pub use api::{Api, Rules, Running};
pub use dto::HistoryDto;
pub use guard::guard;
pub use openapi::document as openapi_document;
pub use problem::Problem;

fn get() -> Route {
    web::route().guard(guards::Any(guards::Get()).or(guards::Head()))
}

/// A resource that says which methods it takes.
fn resource(path: &str, allow: &'static str, route: Route) -> impl HttpServiceFactory + 'static {
    let refuse = web::to(move || async move { Problem::method_not_allowed(allow).error_response() });
    web::resource(path).route(route).default_service(refuse)
}

async fn not_found(request: HttpRequest) -> actix_web::HttpResponse {
    let path: String = request.path().chars().take(128).collect();
    let detail = format!("there is nothing at {path}; /openapi.json lists what there is");
    Problem::not_found("not_found", detail).error_response()
}

/// All routes. A process without conversations shows only itself.
pub fn routes(config: &mut web::ServiceConfig, conversations: bool) {
    const GET: &str = "GET, HEAD";
    config
        .app_data(
            web::QueryConfig::default()
                .error_handler(|error, _| Problem::bad_request("invalid_query", error.to_string()).into()),
        )
        .app_data(
            web::PathConfig::default()
                .error_handler(|error, _| Problem::bad_request("invalid_path", error.to_string()).into()),
        )
        .service(resource("/healthz", GET, get().to(health::healthz)))
        .service(resource("/readyz", GET, get().to(health::readyz)))
        .service(resource("/metrics", GET, get().to(health::metrics)))
        .service(resource("/admin/v1/actors", GET, get().to(admin::actors)))
        .service(resource("/admin/v1/actors/kill", "POST", web::post().to(admin::kill)));
    if conversations {
        conversation_routes(config);
    }
    config.default_service(web::to(not_found));
}

fn conversation_routes(config: &mut web::ServiceConfig) {
    const GET: &str = "GET, HEAD";
    let of = |rest: &str| format!("/v1/conversations/{{id}}{rest}");
    config
        .service(resource("/openapi.json", GET, get().to(openapi::openapi)))
        .service(resource("/v1/chat", "POST", web::post().to(chat::chat)))
        .service(resource("/v1/chat/completions", "POST", web::post().to(openai::completions)))
        .service(resource("/v1/models", GET, get().to(openai::models)))
        .service(resource("/v1/models/{model}", GET, get().to(openai::one_model)))
        .service(resource("/v1/conversations", GET, get().to(conversation::list)))
        .service(resource(&of(""), GET, get().to(conversation::get)))
        .service(resource(&of("/turns/{turn}"), GET, get().to(turn::get)))
        .service(resource(&of("/turns/{turn}/plan"), GET, get().to(turn::plan)))
        .service(resource(&of("/turns/{turn}/plans"), GET, get().to(turn::plans)))
        .service(resource(&of("/turns/{turn}/stream"), "GET", web::get().to(stream::resume)))
        .service(resource(&of("/turns/{turn}/cancel"), "POST", web::post().to(control::cancel)))
        .service(resource(&of("/plan"), GET, get().to(turn::newest_plan)))
        .service(resource(&of("/cancel"), "POST", web::post().to(control::cancel_newest)))
        .service(resource(&of("/reset"), "POST", web::post().to(control::reset)))
        .service(resource(&of("/events"), "GET", web::get().to(events::events)))
        .service(resource(&of("/history"), GET, get().to(conversation::history)))
        .service(resource(&of("/replay"), GET, get().to(conversation::replay)))
        .service(resource(&of("/approvals/{effect}"), "POST", web::post().to(approvals::give)))
        .service(resource("/v1/approvals", GET, get().to(approvals::list)))
        .service(resource("/v1/turns", GET, get().to(open_turns::list)))
        .service(resource("/admin/v1/effects", GET, get().to(open_turns::doubts)))
        .service(resource("/admin/v1/effects/{effect}/settle", "POST", web::post().to(effects::settle)))
        .service(resource("/admin/v1/effects/{effect}/retry-now", "POST", web::post().to(effects::retry_now)))
        .service(resource("/admin/v1/dead-letters", GET, get().to(dead_letters::list)))
        // Before the letters, whose ids it might be taken for.
        .service(resource("/admin/v1/dead-letters/redrive", "POST", web::post().to(dead_letters::redrive)))
        .service(resource("/admin/v1/dead-letters/{id}", GET, get().to(dead_letters::one)));
    for path in page::paths() {
        config.service(resource(path, GET, get().to(page::page)));
    }
    config.service(resource("/page.json", GET, get().to(page::about))).service(resource(
        "/page/counts",
        GET,
        get().to(page::counts),
    ));
}
