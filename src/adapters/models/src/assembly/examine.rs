//! What `doctor` says about models: each server is asked once whether it is there, takes the key and has the model.

use std::time::Duration;

use super::Connected;
use crate::providers::{http, ollama, openai};

/// A server that is well lists its models within this, from anywhere.
const WITHIN: Duration = Duration::from_secs(5);

/// One server that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// `ollama`, `openai`, `embeddings`.
    pub what: &'static str,
    pub ok: bool,
    pub says: String,
}

impl Connected {
    /// Asks every server that is configured; takes some seconds at most.
    pub async fn examine(&self) -> Vec<Examined> {
        let mut all = Vec::new();
        if let Some(server) = self.found.ollama.clone() {
            let wanted = &self.config.models.ollama.model;
            let asking = async move { server.detect(WITHIN).await };
            let found = http::run(&self.http, ollama::PROVIDER, asking).await.and_then(|found| found);
            let (ok, says) = match found {
                Err(error) => (false, error.message),
                Ok(detection) => match detection.choose(wanted) {
                    None => (false, format!("has no model; run `ollama pull {wanted}`")),
                    Some(model) if ollama::is(model, wanted) => (true, format!("has the model {model}")),
                    Some(model) => (true, format!("uses {model}, because {wanted:?} is not installed")),
                },
            };
            all.push(Examined { what: "ollama", ok, says });
        }
        if let Some(server) = self.found.openai.clone() {
            let wanted = &self.config.models.openai.model;
            let asking = async move { server.models(WITHIN).await.map_err(|failure| failure.error) };
            let found = http::run(&self.http, openai::PROVIDER, asking).await.and_then(|found| found);
            let (ok, says) = match found {
                Err(error) => (false, error.message),
                Ok(models) if models.iter().any(|model| model == wanted) => {
                    (true, format!("has the model {wanted}"))
                }
                // Some servers serve what they do not list.
                Ok(models) => {
                    (true, format!("answers, but does not list {wanted:?}; it has {}", some(&models)))
                }
            };
            all.push(Examined { what: "openai", ok, says });
        }
        if let Some(embedder) = &self.embedder {
            let within_ms = u64::try_from(WITHIN.as_millis()).unwrap_or(u64::MAX);
            let (ok, says) = match embedder.embed(vec!["probe".into()], within_ms).await {
                Ok(vectors) => {
                    (true, format!("{} makes vectors of {} figures", embedder.name(), vectors[0].len()))
                }
                Err(error) => (false, format!("{}: {}", embedder.name(), error.message)),
            };
            all.push(Examined { what: "embeddings", ok, says });
        }
        all
    }
}

fn some(models: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = models.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match models.len() {
        0 => "none".to_owned(),
        n if n > SHOWN => format!("{shown} and {} more", n - SHOWN),
        _ => shown,
    }
}
