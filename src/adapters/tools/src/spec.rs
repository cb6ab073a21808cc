//! From a tool's own defaults and an operator's [`Overrides`] to its `ToolSpec`; every value is judged here, before
//! anything starts.

use std::sync::Arc;

use callboard_domain::json::RawJson;
use callboard_domain::limits::{DEFAULT_APPROVAL_TIMEOUT_MS, MAX_APPROVAL_TIMEOUT_MS, MAX_ATTEMPTS};
use callboard_domain::plan::{Backoff, EffectClass, OnFailure};
use callboard_ports::tool::ToolSpec;
use serde_json::Value;

use crate::config::{Overrides, PlainConfig};
use crate::registry::BuildError;
use crate::schema::ArgumentSchema;

/// The longest attempt: a longer call belongs behind a queue of its own, not in a worker's hand.
const MAX_TIMEOUT_MS: u64 = 3_600_000;
/// The longest life of a step; a day covers a service that is down overnight.
const MAX_DEADLINE_MS: u64 = 86_400_000;
/// More calls of one tool at once than this are a mistake in a unit.
const MAX_CONCURRENCY: usize = 1_024;
/// As models take them.
const MAX_NAME_BYTES: usize = 64;
/// It is part of every prompt…
const MAX_DESCRIPTION_BYTES: usize = 2_000;
/// …and so is the schema.
const MAX_SCHEMA_BYTES: usize = 16 * 1024;
/// Pool names become consumer group ids and metric labels.
const MAX_POOL_NAME_BYTES: usize = 64;

/// What a tool is when nobody has set anything.
pub(crate) struct Defaults<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub schema: Value,
    pub timeout_ms: u64,
    pub deadline_ms: u64,
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub concurrency: usize,
}

/// The spec of a tool of one's own: `set` goes before the usual values.
///
/// # Errors
/// [`BuildError`] names the setting that is wrong and what would be right.
pub fn judged(
    name: &str,
    description: &str,
    schema: Value,
    effect: EffectClass,
    set: &PlainConfig,
) -> Result<ToolSpec, BuildError> {
    own(name, description, schema, effect, &set.overrides())
}

/// As [`judged`].
pub(crate) fn own(
    name: &str,
    description: &str,
    schema: Value,
    effect: EffectClass,
    overrides: &Overrides,
) -> Result<ToolSpec, BuildError> {
    let wrong = |problem: String| BuildError::Tool { tool: name.to_owned(), problem };
    let legible = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(legible) {
        return Err(wrong(format!("a tool's name is 1 to {MAX_NAME_BYTES} of [A-Za-z0-9_-]")));
    }
    let setting = |key, problem: String| BuildError::Setting { tool: name.to_owned(), key, problem };
    if description.trim().is_empty() {
        let words =
            "is missing; say in a sentence what the tool does and when to use it: planners choose by it";
        return Err(setting("description", words.to_owned()));
    }
    if description.len() > MAX_DESCRIPTION_BYTES {
        let problem = format!("has {} bytes; at most {MAX_DESCRIPTION_BYTES} are allowed", description.len());
        return Err(setting("description", problem));
    }
    if schema["type"] != "object" {
        let words = "does not say \"type\": \"object\"; arguments are always a JSON object";
        return Err(setting("schema", words.to_owned()));
    }
    let bytes = schema.to_string().len();
    if bytes > MAX_SCHEMA_BYTES {
        return Err(setting("schema", format!("has {bytes} bytes; at most {MAX_SCHEMA_BYTES} are allowed")));
    }
    ArgumentSchema::compile(&RawJson::from_value(&schema))
        .map_err(|problem| setting("schema", format!("is no JSON Schema: {problem}")))?;
    let defaults = Defaults {
        name,
        description,
        schema,
        timeout_ms: 30_000,
        deadline_ms: 180_000,
        max_attempts: 3,
        backoff: Backoff { initial_ms: 500, max_ms: 10_000 },
        concurrency: 16,
    };
    of_class(effect, defaults, overrides)
}

/// The spec of a tool of another crate, whose own settings were taken out of `set` before.
///
/// # Errors
/// [`BuildError`] names the setting that is wrong and what would be right.
pub fn adjusted(name: &'static str, spec: ToolSpec, set: &PlainConfig) -> Result<ToolSpec, BuildError> {
    let defaults = Defaults {
        name,
        description: "",
        schema: Value::Null,
        timeout_ms: spec.timeout_ms,
        deadline_ms: spec.deadline_ms,
        max_attempts: spec.max_attempts,
        backoff: spec.backoff,
        concurrency: spec.concurrency,
    };
    let overrides = set.overrides();
    let judged = of_class(spec.effect, defaults, &overrides)?;
    let pool = if overrides.pool.is_some() { judged.pool.clone() } else { spec.pool };
    let (name, description, schema) = (spec.name, spec.description, spec.schema);
    Ok(ToolSpec { name, description, schema, pool, on_failure: spec.on_failure, ..judged })
}

/// The spec of a pure tool.
pub(crate) fn pure(defaults: Defaults<'_>, overrides: &Overrides) -> Result<ToolSpec, BuildError> {
    of_class(EffectClass::Pure, defaults, overrides)
}

/// The spec of a tool of any effect class.
pub(crate) fn of_class(
    effect: EffectClass,
    defaults: Defaults<'_>,
    overrides: &Overrides,
) -> Result<ToolSpec, BuildError> {
    let wrong = |key: &'static str, problem: String| BuildError::Setting {
        tool: defaults.name.to_owned(),
        key,
        problem,
    };
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
