//! `Prefer` (RFC 7240): `respond-async` and `wait=S`. What is malformed is ignored, as the RFC wants.

use std::time::Duration;

use actix_web::HttpRequest;

/// The longest wait of one request; a client that wants more asks again.
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// How long a request may wait: what it prefers, or `default`.
#[must_use]
pub fn wait(request: &HttpRequest, default: Duration) -> Duration {
    let mut asynchronous = false;
    let mut wait = None;
    let values = request.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    for preference in values.flat_map(|value| value.split([',', ';'])) {
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => asynchronous = true,
            "wait" => wait = wait.or(value.trim().trim_matches('"').parse::<u64>().ok()),
            _ => {}
        }
    }
    let unspoken = if asynchronous { Duration::ZERO } else { default };
    wait.map_or(unspoken, Duration::from_secs).min(MAX_WAIT)
}

#[cfg(test)]
mod tests {
    use super::{MAX_WAIT, wait};
    use actix_web::test::TestRequest;
    use std::time::Duration;

    #[test]
    fn the_preferences_decide_the_wait() {
        let default = Duration::from_secs(15);
        let of = |value: &str| {
            wait(&TestRequest::default().insert_header(("prefer", value)).to_http_request(), default)
        };
        assert_eq!(of("respond-async"), Duration::ZERO);
        assert_eq!(of("respond-async, wait=5"), Duration::from_secs(5));
        assert_eq!(of("wait=9999"), MAX_WAIT);
        assert_eq!(of("wait=soon"), default);
        assert_eq!(of("return=minimal"), default);
    }
}
