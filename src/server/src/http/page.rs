//! `/`: the first page, whole in the binary; it loads nothing from anywhere else, and may not.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::RustEmbed;

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "src/web"]
struct Web;

/// Scripts and styles only from here, connections only to here, no frames, no plugins.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FILES: [(&str, &str, &str); 3] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/app.js", "app.js", "text/javascript; charset=utf-8"),
    ("/app.css", "app.css", "text/css; charset=utf-8"),
];

/// Whether a path is part of the page.
#[must_use]
pub fn is_page(path: &str) -> bool {
    FILES.iter().any(|(known, ..)| *known == path)
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
