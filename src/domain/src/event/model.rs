//! What a plan or an answer says of the models behind it: who, how often, at what cost. Parts of PlanGenerated and
//! FinalAnswerSynthesized (`super`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who produced a plan or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Author {
    /// `builtin`, `ollama`, `openai`.
    pub provider: Arc<str>,
    pub model: Option<Arc<str>>,
    /// Tokens read and written, where the provider says so.
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
}

/// A provider that was asked before the one that delivered, and why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailedCall {
    pub provider: Arc<str>,
    pub model: Option<Arc<str>>,
    /// `unavailable`, `timeout`, `bad_response`, `plan_refused`, `refused`, `breaker_open`, `busy`, `rate_limited`.
    pub kind: Arc<str>,
    pub latency_ms: u64,
}

/// What a plan or an answer cost, all calls to models together. Absent where no model was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelCalls {
    /// SHA-256 of the prompt's files and the agent's instructions, as hex digits.
    pub prompt_hash: Option<Arc<str>>,
    /// Calls that were answered, repairs included.
    pub calls: u32,
    pub latency_ms: u64,
    /// Of all calls, the failed ones included as far as their tokens are known.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Billionths of a US dollar by the price table of the configuration; null where it names no price.
    pub cost_nano_usd: Option<u64>,
    /// At most [`MAX_FAILED_CALLS`](crate::limits::MAX_FAILED_CALLS), in the order in which they were asked.
    pub failed: Vec<FailedCall>,
}

/// What a plan or an answer counts against the conversation's token budget.
pub(super) fn tokens(author: &Author, models: Option<&ModelCalls>) -> u64 {
    let of_author = || author.input_tokens.unwrap_or(0).saturating_add(author.output_tokens.unwrap_or(0));
    models.map_or_else(of_author, |models| models.input_tokens.saturating_add(models.output_tokens))
}
