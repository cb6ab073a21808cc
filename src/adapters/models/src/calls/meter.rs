//! What a provider's calls came to since the start, for `/metrics`. [`super::line`] counts, [`crate::assembly`] hands the
//! readings out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::line::{Completion, Silence};

/// What a provider's calls came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub provider: &'static str,
    /// Calls by what came of them: `answered`, or the kind of the failure.
    pub calls: Vec<(&'static str, u64)>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub latency_ms: u64,
    /// Nobody asks it now.
    pub breaker_open: bool,
}

#[derive(Debug, Default)]
struct Counts {
    /// As many entries as there are kinds.
    calls: BTreeMap<&'static str, u64>,
    input_tokens: u64,
    output_tokens: u64,
    latency_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Counts>);

impl Meter {
    pub fn count(&self, called: &Result<Completion, Silence>) {
        let mut counts = self.lock();
        let (outcome, latency_ms) = match called {
            Ok(completion) => {
                counts.input_tokens += completion.author.input_tokens.unwrap_or_default();
                counts.output_tokens += completion.author.output_tokens.unwrap_or_default();
                ("answered", completion.latency_ms)
            }
            Err(silence) => (silence.error.kind, silence.latency_ms),
        };
        *counts.calls.entry(outcome).or_default() += 1;
        counts.latency_ms += latency_ms;
    }

    pub fn read(&self, provider: &'static str, breaker_open: bool) -> Reading {
        let counts = self.lock();
        Reading {
            provider,
            calls: counts.calls.iter().map(|(outcome, count)| (*outcome, *count)).collect(),
            input_tokens: counts.input_tokens,
            output_tokens: counts.output_tokens,
            latency_ms: counts.latency_ms,
            breaker_open,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
