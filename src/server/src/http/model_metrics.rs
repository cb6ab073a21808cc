//! What the calls to models came to, as lines of `/metrics`. [`super::health`] adds them to the node's.

use callboard_actors::{MetricKind, MetricLine};
use callboard_models::Reading;

type Family = (&'static str, &'static str, MetricKind);

const CALLS: Family = (
    "callboard_model_calls",
    "Calls to models by provider and outcome: answered, or the kind of the failure.",
    MetricKind::Counter,
);
const TOKENS: Family = (
    "callboard_model_tokens",
    "Tokens by provider and direction, as the servers count them.",
    MetricKind::Counter,
);
const SECONDS: Family = (
    "callboard_model_call_seconds",
    "Time that calls to models took, those in vain included.",
    MetricKind::Counter,
);
const BREAKER: Family = (
    "callboard_model_breaker_open",
    "1 while a provider is left alone because it failed repeatedly.",
    MetricKind::Gauge,
);

pub(super) const FAMILIES: [Family; 4] = [CALLS, TOKENS, SECONDS, BREAKER];

pub(super) fn lines(readings: &[Reading]) -> Vec<MetricLine> {
    let mut lines = Vec::new();
    for reading in readings {
        let mut line = |(name, help, kind): Family, more: Option<(&'static str, &str)>, value: f64| {
            let mut labels = vec![("provider", reading.provider.to_owned())];
            labels.extend(more.map(|(label, value)| (label, value.to_owned())));
            lines.push(MetricLine { name, help, kind, labels, value });
        };
        for (outcome, count) in &reading.calls {
            line(CALLS, Some(("outcome", outcome)), *count as f64);
        }
        line(TOKENS, Some(("direction", "input")), reading.input_tokens as f64);
        line(TOKENS, Some(("direction", "output")), reading.output_tokens as f64);
        line(SECONDS, None, reading.latency_ms as f64 / 1_000.0);
        line(BREAKER, None, f64::from(u8::from(reading.breaker_open)));
    }
    lines
}
