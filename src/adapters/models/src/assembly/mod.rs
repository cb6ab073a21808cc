//! Finds out which models there are, and puts planner, synthesizer and what tools need of models together: once, at the
//! start.
//!
//! `found` looks for providers and says in one sentence who plans and why; `judge` refuses settings that cannot work;
//! `examine` is for `doctor`.

mod embeddings;
mod examine;
mod found;
mod judge;

use std::sync::Arc;

use callboard_ports::model::{Completer, Embedder, Planner, Synthesizer};
use callboard_ports::tool::ToolRegistry;
use tokio::runtime::Handle;

pub use self::examine::Examined;

use self::found::Found;
use crate::agents::{AgentError, Agents};
use crate::calls::meter::Reading;
use crate::config::{ModelsConfig, ProviderName};
use crate::providers::ollama::Detection;
use crate::router::{CompleterRouter, PlannerRouter, Provider, Shared, SynthesizerRouter};

/// Bytes that history counts as a token: more than a token of English, less than two of any language.
const BYTES_PER_TOKEN: usize = 4;

/// Why models could not be set up; every sentence names the setting.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("models.{provider}.{key} {problem}")]
    Setting { provider: &'static str, key: &'static str, problem: String },
    #[error("models.{provider}: {problem}")]
    Provider { provider: &'static str, problem: String },
    #[error("planner.{key} {problem}")]
    Planner { key: &'static str, problem: String },
    #[error("models.prices.{model:?} {problem}")]
    Price { model: String, problem: String },
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// Planner and synthesizer, ready.
pub struct Built {
    pub planner: Arc<dyn Planner>,
    pub synthesizer: Arc<dyn Synthesizer>,
    /// Who plans, why, and how that could be changed: one line for the start.
    pub banner: String,
    /// What the Ollama that was asked has; `None` when none was, or none answered.
    pub ollama: Option<Detection>,
    pub meters: Meters,
}

/// What the calls to each provider came to so far.
#[derive(Clone)]
pub struct Meters(Arc<[Provider]>);

impl Meters {
    /// A reading for each provider that is a model.
    #[must_use]
    pub fn read(&self) -> Vec<Reading> {
        let models = self.0.iter().filter_map(|provider| match provider {
            Provider::Model(line) => Some(line.reading()),
            Provider::Builtin => None,
        });
        models.collect()
    }
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built").field("banner", &self.banner).finish_non_exhaustive()
    }
}

/// The models that there are, before anybody knows the tools: some tools ask models themselves.
pub struct Connected {
    /// Asks a model, for tools.
    pub completer: Arc<dyn Completer>,
    /// Where `models.embeddings` is set.
    pub embedder: Option<Arc<dyn Embedder>>,
    config: ModelsConfig,
    found: Found,
    shared: Shared,
    http: Handle,
}

impl Connected {
    /// Planner and synthesizer for the tools of `registry`.
    ///
    /// # Errors
    /// [`BuildError::Agent`] for an agent that names a tool or a model that there is not.
    pub fn build(self, registry: Arc<dyn ToolRegistry>) -> Result<Built, BuildError> {
        let agents = Agents::resolve(&self.config.agents, &registry.specs(), &self.config.planner.order)?;
        let banner = self.found.banner(&self.config.models.ollama.model, &agents);
        Ok(Built {
            planner: Arc::new(PlannerRouter::new(self.shared.clone(), agents.clone(), registry)),
            meters: Meters(self.shared.providers.clone()),
            synthesizer: Arc::new(SynthesizerRouter::new(self.shared, agents)),
            banner,
            ollama: self.found.detection,
        })
    }
}

/// Finds the providers that are configured. Their HTTP requests run on `http`, a runtime apart from the actors'
/// arbiters. Takes 0.3 s at most.
///
/// # Errors
/// [`BuildError`] names the setting that is wrong and what would be right.
pub async fn connect(config: &ModelsConfig, http: Handle) -> Result<Connected, BuildError> {
    judge::settings(config)?;
    let mut found = Found::default();
    for name in &config.planner.order {
        match name {
            ProviderName::Builtin => found.add_builtin(),
            ProviderName::Ollama => found.add_ollama(&config.models, &http).await?,
            ProviderName::Openai => found.add_openai(&config.models, &http)?,
        }
    }
    found.trim();
    let shared = Shared {
        providers: found.providers(),
        prices: Arc::new(config.models.prices.clone()),
        history_bytes: config.planner.history_tokens * BYTES_PER_TOKEN,
    };
    Ok(Connected {
        completer: Arc::new(CompleterRouter::new(shared.clone())),
        embedder: embeddings::embedder(&config.models, &http)?,
        config: config.clone(),
        found,
        shared,
        http,
    })
}

/// Providers found and put together for the tools of `registry`.
///
/// # Errors
/// As [`connect`] and [`Connected::build`].
pub async fn build(
    config: &ModelsConfig,
    registry: Arc<dyn ToolRegistry>,
    http: Handle,
) -> Result<Built, BuildError> {
    connect(config, http).await?.build(registry)
}
