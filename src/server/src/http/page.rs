//! `/`: the first page, whole in the binary; it loads nothing from anywhere else, and may not. `/page.json` tells it
//! what it may offer, and `/page/counts` is what the counter of a demo says.

use std::sync::OnceLock;
use std::time::Duration;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::RustEmbed;
use serde_json::{Value, json};

use super::api::Api;
use super::problem::Problem;

/// The counter runs on this machine and answers at once.
const COUNTER_TIMEOUT: Duration = Duration::from_secs(2);
/// Five deposits are a kilobyte; a counter that says more is none.
const MAX_COUNTS_BYTES: usize = 1 << 20;

#[derive(RustEmbed)]
#[folder = "src/web"]
struct Web;

/// Scripts and styles only from here, connections only to here, no frames, no plugins.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 8] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/app.css", "app.css", "text/css; charset=utf-8"),
    ("/app.js", "app.js", SCRIPT),
    ("/approvals.js", "approvals.js", SCRIPT),
    ("/kill.js", "kill.js", SCRIPT),
    ("/plan.js", "plan.js", SCRIPT),
    ("/server.js", "server.js", SCRIPT),
    ("/tree.js", "tree.js", SCRIPT),
];

/// Where the parts of the page are.
pub fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, ..)| *path)
}

/// Whether a path is part of the page.
#[must_use]
pub fn is_page(path: &str) -> bool {
    paths().any(|known| known == path)
}

/// A part of the page.
///
/// # Errors
/// 404, which only a build without its page would say.
pub async fn page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let file = FILES.iter().find(|(path, ..)| *path == request.path());
    let found = file.and_then(|(_, name, media)| Web::get(name).map(|file| (file.data.into_owned(), *media)));
    let (body, media) =
        found.ok_or_else(|| Problem::not_found("not_found", "this build has no page".to_owned()))?;
    Ok(HttpResponse::Ok()
        .content_type(media)
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(body))
}

/// What the page may offer, and which process it talks to.
pub async fn about(api: web::Data<Api>) -> HttpResponse {
    let (rules, demo) = (&api.rules, &api.rules.demo);
    let question = demo.question.as_ref().filter(|_| demo.counter_url.is_some());
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({
        "allow_chaos": rules.allow_chaos,
        "process_id": std::process::id(),
        "demo": question.map(|question| json!({ "question": question })),
    }))
}

/// What the counter outside says: passed on as it is, because a page may talk to its own server only.
///
/// # Errors
/// 404 where this server is no part of a demo, 503 when the counter does not answer.
pub async fn counts(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let Some(url) = &api.rules.demo.counter_url else {
        return Err(Problem::not_found("not_found", "this server is not part of a demo".to_owned()));
    };
    let silent = |error: reqwest::Error| {
        let words = error.without_url().to_string();
        Problem::unavailable("no_counter", format!("the counter does not answer: {words}"))
    };
    let answer = counter().get(format!("{url}/counts")).send().await.map_err(silent)?;
    let bytes = answer.bytes().await.map_err(silent)?;
    let counts = Some(bytes).filter(|bytes| bytes.len() <= MAX_COUNTS_BYTES);
    let counts = counts.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let counts = counts.ok_or_else(|| Problem::unavailable("no_counter", "the counter says no counts"))?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(counts))
}

/// One client for all; without idle connections, which would belong to the runtime of one HTTP thread.
fn counter() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let builder =
            reqwest::Client::builder().timeout(COUNTER_TIMEOUT).pool_max_idle_per_host(0).no_proxy();
        builder.build().expect("a client without certificates of its own can be made")
    })
}
