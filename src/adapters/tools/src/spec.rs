//! From a tool's own defaults and an operator's [`Overrides`] to its `ToolSpec`; every value is judged here, before
//! anything starts.

use std::sync::Arc;

use callboard_domain::json::RawJson;
use callboard_domain::limits::{DEFAULT_APPROVAL_TIMEOUT_MS, MAX_APPROVAL_TIMEOUT_MS, MAX_ATTEMPTS};
use callboard_domain::plan::{Backoff, EffectClass, OnFailure};
use callboard_ports::tool::ToolSpec;
use serde_json::Value;

use crate::config::Overrides;
use crate::registry::BuildError;

/// The longest attempt: a longer call belongs behind a queue of its own, not in a worker's hand.
const MAX_TIMEOUT_MS: u64 = 3_600_000;
/// The longest life of a step; a day covers a service that is down overnight.
const MAX_DEADLINE_MS: u64 = 86_400_000;
/// More calls of one tool at once than this are a mistake in a unit.
const MAX_CONCURRENCY: usize = 1_024;
/// Pool names become consumer group ids and metric labels.
const MAX_POOL_NAME_BYTES: usize = 64;

/// What a tool is when nobody has set anything.
pub(crate) struct Defaults {
    pub name: &'static str,
    pub description: &'static str,
    pub schema: Value,
    pub timeout_ms: u64,
    pub deadline_ms: u64,
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub concurrency: usize,
}

/// The spec of a pure tool.
pub(crate) fn pure(defaults: Defaults, overrides: &Overrides) -> Result<ToolSpec, BuildError> {
    of_class(EffectClass::Pure, defaults, overrides)
}

/// The spec of a tool of any effect class.
pub(crate) fn of_class(
    effect: EffectClass,
    defaults: Defaults,
    overrides: &Overrides,
) -> Result<ToolSpec, BuildError> {
    let wrong =
        |key: &'static str, problem: String| BuildError::Setting { tool: defaults.name, key, problem };
    let timeout_ms = overrides.timeout_ms.unwrap_or(defaults.timeout_ms);
    if timeout_ms == 0 || timeout_ms > MAX_TIMEOUT_MS {
        return Err(wrong("timeout_ms", format!("is {timeout_ms}; allowed are 1 to {MAX_TIMEOUT_MS}")));
    }
    let max_attempts = overrides.max_attempts.unwrap_or(defaults.max_attempts);
    if max_attempts == 0 || max_attempts > MAX_ATTEMPTS {
        return Err(wrong("max_attempts", format!("is {max_attempts}; allowed are 1 to {MAX_ATTEMPTS}")));
    }
    let backoff = overrides.backoff.unwrap_or(defaults.backoff);
    if backoff.initial_ms > backoff.max_ms || backoff.max_ms > MAX_DEADLINE_MS {
        let problem = format!(
            "waits {} to {} ms; the first must not exceed the second, the second not {MAX_DEADLINE_MS}",
            backoff.initial_ms, backoff.max_ms
        );
        return Err(wrong("backoff", problem));
    }
    let deadline_ms = overrides.deadline_ms.unwrap_or_else(|| {
        // Without a word on the deadline every attempt that was asked for must fit, with its back-off.
        let all_attempts = (timeout_ms + backoff.max_ms).saturating_mul(max_attempts.into());
        defaults.deadline_ms.max(all_attempts).min(MAX_DEADLINE_MS)
    });
    if deadline_ms < timeout_ms || deadline_ms > MAX_DEADLINE_MS {
        let problem =
            format!("is {deadline_ms}; allowed are {timeout_ms} (its timeout_ms) to {MAX_DEADLINE_MS}");
        return Err(wrong("deadline_ms", problem));
    }
    let concurrency = overrides.concurrency.unwrap_or(defaults.concurrency);
    if concurrency == 0 || concurrency > MAX_CONCURRENCY {
        return Err(wrong("concurrency", format!("is {concurrency}; allowed are 1 to {MAX_CONCURRENCY}")));
    }
    let pool = overrides.pool.as_deref().unwrap_or("default");
    let pool_ok = pool.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if pool.is_empty() || pool.len() > MAX_POOL_NAME_BYTES || !pool_ok {
        let problem = format!("is {pool:?}; a pool name is 1 to {MAX_POOL_NAME_BYTES} of [A-Za-z0-9_-]");
        return Err(wrong("pool", problem));
    }
    let approval_timeout_ms = approval(overrides).map_err(|problem| wrong("approval_timeout_ms", problem))?;
    Ok(ToolSpec {
        name: Arc::from(defaults.name),
        description: Arc::from(defaults.description),
        schema: RawJson::from_value(&defaults.schema),
        effect,
        pool: Arc::from(pool),
        timeout_ms,
        deadline_ms,
        max_attempts,
        backoff,
        on_failure: OnFailure::Fail,
        concurrency,
        approval_timeout_ms,
    })
}

/// How long an approval is waited for, where one is asked for.
fn approval(overrides: &Overrides) -> Result<Option<u64>, String> {
    let asked = overrides.approval == Some(true);
    match overrides.approval_timeout_ms {
        Some(ms) if ms == 0 || ms > MAX_APPROVAL_TIMEOUT_MS => {
            Err(format!("is {ms}; allowed are 1 to {MAX_APPROVAL_TIMEOUT_MS}"))
        }
        Some(_) if !asked => Err("is set, but no approval is asked for: set approval = true".to_owned()),
        said => Ok(asked.then(|| said.unwrap_or(DEFAULT_APPROVAL_TIMEOUT_MS))),
    }
}
