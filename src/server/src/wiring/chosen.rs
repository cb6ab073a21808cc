//! What is in force where nobody set anything: the adapters' and the actors' own choices, for `config show`.

use std::time::Duration;

use callboard_models::ModelsConfig;
use serde_json::{Value, json};

use crate::config::Config;

/// What is in force of `limits` and `models`, by key, for those who set nothing.
#[must_use]
pub fn chosen(config: &Config) -> Vec<(String, Value)> {
    let (limits, usual) = (super::limits(config), ModelsConfig::default());
    let models = usual.models;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let written = json!({
        "limits.commands_in_flight": limits.commands_in_flight,
        "limits.requests_in_flight": limits.requests_in_flight,
        "limits.crashes_per_invocation": limits.crashes_per_invocation,
        "limits.claim_ms": ms(limits.claim),
        "limits.breaker_failures": limits.breaker_failures,
        "limits.breaker_pause_ms": ms(limits.breaker_pause),
        "limits.workers_per_pool": limits.workers_per_pool,
        "limits.synthesis_workers": limits.synthesis_workers,
        "limits.planner_calls": limits.planner_calls,
        "limits.live_conversations": limits.live_conversations,
        "limits.open_turns": limits.open_turns,
        "limits.waiters_per_conversation": limits.waiters_per_conversation,
        "limits.passivate_after_ms": ms(limits.passivate_after),
        "limits.flush_every_ms": ms(limits.flush_every),
        "limits.history_conversations": limits.history_conversations,
        "limits.history_turns": limits.history_turns,
        "planner.history_tokens": usual.planner.history_tokens,
        "models.breaker.failures": models.breaker.failures,
        "models.breaker.pause_ms": models.breaker.pause_ms,
        "models.ollama.model": models.ollama.model,
        "models.ollama.timeout_ms": models.ollama.timeout_ms,
        "models.ollama.connect_timeout_ms": models.ollama.connect_timeout_ms,
        "models.ollama.first_token_timeout_ms": models.ollama.first_token_timeout_ms,
        "models.ollama.between_tokens_timeout_ms": models.ollama.between_tokens_timeout_ms,
        "models.ollama.concurrency": models.ollama.concurrency,
        "models.ollama.queue": models.ollama.queue,
        "models.ollama.max_tokens": models.ollama.max_tokens,
        "models.openai.model": models.openai.model,
        "models.openai.timeout_ms": models.openai.timeout_ms,
        "models.openai.connect_timeout_ms": models.openai.connect_timeout_ms,
        "models.openai.first_token_timeout_ms": models.openai.first_token_timeout_ms,
        "models.openai.between_tokens_timeout_ms": models.openai.between_tokens_timeout_ms,
        "models.openai.concurrency": models.openai.concurrency,
        "models.openai.queue": models.openai.queue,
        "models.openai.max_tokens": models.openai.max_tokens,
    });
    let Value::Object(values) = written else { return Vec::new() };
    values.into_iter().collect()
}
