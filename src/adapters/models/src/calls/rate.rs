//! When a server wants to be asked again, as it says in its headers: `Retry-After` in seconds or as a date,
//! `retry-after-ms`, and the `x-ratelimit-*` family of OpenAI-compatible services.
//!
//! [`super::guard`] keeps to it.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// A service that wants more is treated as if it wanted this: a day's quota must not silence a provider for good.
const MAX_PAUSE: Duration = Duration::from_secs(3_600);

/// What an error's headers ask for.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let exact = text("retry-after-ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    let usual = || {
        let text = text(RETRY_AFTER.as_str())?;
        match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => {
                httpdate::parse_http_date(text).ok().map(|at| at.duration_since(now).unwrap_or_default())
            }
        }
    };
    exact.or_else(usual).or_else(|| exhausted(headers)).map(|pause| pause.min(MAX_PAUSE))
}

/// For how long nothing is left of a limit, as any answer's headers tell.
pub(crate) fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: String| headers.get(name)?.to_str().ok().map(str::trim);
    let of = |what: &str| {
        let left = text(format!("x-ratelimit-remaining-{what}"))?;
        if left != "0" {
            return None;
        }
        text(format!("x-ratelimit-reset-{what}")).and_then(span)
    };
    of("requests").max(of("tokens")).map(|pause| pause.min(MAX_PAUSE))
}

/// `1s`, `6m0s`, `20ms`, `1h2m3.5s`, or plain seconds.
fn span(text: &str) -> Option<Duration> {
    let seconds = |number: f64, of_one: f64| Duration::try_from_secs_f64(number * of_one).ok();
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number, 1.0);
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let (unit, of_one) = [("ms", 0.001), ("h", 3_600.0), ("m", 60.0), ("s", 1.0)]
            .into_iter()
            .find(|(u, _)| after.starts_with(u))?;
        total = total.saturating_add(seconds(number, of_one)?);
        rest = &after[unit.len()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{exhausted, retry_after};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn servers_say_in_many_ways_when_to_come_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (pairs, ms) in [
            (&[("retry-after", "2")][..], Some(2_000)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], Some(10_000)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0)),
            (&[("retry-after", "9"), ("retry-after-ms", "150")], Some(150)),
            (&[("retry-after", "999999")], Some(3_600_000)),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "20ms")], Some(20)),
            (&[], None),
        ] {
            assert_eq!(retry_after(&headers(pairs), now), ms.map(Duration::from_millis), "{pairs:?}");
        }
    }

    #[test]
    fn a_limit_that_is_used_up_is_seen_before_it_is_broken() {
        for (requests, tokens, ms) in [
            (("0", "1s"), ("100", "6m0s"), Some(1_000)),
            (("0", "1s"), ("0", "6m0s"), Some(360_000)),
            (("1", "1s"), ("1", "6m0s"), None),
            (("0", "1m1.5s"), ("1", "1s"), Some(61_500)),
            (("0", "never"), ("1", "1s"), None),
        ] {
            let told = headers(&[
                ("x-ratelimit-remaining-requests", requests.0),
                ("x-ratelimit-reset-requests", requests.1),
                ("x-ratelimit-remaining-tokens", tokens.0),
                ("x-ratelimit-reset-tokens", tokens.1),
            ]);
            assert_eq!(exhausted(&told), ms.map(Duration::from_millis), "{requests:?} {tokens:?}");
        }
    }
}
