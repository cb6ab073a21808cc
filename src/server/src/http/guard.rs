//! What every request passes: Host and Origin, the key, a net under panics, and problems for answers that
//! carry no reason of their own.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};
use futures_util::FutureExt;

use super::api::{Api, Rules};
use super::openai;
use super::problem::{Problem, Refusal};

/// Whoever asks without a key.
pub const ANONYMOUS: &str = "anonymous";

/// Who asks: the owner of the key, or `anonymous`.
#[derive(Debug, Clone)]
pub struct Principal(pub String);

/// The middleware around all routes.
///
/// # Errors
/// A problem, which actix answers with: after a panic the request is gone, so that nothing else can.
pub async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse, Error> {
    let api = request.app_data::<web::Data<Api>>().cloned();
    let api = api.expect("the app is built with its Api");
    let answer = match admit(&api.rules, &request) {
        Err(problem) if openai::is_path(request.path()) => {
            Ok(request.into_response(openai::Refusal::from(problem).error_response()))
        }
        Err(problem) => Ok(request.into_response(problem.error_response())),
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            let path = request.path().to_owned();
            match AssertUnwindSafe(next.call(request)).catch_unwind().await {
                Ok(answered) => answered.map(|response| with_reason(response.map_into_boxed_body())),
                Err(_) => {
                    tracing::error!(path, "a handler panicked");
                    Err(Problem::internal().into())
                }
            }
        }
    };
    let status = answer.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, ServiceResponse::status);
    if let Ok(response) = &answer
        && let Some(Refusal(code)) = response.response().extensions().get::<Refusal>()
    {
        api.refused(status.as_u16(), code);
    }
    let digit = usize::from(status.as_u16() / 100).min(api.answers.len() - 1);
    api.answers[digit].fetch_add(1, Ordering::Relaxed);
    answer
}

/// An error without a reason of its own (actix's own have no body, or plain text) gets a problem.
fn with_reason(response: ServiceResponse) -> ServiceResponse {
    let status = response.status();
    let media = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !(status.is_client_error() || status.is_server_error()) || media.starts_with("application/") {
        return response;
    }
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, Problem::of_status(status).error_response())
}

fn admit(rules: &Rules, request: &ServiceRequest) -> Result<Principal, Problem> {
    let path = request.path();
    // Probes come by address and without keys, and learn nothing.
    if matches!(path, "/healthz" | "/readyz") {
        return Ok(Principal(ANONYMOUS.to_owned()));
    }
    check_host(rules, request)?;
    // The page itself is public; what it shows is not.
    let public = super::page::is_page(path) || path == "/openapi.json";
    if !rules.keyed() || public {
        return Ok(Principal(ANONYMOUS.to_owned()));
    }
    let owner = key(request.headers()).and_then(|key| rules.owner(key));
    owner.map(|name| Principal(name.to_owned())).ok_or_else(|| {
        let detail = "a key is needed: `Authorization: Bearer KEY` or `X-Api-Key: KEY`";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    })
}

fn key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|text| text.split_once(' '));
    match bearer {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Some(key.trim()),
        _ => headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim),
    }
}

/// A page of another site must not reach a server on this machine, by its own name (Origin) or by a name that
/// it made point here (Host).
fn check_host(rules: &Rules, request: &ServiceRequest) -> Result<(), Problem> {
    let forbidden = |what: &str, found: &str| {
        let found: String = found.chars().take(128).collect();
        let detail = format!("{what} {found:?} is neither loopback nor in http.allowed_hosts");
        Problem::new(StatusCode::FORBIDDEN, "host_not_allowed", detail).field(what)
    };
    let text = |name| {
        request
            .headers()
            .get(name)
            .map(|value: &actix_web::http::header::HeaderValue| value.to_str().unwrap_or(""))
    };
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = text(HOST).or(authority).unwrap_or("");
    if !allowed(rules, host) {
        return Err(forbidden("Host", host));
    }
    match text(ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let site = origin.split_once("://").map_or("", |(_, site)| site);
            if allowed(rules, site) { Ok(()) } else { Err(forbidden("Origin", origin)) }
        }
    }
}

fn allowed(rules: &Rules, authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        // After the bracket there may be a port and nothing else: `[::1].evil.example` is another site's name.
        Some(rest) => match rest.split_once(']') {
            Some((host, after)) if after.is_empty() || after.starts_with(':') => host,
            _ => return false,
        },
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || rules
            .allowed_hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::allowed;
    use crate::config::Config;
    use crate::http::api::Rules;

    #[test]
    fn only_loopback_and_named_hosts_are_let_in() {
        let mut config = Config::default();
        config.http.allowed_hosts = vec!["board.example".into()];
        let rules = Rules::of(&config, true);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "board.example:443"] {
            assert!(allowed(&rules, host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "10.0.0.1", "[::2]"] {
            assert!(!allowed(&rules, host), "{host}");
        }
        for host in ["[::1].evil.example", "[::1]evil.example:80", "[::1", "[::1]8080"] {
            assert!(!allowed(&rules, host), "{host}");
        }
    }
}
