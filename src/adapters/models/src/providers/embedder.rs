//! Vectors for texts, from Ollama's `/api/embed` or an OpenAI-compatible `/embeddings`.
//!
//! [`crate::assembly`] makes one where `models.embeddings` is set; retrieval uses it through the port.

use std::sync::Arc;
use std::time::Duration;

use callboard_ports::model::{Embedder, ModelError};
use futures_util::future::BoxFuture;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::http;
use crate::secret::Secret;

/// Texts of one request: small enough that a local model answers within its timeout.
const BATCH: usize = 32;
/// Of one text: more than any embedding model reads (8,192 tokens).
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Of a reply: 32 vectors of 8,192 figures with 20 characters each.
const MAX_REPLY_BYTES: usize = 8 * 1024 * 1024;

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Ollama,
    OpenAi,
}

/// A server that makes vectors.
pub struct HttpEmbedder {
    name: String,
    provider: &'static str,
    dialect: Dialect,
    model: String,
    url: Url,
    key: Option<Secret>,
    client: Client,
    runtime: Handle,
}

impl HttpEmbedder {
    pub(crate) fn new(
        (provider, dialect): (&'static str, Dialect),
        model: &str,
        url: Url,
        key: Option<Secret>,
        client: Client,
        runtime: Handle,
    ) -> Self {
        let name = format!("{provider}/{model}");
        Self { name, provider, dialect, model: model.to_owned(), url, key, client, runtime }
    }

    async fn batch(&self, texts: &[Arc<str>], timeout: Duration) -> Result<Vec<Vec<f32>>, ModelError> {
        let body = match self.dialect {
            Dialect::Ollama => json!({"model": self.model, "input": texts}),
            Dialect::OpenAi => json!({"model": self.model, "input": texts, "encoding_format": "float"}),
        };
        let mut request = self.client.post(self.url.clone()).timeout(timeout).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        let (provider, key) = (self.provider, self.key.clone());
        let asking = async move {
            let sent = request.send().await.map_err(|error| http::transport(provider, &error))?;
            let read = http::read(provider, sent, MAX_REPLY_BYTES, key.as_ref()).await;
            read.map_err(|failure| failure.error)
        };
        let reply = http::run(&self.runtime, self.provider, asking).await??;
        vectors(&reply, self.dialect, texts.len())
            .map_err(|problem| http::error(self.provider, "bad_response", problem, false))
    }

    async fn all(&self, texts: Vec<Arc<str>>, timeout_ms: u64) -> Result<Vec<Vec<f32>>, ModelError> {
        if let Some(long) = texts.iter().find(|text| text.len() > MAX_TEXT_BYTES) {
            let message = format!("a text has {} bytes; at most {MAX_TEXT_BYTES} are embedded", long.len());
            return Err(http::error(self.provider, "refused", message, false));
        }
        let until = tokio::time::Instant::now() + Duration::from_millis(timeout_ms);
        let mut all: Vec<Vec<f32>> = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                let message = format!("no vectors within {timeout_ms} ms");
                return Err(http::error(self.provider, "timeout", message, true));
            }
            all.extend(self.batch(batch, left).await?);
        }
        if all.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            let message = "its vectors differ in length";
            return Err(http::error(self.provider, "bad_response", message, false));
        }
        Ok(all)
    }
}

impl Embedder for HttpEmbedder {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed(
        &self,
        texts: Vec<Arc<str>>,
        timeout_ms: u64,
    ) -> BoxFuture<'_, Result<Vec<Vec<f32>>, ModelError>> {
        Box::pin(self.all(texts, timeout_ms))
    }
}

/// The vectors of a reply, in the order of the texts.
fn vectors(reply: &Value, dialect: Dialect, wanted: usize) -> Result<Vec<Vec<f32>>, String> {
    let listed: Vec<&Value> = match dialect {
        Dialect::Ollama => reply["embeddings"].as_array().into_iter().flatten().collect(),
        Dialect::OpenAi => {
            let mut data: Vec<&Value> = reply["data"].as_array().into_iter().flatten().collect();
            // Said to come in order; the index is what the order means.
            data.sort_by_key(|entry| entry["index"].as_u64().unwrap_or(u64::MAX));
            data.into_iter().map(|entry| &entry["embedding"]).collect()
        }
    };
    if listed.len() != wanted {
        return Err(format!("it made {} vectors of {wanted} texts", listed.len()));
    }
    listed.into_iter().map(vector).collect()
}

fn vector(written: &Value) -> Result<Vec<f32>, String> {
    let figures = written.as_array().filter(|figures| !figures.is_empty());
    let figures = figures.ok_or_else(|| "a vector of it has no figures".to_owned())?;
    #[allow(clippy::cast_possible_truncation)]
    let read =
        |figure: &Value| figure.as_f64().map(|figure| figure as f32).filter(|figure| figure.is_finite());
    figures
        .iter()
        .map(read)
        .collect::<Option<_>>()
        .ok_or_else(|| "a vector of it has what is no figure".to_owned())
}
