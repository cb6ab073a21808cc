//! Whoever makes vectors, where `models.embeddings` is set.

use std::sync::Arc;

use callboard_ports::model::Embedder;
use reqwest::Url;
use tokio::runtime::Handle;

use super::BuildError;
use super::found::place;
use crate::config::{EmbeddingProvider, Providers};
use crate::providers::embedder::{Dialect, HttpEmbedder};
use crate::providers::{http, ollama, openai};

pub(super) fn embedder(
    models: &Providers,
    runtime: &Handle,
) -> Result<Option<Arc<dyn Embedder>>, BuildError> {
    let Some(wanted) = &models.embeddings else { return Ok(None) };
    if wanted.model.trim().is_empty() {
        let problem = "names no model; write \"nomic-embed-text\", for example".to_owned();
        return Err(BuildError::Setting { provider: "embeddings", key: "model", problem });
    }
    let provider = |provider| move |problem| BuildError::Provider { provider, problem };
    let made = match wanted.provider {
        EmbeddingProvider::Ollama => {
            let (base, _) = place(&models.ollama)?;
            let client =
                http::client(&base, models.ollama.connect_timeout_ms).map_err(provider(ollama::PROVIDER))?;
            let asked = (ollama::PROVIDER, Dialect::Ollama);
            let url = ollama::at(&base, "/api/embed");
            HttpEmbedder::new(asked, &wanted.model, url, None, client, runtime.clone())
        }
        EmbeddingProvider::Openai => {
            let wrong = provider(openai::PROVIDER);
            let (base, _) = openai::base(&models.openai).map_err(wrong)?;
            let url = Url::parse(&format!("{base}/embeddings")).map_err(|error| wrong(error.to_string()))?;
            let client = http::client(&url, models.openai.connect_timeout_ms).map_err(wrong)?;
            let key = openai::key(&models.openai).map_err(wrong)?;
            let asked = (openai::PROVIDER, Dialect::OpenAi);
            HttpEmbedder::new(asked, &wanted.model, url, key, client, runtime.clone())
        }
    };
    Ok(Some(Arc::new(made)))
}
