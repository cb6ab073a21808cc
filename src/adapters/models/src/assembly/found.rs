//! The providers that were found, why the others were not, and one line about it.

use std::sync::Arc;

use reqwest::Url;
use tokio::runtime::Handle;

use super::BuildError;
use crate::agents::Agents;
use crate::calls::breaker::Terms;
use crate::calls::guard::{Guard, Room};
use crate::calls::line::Line;
use crate::config::{BreakerConfig, OllamaConfig, ProviderName, Providers};
use crate::providers::ollama::{self, DETECTION_TIMEOUT, Detection, Ollama, USUAL_PORT};
use crate::providers::openai::{self, OpenAi};
use crate::providers::{ChatModel, http};
use crate::router::Provider;

#[derive(Default)]
pub(super) struct Found {
    /// Each with its words for the banner.
    providers: Vec<(Provider, String)>,
    /// Why the others are not among them.
    missing: Vec<String>,
    pub detection: Option<Detection>,
    pub ollama: Option<Arc<Ollama>>,
    pub openai: Option<Arc<OpenAi>>,
}

impl Found {
    pub fn providers(&self) -> Arc<[Provider]> {
        self.providers.iter().map(|(provider, _)| provider.clone()).collect()
    }

    pub fn add_builtin(&mut self) {
        self.providers.push((Provider::Builtin, "the built-in planner".to_owned()));
    }

    /// Last the built-in planner is what comes after the list anyway; first of several it is asked in its place.
    pub fn trim(&mut self) {
        while matches!(self.providers.last(), Some((Provider::Builtin, _))) {
            self.providers.pop();
        }
    }

    fn add(
        &mut self,
        model: Arc<dyn ChatModel>,
        (room, breaker): (Room, BreakerConfig),
        http: &Handle,
        words: String,
    ) {
        let terms =
            Terms { failures: breaker.failures, pause: std::time::Duration::from_millis(breaker.pause_ms) };
        let guard = Guard::new(model.name(), room, terms);
        self.providers.push((Provider::Model(Line::new(model, guard, http.clone())), words));
    }

    pub async fn add_ollama(&mut self, models: &Providers, http: &Handle) -> Result<(), BuildError> {
        let config = &models.ollama;
        let (base, explicit) = place(config)?;
        let at = base.origin().ascii_serialization();
        let server = Ollama::new(base, config)
            .map_err(|problem| BuildError::Provider { provider: ollama::PROVIDER, problem })?;
        let server = Arc::new(server);
        let asked = server.clone();
        let detecting = async move { asked.detect(DETECTION_TIMEOUT).await };
        let words = match http::run(http, ollama::PROVIDER, detecting).await.and_then(|found| found) {
            Ok(detection) => {
                let words = self.words(&detection, &config.model, &at, explicit);
                self.detection = Some(detection);
                words
            }
            // It was named, so it is used as soon as it is there.
            Err(error) if explicit => {
                Some(format!("Ollama at {at} (it does not answer yet: {})", error.kind))
            }
            Err(_) => {
                self.missing.push(format!("no Ollama answers at {at}"));
                None
            }
        };
        if let Some(words) = words {
            self.add(server.clone(), (config.room(), models.breaker), http, words);
            self.ollama = Some(server);
        }
        Ok(())
    }

    /// The words on an Ollama that answers; `None` when it is of no use.
    fn words(&mut self, detection: &Detection, wanted: &str, at: &str, explicit: bool) -> Option<String> {
        match detection.choose(wanted) {
            Some(model) if ollama::is(model, wanted) => Some(format!("Ollama at {at} (model {model})")),
            Some(model) => {
                Some(format!("Ollama at {at} (model {model}, because {wanted:?} is not installed)"))
            }
            None => {
                self.missing.push(format!("Ollama at {at} has no model: run `ollama pull {wanted}`"));
                explicit.then(|| format!("Ollama at {at} (once it has a model)"))
            }
        }
    }

    pub fn add_openai(&mut self, models: &Providers, http: &Handle) -> Result<(), BuildError> {
        let config = &models.openai;
        let has_key = config.api_key.as_ref().is_some_and(|key| !key.is_blank());
        if !has_key && config.base_url.is_none() {
            self.missing.push("OPENAI_API_KEY is not set".to_owned());
            return Ok(());
        }
        let server = OpenAi::new(config)
            .map_err(|problem| BuildError::Provider { provider: openai::PROVIDER, problem })?;
        let server = Arc::new(server);
        let words = format!("{} at {}", config.model, config.base_url.as_deref().unwrap_or(openai::PUBLIC));
        self.add(server.clone(), (config.room(), models.breaker), http, words);
        self.openai = Some(server);
        Ok(())
    }

    /// Who plans, why, and what the next step could be.
    pub fn banner(&self, wanted: &str, agents: &Agents) -> String {
        let words: Vec<&str> = self.providers.iter().map(|(_, words)| words.as_str()).collect();
        let mut banner = if words.is_empty() {
            let why = if self.missing.is_empty() {
                "no model is in planner.order".to_owned()
            } else {
                self.missing.join("; ")
            };
            format!(
                "planning with the built-in planner, without a language model ({why}); for more, start Ollama \
                 (`ollama pull {wanted}`) or set OPENAI_API_KEY, and restart"
            )
        } else {
            format!("planning with {}, then the built-in planner", words.join(", then "))
        };
        for (agent, wish) in agents.wishes().filter(|(_, wish)| !self.has(wish.provider)) {
            let provider = wish.provider.as_str();
            banner.push_str(&format!(
                "; agent {agent:?} asks for {provider}/{}, but {provider} is not there: the others plan for it",
                wish.model
            ));
        }
        banner
    }

    fn has(&self, provider: ProviderName) -> bool {
        match provider {
            ProviderName::Ollama => self.ollama.is_some(),
            ProviderName::Openai => self.openai.is_some(),
            ProviderName::Builtin => true,
        }
    }
}

/// Where Ollama is, and whether it was named outright.
pub(super) fn place(config: &OllamaConfig) -> Result<(Url, bool), BuildError> {
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
