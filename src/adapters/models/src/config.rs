//! What an operator may set about models: `planner.order` and `models.{ollama,openai}.KEY`. [`crate::assembly`] judges
//! the values and finds out what is there.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

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

/// `planner`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlannerConfig {
    /// Who is asked, in this order, of those that are configured. The built-in planner is always the last resort;
    /// named earlier, it takes the messages that it understands wholly.
    pub order: Vec<ProviderName>,
}

impl Default for PlannerConfig {
    fn default() -> Self {
        Self { order: DEFAULT_ORDER.to_vec() }
    }
}

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
}

impl Default for OllamaConfig {
    fn default() -> Self {
        // A local model may be loading its weights at the first question.
        Self {
            base_url: None,
            host: None,
            model: "llama3".to_owned(),
            timeout_ms: 60_000,
            connect_timeout_ms: 2_000,
        }
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
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        Self {
            base_url: None,
            model: "gpt-4o-mini".to_owned(),
            api_key: None,
            timeout_ms: 45_000,
            connect_timeout_ms: 5_000,
        }
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

/// `models`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Providers {
    pub ollama: OllamaConfig,
    pub openai: OpenAiConfig,
    pub embeddings: Option<EmbeddingsConfig>,
}

/// Everything about models: the two tables of the configuration that concern them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    pub planner: PlannerConfig,
    pub models: Providers,
}
