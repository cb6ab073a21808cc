//! The settings of planners, model servers and agents. What is not set is the adapter's to choose.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use callboard_domain::event::TurnLimits;

/// Who plans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlannerSettings {
    /// Tried in this order; those that are not configured are left out.
    pub order: Vec<EnginePart>,
    pub max_rounds: u32,
    /// Of earlier exchanges in a prompt, the newest first.
    pub history_tokens: Option<usize>,
}

impl Default for PlannerSettings {
    fn default() -> Self {
        let order = vec![EnginePart::Ollama, EnginePart::Openai, EnginePart::Builtin];
        Self { order, max_rounds: TurnLimits::default().max_rounds, history_tokens: None }
    }
}

/// A planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnginePart {
    Ollama,
    Openai,
    Builtin,
}

impl EnginePart {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Openai => "openai",
            Self::Builtin => "builtin",
        }
    }
}

/// The model servers. What is not set is the adapter's to choose.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    pub ollama: OllamaSettings,
    pub openai: OpenAiSettings,
    pub embeddings: EmbeddingSettings,
    pub breaker: ModelBreakerSettings,
    /// By model, or by PROVIDER/MODEL.
    pub prices: BTreeMap<String, PriceSettings>,
}

/// When a provider is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelBreakerSettings {
    /// Calls in a row that find it unavailable or too slow.
    pub failures: Option<u32>,
    /// At first; doubled with each trial in vain.
    pub pause_ms: Option<u64>,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSettings {
    pub input_per_million_usd: f64,
    pub output_per_million_usd: f64,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// What goes in front of every prompt.
    pub instructions: Option<String>,
    /// The tools that its plans may use; all where nothing is set. `files.*` means all that begin so.
    pub tools: Option<Vec<String>>,
    /// PROVIDER/MODEL, asked before the others; or `builtin`.
    pub model: Option<String>,
}

/// Who turns texts into vectors, for retrieval; both or neither.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingSettings {
    /// `ollama` or `openai`.
    pub provider: Option<String>,
    pub model: Option<String>,
}

/// Ollama.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OllamaSettings {
    /// Use this one, whether it answers now or later.
    pub base_url: Option<String>,
    /// As `OLLAMA_HOST` has it: used when it answers at the start.
    pub host: Option<String>,
    pub model: Option<String>,
    pub timeout_ms: Option<u64>,
    pub connect_timeout_ms: Option<u64>,
    /// Until the first token.
    pub first_token_timeout_ms: Option<u64>,
    /// Between two tokens.
    pub between_tokens_timeout_ms: Option<u64>,
    /// Calls at once.
    pub concurrency: Option<usize>,
    /// Calls that may wait for one of these.
    pub queue: Option<usize>,
    /// Of one reply.
    pub max_tokens: Option<u32>,
}

/// OpenAI, or any server with its API.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiSettings {
    pub base_url: Option<String>,
    pub model: Option<String>,
    pub api_key: Option<String>,
    pub timeout_ms: Option<u64>,
    pub connect_timeout_ms: Option<u64>,
    /// Until the first token.
    pub first_token_timeout_ms: Option<u64>,
    /// Between two tokens.
    pub between_tokens_timeout_ms: Option<u64>,
    /// Calls at once.
    pub concurrency: Option<usize>,
    /// Calls that may wait for one of these.
    pub queue: Option<usize>,
    /// Of one reply.
    pub max_tokens: Option<u32>,
}

impl std::fmt::Debug for OpenAiSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.api_key.as_ref().map(|_| "(secret)");
        f.debug_struct("OpenAiSettings")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .field("api_key", &key)
            .finish_non_exhaustive()
    }
}
