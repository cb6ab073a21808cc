//! Finds out which models there are, and puts planner and synthesizer together: once, at the start.
//!
//! Reads [`crate::config`], detects [`crate::ollama`], makes [`crate::planner`] and [`crate::synthesizer`], and says in
//! one sentence who plans and why.

use std::sync::Arc;

use callboard_ports::model::{Completer, Embedder, Planner, Synthesizer};
use callboard_ports::tool::ToolRegistry;
use reqwest::Url;
use tokio::runtime::Handle;

use crate::chat;
use crate::completer::CompleterRouter;
use crate::config::{EmbeddingProvider, ModelsConfig, OllamaConfig, ProviderName};
use crate::embedder::{Dialect, HttpEmbedder};
use crate::ollama::{self, DETECTION_TIMEOUT, Detection, Ollama, USUAL_PORT};
use crate::openai::{self, OpenAi};
use crate::planner::{PlannerRouter, Provider};
use crate::synthesizer::SynthesizerRouter;

/// Longer is no timeout but a hang.
const MAX_TIMEOUT_MS: u64 = 600_000;

/// Why models could not be set up; every sentence names the setting.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("models.{provider}.{key} {problem}")]
    Setting { provider: &'static str, key: &'static str, problem: String },
    #[error("models.{provider}: {problem}")]
    Provider { provider: &'static str, problem: String },
}

/// Planner and synthesizer, ready.
pub struct Built {
    pub planner: Arc<dyn Planner>,
    pub synthesizer: Arc<dyn Synthesizer>,
    /// Who plans, why, and how that could be changed: one line for the start.
    pub banner: String,
    /// What the Ollama that was asked has; `None` when none was, or none answered.
    pub ollama: Option<Detection>,
}

/// The models that there are, before anybody knows the tools: some tools ask models themselves.
pub struct Connected {
    /// Asks a model, for tools.
    pub completer: Arc<dyn Completer>,
    /// Where `models.embeddings` is set.
    pub embedder: Option<Arc<dyn Embedder>>,
    banner: String,
    ollama: Option<Detection>,
    providers: Vec<Provider>,
}

impl Connected {
    /// Planner and synthesizer for the tools of `registry`.
    #[must_use]
    pub fn build(self, registry: Arc<dyn ToolRegistry>) -> Built {
        Built {
            planner: Arc::new(PlannerRouter::new(self.providers.clone(), registry)),
            synthesizer: Arc::new(SynthesizerRouter::new(self.providers)),
            banner: self.banner,
            ollama: self.ollama,
        }
    }
}

/// Finds the providers that are configured. Their HTTP requests run on `http`, a runtime apart from the actors'
/// arbiters. Takes 0.3 s at most.
///
/// # Errors
/// [`BuildError`] names the setting that is wrong and what would be right.
pub async fn connect(config: &ModelsConfig, http: Handle) -> Result<Connected, BuildError> {
    timeouts(config)?;
    let mut found = Found::default();
    for name in &config.planner.order {
        match name {
            ProviderName::Builtin => found.add(Provider::Builtin, "the built-in planner".to_owned()),
            ProviderName::Ollama => add_ollama(&mut found, &config.models.ollama, &http).await?,
            ProviderName::Openai => add_openai(&mut found, config, &http)?,
        }
    }
    // Last it is what comes after the list anyway; first of several it is asked in its place.
    while matches!(found.providers.last(), Some(Provider::Builtin)) {
        found.providers.pop();
        found.words.pop();
    }
    let banner = found.banner(&config.models.ollama.model);
    Ok(Connected {
        completer: Arc::new(CompleterRouter::new(found.providers.clone())),
        embedder: embedder(config, &http)?,
        banner,
        ollama: found.ollama,
        providers: found.providers,
    })
}

/// Providers found and put together for the tools of `registry`.
///
/// # Errors
/// As [`connect`].
pub async fn build(
    config: &ModelsConfig,
    registry: Arc<dyn ToolRegistry>,
    http: Handle,
) -> Result<Built, BuildError> {
    Ok(connect(config, http).await?.build(registry))
}

fn embedder(config: &ModelsConfig, http: &Handle) -> Result<Option<Arc<dyn Embedder>>, BuildError> {
    let Some(wanted) = &config.models.embeddings else { return Ok(None) };
    if wanted.model.trim().is_empty() {
        let problem = "names no model; write \"nomic-embed-text\", for example".to_owned();
        return Err(BuildError::Setting { provider: "embeddings", key: "model", problem });
    }
    let provider = |provider| move |problem| BuildError::Provider { provider, problem };
    let (ollama, openai) = (&config.models.ollama, &config.models.openai);
    let made = match wanted.provider {
        EmbeddingProvider::Ollama => {
            let (base, _) = place(ollama)?;
            let client = chat::client(&base, ollama.connect_timeout_ms, ollama.timeout_ms)
                .map_err(provider(ollama::PROVIDER))?;
            let asked = (ollama::PROVIDER, Dialect::Ollama);
            let url = ollama::at(&base, "/api/embed");
            HttpEmbedder::new(asked, &wanted.model, url, None, client, http.clone())
        }
        EmbeddingProvider::Openai => {
            let wrong = provider(openai::PROVIDER);
            let (base, _) = openai::base(openai).map_err(wrong)?;
            let url = Url::parse(&format!("{base}/embeddings")).map_err(|e| wrong(e.to_string()))?;
            let client = chat::client(&url, openai.connect_timeout_ms, openai.timeout_ms).map_err(wrong)?;
            let key = openai::key(openai).map_err(wrong)?;
            let asked = (openai::PROVIDER, Dialect::OpenAi);
            HttpEmbedder::new(asked, &wanted.model, url, key, client, http.clone())
        }
    };
    Ok(Some(Arc::new(made)))
}

#[derive(Default)]
struct Found {
    providers: Vec<Provider>,
    /// Each of them, for the banner.
    words: Vec<String>,
    /// Why the others are not among them.
    missing: Vec<String>,
    ollama: Option<Detection>,
}

impl Found {
    fn add(&mut self, provider: Provider, words: String) {
        self.providers.push(provider);
        self.words.push(words);
    }

    fn banner(&self, wanted: &str) -> String {
        if self.words.is_empty() {
            let why = if self.missing.is_empty() {
                "no model is in planner.order".to_owned()
            } else {
                self.missing.join("; ")
            };
            return format!(
                "planning with the built-in planner, without a language model ({why}); for more, start Ollama \
                 (`ollama pull {wanted}`) or set OPENAI_API_KEY, and restart"
            );
        }
        format!("planning with {}, then the built-in planner", self.words.join(", then "))
    }
}

/// Where Ollama is, and whether it was named outright.
fn place(config: &OllamaConfig) -> Result<(Url, bool), BuildError> {
    let wrong = |key, problem| BuildError::Setting { provider: ollama::PROVIDER, key, problem };
    match (&config.base_url, &config.host) {
        (Some(base_url), _) => {
            let url = ollama::host_url(base_url).map_err(|problem| wrong("base_url", problem))?;
            Ok((url, true))
        }
        (None, Some(host)) if !host.trim().is_empty() => {
            let url = ollama::host_url(host);
            Ok((url.map_err(|problem| wrong("host", format!("(OLLAMA_HOST) {problem}")))?, false))
        }
        _ => {
            let usual = Url::parse(&format!("http://127.0.0.1:{USUAL_PORT}")).expect("a literal URL");
            Ok((usual, false))
        }
    }
}

async fn add_ollama(found: &mut Found, config: &OllamaConfig, http: &Handle) -> Result<(), BuildError> {
    let (base, explicit) = place(config)?;
    let place = base.origin().ascii_serialization();
    let server = Ollama::new(base, config, http.clone())
        .map_err(|problem| BuildError::Provider { provider: ollama::PROVIDER, problem })?;
    match server.detect(DETECTION_TIMEOUT).await {
        Ok(detection) => {
            match server.model() {
                Some(model) if *model == *config.model || *model == *format!("{}:latest", config.model) => {
                    found
                        .add(Provider::Model(Arc::new(server)), format!("Ollama at {place} (model {model})"));
                }
                Some(model) => {
                    let words = format!(
                        "Ollama at {place} (model {model}, because {:?} is not installed)",
                        config.model
                    );
                    found.add(Provider::Model(Arc::new(server)), words);
                }
                None => {
                    found
                        .missing
                        .push(format!("Ollama at {place} has no model: run `ollama pull {}`", config.model));
                    if explicit {
                        let words = format!("Ollama at {place} (once it has a model)");
                        found.add(Provider::Model(Arc::new(server)), words);
                    }
                }
            }
            found.ollama = Some(detection);
        }
        // It was named, so it is used as soon as it is there.
        Err(error) if explicit => {
            found.add(
                Provider::Model(Arc::new(server)),
                format!("Ollama at {place} (it does not answer yet: {})", error.kind),
            );
        }
        Err(_) => found.missing.push(format!("no Ollama answers at {place}")),
    }
    Ok(())
}

fn add_openai(found: &mut Found, config: &ModelsConfig, http: &Handle) -> Result<(), BuildError> {
    let config = &config.models.openai;
    let has_key = config.api_key.as_ref().is_some_and(|key| !key.is_blank());
    if !has_key && config.base_url.is_none() {
        found.missing.push("OPENAI_API_KEY is not set".to_owned());
        return Ok(());
    }
    let server = OpenAi::new(config, http.clone())
        .map_err(|problem| BuildError::Provider { provider: openai::PROVIDER, problem })?;
    let place = config.base_url.as_deref().unwrap_or(openai::PUBLIC);
    found.add(Provider::Model(Arc::new(server)), format!("{} at {place}", config.model));
    Ok(())
}

fn timeouts(config: &ModelsConfig) -> Result<(), BuildError> {
    let (ollama, openai) = (&config.models.ollama, &config.models.openai);
    for (provider, key, ms) in [
        (ollama::PROVIDER, "timeout_ms", ollama.timeout_ms),
        (ollama::PROVIDER, "connect_timeout_ms", ollama.connect_timeout_ms),
        (openai::PROVIDER, "timeout_ms", openai.timeout_ms),
        (openai::PROVIDER, "connect_timeout_ms", openai.connect_timeout_ms),
    ] {
        if ms == 0 || ms > MAX_TIMEOUT_MS {
            let problem = format!("is {ms}; allowed are 1 to {MAX_TIMEOUT_MS}");
            return Err(BuildError::Setting { provider, key, problem });
        }
    }
    Ok(())
}
