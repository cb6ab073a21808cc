//! The tables of single providers: `models.ollama`, `models.openai`, `models.embeddings`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calls::guard::Room;
use crate::calls::pace::Patience;
use crate::providers::MAX_REPLY_TOKENS;
use crate::secret::Secret;

/// `models.ollama`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OllamaConfig {
    /// Setting it means that this Ollama is to be used, whether it answers now or later.
    pub base_url: Option<String>,
    /// As `OLLAMA_HOST` has it (`host`, `host:port` or a URL): used when it answers at the start.
    pub host: Option<String>,
    /// The model wanted; where it is missing, an installed one is used.
    pub model: String,
    /// One call, milliseconds.
    pub timeout_ms: u64,
    /// Until a connection is accepted, milliseconds.
    pub connect_timeout_ms: u64,
    /// Until the first token, milliseconds.
    pub first_token_timeout_ms: u64,
    /// Between two tokens, milliseconds.
    pub between_tokens_timeout_ms: u64,
    /// Calls at once.
    pub concurrency: usize,
    /// Calls that may wait for one of these.
    pub queue: usize,
    /// Of one reply.
    pub max_tokens: u32,
}

impl Default for OllamaConfig {
    fn default() -> Self {
        Self {
            base_url: None,
            host: None,
            model: "llama3".to_owned(),
            // A local model writes a long answer at its own pace…
            timeout_ms: 120_000,
            connect_timeout_ms: 2_000,
            // …and may be loading its weights at the first question.
            first_token_timeout_ms: 60_000,
            between_tokens_timeout_ms: 20_000,
            // What Ollama itself runs in parallel.
            concurrency: 4,
            queue: 64,
            max_tokens: MAX_REPLY_TOKENS,
        }
    }
}

impl OllamaConfig {
    pub(crate) fn patience(&self) -> Patience {
        patience(self.first_token_timeout_ms, self.between_tokens_timeout_ms, self.timeout_ms)
    }

    pub(crate) fn room(&self) -> Room {
        Room { calls: self.concurrency, queue: self.queue }
    }
}

/// `models.openai`: OpenAI, or any server with its API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiConfig {
    /// With the API's version: `https://api.openai.com/v1`. A server of one's own needs no key.
    pub base_url: Option<String>,
    pub model: String,
    /// `OPENAI_API_KEY`.
    pub api_key: Option<Secret>,
    /// One call, milliseconds.
    pub timeout_ms: u64,
    /// Until a connection is accepted, milliseconds.
    pub connect_timeout_ms: u64,
    /// Until the first token, milliseconds.
    pub first_token_timeout_ms: u64,
    /// Between two tokens, milliseconds.
    pub between_tokens_timeout_ms: u64,
    /// Calls at once.
    pub concurrency: usize,
    /// Calls that may wait for one of these.
    pub queue: usize,
    /// Of one reply.
    pub max_tokens: u32,
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        Self {
            base_url: None,
            model: "gpt-4o-mini".to_owned(),
            api_key: None,
            timeout_ms: 90_000,
            connect_timeout_ms: 5_000,
            // A model that reasons says nothing for a while.
            first_token_timeout_ms: 45_000,
            between_tokens_timeout_ms: 20_000,
            concurrency: 16,
            queue: 256,
            max_tokens: MAX_REPLY_TOKENS,
        }
    }
}

impl OpenAiConfig {
    pub(crate) fn patience(&self) -> Patience {
        patience(self.first_token_timeout_ms, self.between_tokens_timeout_ms, self.timeout_ms)
    }

    pub(crate) fn room(&self) -> Room {
        Room { calls: self.concurrency, queue: self.queue }
    }
}

fn patience(first_token_ms: u64, between_tokens_ms: u64, total_ms: u64) -> Patience {
    Patience {
        first_token: Duration::from_millis(first_token_ms),
        between_tokens: Duration::from_millis(between_tokens_ms),
        total: Duration::from_millis(total_ms),
    }
}

/// `models.embeddings`: without it nothing is embedded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsConfig {
    /// Whose server makes the vectors, with that provider's address, key and timeouts.
    pub provider: EmbeddingProvider,
    /// A model that embeds: `nomic-embed-text`, `text-embedding-3-small`.
    pub model: String,
}

/// Who can embed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingProvider {
    Ollama,
    Openai,
}
