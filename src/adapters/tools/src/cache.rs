//! Answers of reading services, kept for as long as the service itself calls them fresh; a question that is asked again
//! meanwhile costs no request.
//!
//! [`crate::http`] asks it before and tells it after each request. `Cache-Control` goes before `Expires`; where a service
//! says neither, the caller's usual time counts.

use std::time::{Duration, Instant, SystemTime};

use moka::sync::Cache;
use reqwest::header::{AGE, CACHE_CONTROL, EXPIRES, HeaderMap};
use serde_json::Value;

/// All answers together, as their JSON was sent: some thousand forecasts.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// A service that calls an answer fresh for longer is asked again all the same.
const MAX_FRESH: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone)]
struct Kept {
    body: Value,
    bytes: u32,
    until: Instant,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Answers(Cache<String, Kept>);

impl Answers {
    pub fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(|url: &String, kept: &Kept| {
                kept.bytes.saturating_add(u32::try_from(url.len()).unwrap_or(u32::MAX))
            })
            .time_to_live(MAX_FRESH);
        Self(cache.build())
    }

    /// The answer that `url` had, as long as it is fresh.
    pub fn get(&self, url: &str) -> Option<Value> {
        self.0.get(url).filter(|kept| kept.until > Instant::now()).map(|kept| kept.body)
    }

    /// Keeps an answer of `bytes` for `fresh`.
    pub fn keep(&self, url: String, body: &Value, bytes: usize, fresh: Duration) {
        if fresh.is_zero() {
            return;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.0.insert(url, Kept { body: body.clone(), bytes, until: Instant::now() + fresh });
    }
}

/// How long a service calls its answer fresh; `usual` where it says nothing.
pub(crate) fn freshness(headers: &HeaderMap, usual: Duration) -> Duration {
    let text = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
    let mut max_age = None;
    for directive in text(CACHE_CONTROL).unwrap_or_default().split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Duration::ZERO,
            "max-age" => max_age = value.trim().trim_matches('"').parse::<u64>().ok(),
            _ => {}
        }
    }
    if let Some(seconds) = max_age {
        let age = text(AGE).and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or_default();
        return Duration::from_secs(seconds.saturating_sub(age)).min(MAX_FRESH);
    }
    match text(EXPIRES) {
        // What is no date means "expired already".
        Some(expires) => httpdate::parse_http_date(expires)
            .ok()
            .and_then(|at| at.duration_since(SystemTime::now()).ok())
            .unwrap_or_default()
            .min(MAX_FRESH),
        None => usual,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::json;

    use super::{Answers, freshness};

    fn said(headers: &[(&'static str, &str)]) -> u64 {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        freshness(&pairs.collect::<HeaderMap>(), Duration::from_secs(7)).as_secs()
    }

    #[test]
    fn the_services_own_word_counts() {
        assert_eq!(said(&[]), 7);
        assert_eq!(said(&[("cache-control", "public, max-age=60")]), 60);
        assert_eq!(said(&[("cache-control", "Max-Age=60"), ("age", "50")]), 10);
        assert_eq!(said(&[("cache-control", "max-age=60, no-store")]), 0);
        assert_eq!(said(&[("cache-control", "max-age=99999999")]), 24 * 60 * 60);
        assert_eq!(said(&[("expires", "0")]), 0);
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!((90..=100).contains(&said(&[("expires", &soon)])));
        assert_eq!(said(&[("expires", &soon), ("cache-control", "no-cache")]), 0);
    }

    #[test]
    fn an_answer_is_kept_as_long_as_it_is_fresh() {
        let answers = Answers::new();
        answers.keep("a".to_owned(), &json!(1), 1, Duration::from_secs(60));
        answers.keep("b".to_owned(), &json!(2), 1, Duration::ZERO);
        assert_eq!((answers.get("a"), answers.get("b")), (Some(json!(1)), None));
    }
}
