//! OpenAI, or any server with its API: chat completions, streamed. reqwest and not async-openai: that library retries in
//! secret, reads streams without a bound, knows no time-outs, gives no headers (`Retry-After`), and insists on fields
//! that other servers leave out; what remained of it was the path of one request.
//!
//! `dialect` is what a server has turned out to understand, `body` what is sent, `stream` what comes back.

mod body;
mod dialect;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};

use self::dialect::{Dialect, Dialects};
use super::http::{self, Failure};
use super::{ChatModel, Heard};
use crate::calls::ear::Ear;
use crate::calls::line::Asking;
use crate::calls::pace::{Pace, Patience};
use crate::config::OpenAiConfig;
use crate::secret::Secret;

pub(crate) const PROVIDER: &str = "openai";
pub(crate) const PUBLIC: &str = "https://api.openai.com/v1";

/// A server with OpenAI's API.
pub(crate) struct OpenAi {
    client: Client,
    base: String,
    model: Arc<str>,
    key: Option<Secret>,
    patience: Patience,
    max_tokens: u32,
    dialects: Dialects,
}

impl OpenAi {
    /// Not asked for anything yet.
    ///
    /// # Errors
    /// A sentence on the setting that is wrong; it never repeats the key.
    pub fn new(config: &OpenAiConfig) -> Result<Self, String> {
        let (base, url) = base(config)?;
        if config.model.trim().is_empty() {
            return Err("model is empty; write \"gpt-4o-mini\", for example".to_owned());
        }
        Ok(Self {
            client: http::client(&url, config.connect_timeout_ms)?,
            base: base.to_owned(),
            model: Arc::from(config.model.as_str()),
            key: key(config)?,
            patience: config.patience(),
            max_tokens: config.max_tokens,
            dialects: Dialects::of(&url),
        })
    }

    /// The names of the models that the server has; whether it answers, and takes the key.
    pub async fn models(&self, timeout: Duration) -> Result<Vec<String>, Failure> {
        let request = self.keyed(self.client.get(format!("{}/models", self.base)).timeout(timeout));
        let response = request.send().await.map_err(|failed| http::transport(PROVIDER, &failed))?;
        let list = http::read(PROVIDER, response, http::MAX_BODY_BYTES, self.key.as_ref()).await?;
        let data = list["data"].as_array().into_iter().flatten();
        Ok(data.filter_map(|entry| entry["id"].as_str().map(str::to_owned)).collect())
    }

    /// A server of one's own gets no empty `Authorization`.
    fn keyed(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    async fn attempt(
        &self,
        (asking, model): (&Asking, &Arc<str>),
        dialect: Dialect,
        pace: &mut Pace,
        ear: &mut Ear,
    ) -> Result<Heard, Failure> {
        let body = body::write(model, &asking.prompt, dialect, self.max_tokens);
        let request = self.keyed(self.client.post(format!("{}/chat/completions", self.base)).json(&body));
        let sent = pace.wait(request.send()).await?;
        let response = sent.map_err(|failed| http::transport(PROVIDER, &failed))?;
        let accepted = pace.wait(http::accepted(PROVIDER, response, self.key.as_ref())).await??;
        stream::hear(accepted, model, self.key.as_ref(), pace, ear).await
    }
}

impl ChatModel for OpenAi {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    fn model(&self) -> Option<Arc<str>> {
        Some(self.model.clone())
    }

    fn chat<'a>(
        &'a self,
        asking: &'a Asking,
        pace: &'a mut Pace,
        ear: &'a mut Ear,
    ) -> BoxFuture<'a, Result<Heard, Failure>> {
        Box::pin(async move {
            let model = asking.model.as_ref().unwrap_or(&self.model);
            let known = self.dialects.known(model);
            let mut dialect = known;
            // Each refusal takes something away, so this ends.
            loop {
                match self.attempt((asking, model), dialect, pace, ear).await {
                    Err(failure) => match dialect.simpler(&failure, asking.prompt.plan.is_some()) {
                        Some(simpler) => dialect = simpler,
                        None => return Err(failure),
                    },
                    Ok(heard) => {
                        if dialect != known {
                            tracing::info!(%model, ?dialect, "a model server takes less than was tried first");
                            self.dialects.learn(model, dialect);
                        }
                        return Ok(heard);
                    }
                }
            }
        })
    }
}

/// Where the server's API begins, as text without a slash at its end and as a URL.
pub(crate) fn base(config: &OpenAiConfig) -> Result<(&str, Url), String> {
    let base = config.base_url.as_deref().unwrap_or(PUBLIC).trim().trim_end_matches('/');
    let url = Url::parse(base).map_err(|error| format!("base_url is no URL ({error})"))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
        return Err("base_url is no plain http or https URL, such as https://api.openai.com/v1".to_owned());
    }
    Ok((base, url))
}

/// The key without the white space around it, where there is one.
pub(crate) fn key(config: &OpenAiConfig) -> Result<Option<Secret>, String> {
    let key = config.api_key.as_ref().filter(|key| !key.is_blank()).map(|key| key.expose().trim());
    // Such a header could not be sent.
    if key.is_some_and(|key| HeaderValue::from_str(key).is_err() || !key.is_ascii()) {
        return Err("api_key has characters that no key has; it is one line of letters and digits".to_owned());
    }
    Ok(key.map(Secret::new))
}
