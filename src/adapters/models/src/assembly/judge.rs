//! Settings that cannot work, refused at the start with what would be right.

use super::BuildError;
use crate::config::ModelsConfig;
use crate::providers::{ollama, openai};

/// Longer is no timeout but a hang.
const MAX_TIMEOUT_MS: u64 = 600_000;
/// More calls at once are another machine's business.
const MAX_CONCURRENCY: usize = 1_024;
const MAX_QUEUE: usize = 65_536;
/// The longest replies that models give.
const MAX_TOKENS: u32 = 131_072;
/// What the domain gives along of earlier turns is 64 KiB.
const MAX_HISTORY_TOKENS: usize = 16_384;
const MAX_BREAKER_FAILURES: u32 = 1_000;

pub(super) fn settings(config: &ModelsConfig) -> Result<(), BuildError> {
    let (ollama, openai) = (&config.models.ollama, &config.models.openai);
    let of_ollama = [
        ("timeout_ms", ollama.timeout_ms),
        ("connect_timeout_ms", ollama.connect_timeout_ms),
        ("first_token_timeout_ms", ollama.first_token_timeout_ms),
        ("between_tokens_timeout_ms", ollama.between_tokens_timeout_ms),
    ];
    let of_openai = [
        ("timeout_ms", openai.timeout_ms),
        ("connect_timeout_ms", openai.connect_timeout_ms),
        ("first_token_timeout_ms", openai.first_token_timeout_ms),
        ("between_tokens_timeout_ms", openai.between_tokens_timeout_ms),
    ];
    for (provider, keys) in [(ollama::PROVIDER, of_ollama), (openai::PROVIDER, of_openai)] {
        for (key, ms) in keys {
            within(provider, key, ms, 1, MAX_TIMEOUT_MS)?;
        }
    }
    for (provider, concurrency, queue, tokens) in [
        (ollama::PROVIDER, ollama.concurrency, ollama.queue, ollama.max_tokens),
        (openai::PROVIDER, openai.concurrency, openai.queue, openai.max_tokens),
    ] {
        within(provider, "concurrency", concurrency, 1, MAX_CONCURRENCY)?;
        within(provider, "queue", queue, 0, MAX_QUEUE)?;
        within(provider, "max_tokens", tokens, 16, MAX_TOKENS)?;
    }
    within("breaker", "failures", config.models.breaker.failures, 1, MAX_BREAKER_FAILURES)?;
    within("breaker", "pause_ms", config.models.breaker.pause_ms, 1, MAX_TIMEOUT_MS)?;
    let history = config.planner.history_tokens;
    if history > MAX_HISTORY_TOKENS {
        let problem = format!("is {history}; allowed are 0 to {MAX_HISTORY_TOKENS}");
        return Err(BuildError::Planner { key: "history_tokens", problem });
    }
    for (model, price) in &config.models.prices {
        for (key, usd) in [
            ("input_per_million_usd", price.input_per_million_usd),
            ("output_per_million_usd", price.output_per_million_usd),
        ] {
            if !(0.0..=1_000_000.0).contains(&usd) {
                let problem =
                    format!("has {key} = {usd}; a price is US dollars per million tokens, 0 or more");
                return Err(BuildError::Price { model: model.clone(), problem });
            }
        }
    }
    Ok(())
}

fn within<N: PartialOrd + std::fmt::Display>(
    provider: &'static str,
    key: &'static str,
    is: N,
    least: N,
    most: N,
) -> Result<(), BuildError> {
    if is >= least && is <= most {
        return Ok(());
    }
    let problem = format!("is {is}; allowed are {least} to {most}");
    Err(BuildError::Setting { provider, key, problem })
}
