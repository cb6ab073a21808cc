//! What an operator may set about models: `planner`, `models` and `agents`. `providers` are the tables of single
//! providers; [`crate::assembly`] judges the values and finds out what is there.

mod providers;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::providers::{EmbeddingProvider, EmbeddingsConfig, OllamaConfig, OpenAiConfig};

/// The providers that there are, best first where nothing is set.
pub const DEFAULT_ORDER: [ProviderName; 3] =
    [ProviderName::Ollama, ProviderName::Openai, ProviderName::Builtin];

/// Who can plan and write answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    Ollama,
    Openai,
    Builtin,
}

impl ProviderName {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Openai => "openai",
            Self::Builtin => "builtin",
        }
    }
}

/// `planner`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlannerConfig {
    /// Who is asked, in this order, of those that are configured. The built-in planner is always the last resort;
    /// named earlier, it takes the messages that it understands wholly.
    pub order: Vec<ProviderName>,
    /// Of earlier exchanges in a prompt, the newest first, four bytes counted as a token.
    pub history_tokens: usize,
}

impl Default for PlannerConfig {
    fn default() -> Self {
        Self { order: DEFAULT_ORDER.to_vec(), history_tokens: 4_000 }
    }
}

/// `models.prices.MODEL`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input_per_million_usd: f64,
    pub output_per_million_usd: f64,
}

/// `models.breaker`: when a provider is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Calls in a row that find it unavailable or too slow.
    pub failures: u32,
    /// At first; doubled with each trial in vain, up to a minute.
    pub pause_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        // One failure is an accident; a pause of seconds is shorter than a start of the server.
        Self { failures: 3, pause_ms: 5_000 }
    }
}

/// `models`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Providers {
    pub ollama: OllamaConfig,
    pub openai: OpenAiConfig,
    pub embeddings: Option<EmbeddingsConfig>,
    pub breaker: BreakerConfig,
    /// By model, or by PROVIDER/MODEL. A model without a price has no cost.
    pub prices: BTreeMap<String, Price>,
}

/// `agents.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// What goes in front of every prompt.
    pub instructions: Option<String>,
    /// The tools that its plans may use; all where nothing is set. `files.*` means all that begin so.
    pub tools: Option<Vec<String>>,
    /// PROVIDER/MODEL, asked before the others; or `builtin`.
    pub model: Option<String>,
}

/// Everything about models: the tables of the configuration that concern them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    pub planner: PlannerConfig,
    pub models: Providers,
    pub agents: BTreeMap<String, AgentConfig>,
}
