//! Ollama: its chat, streamed, with one of the models that it has. reqwest and not ollama-rs: that crate turns on
//! `serde_json/preserve_order` for the whole workspace (object keys would change their order in records), drops every
//! streamed chunk that splits a UTF-8 character, and swallows error lines.
//!
//! `installed` is which models there are, `chat` what is sent and what comes back; [`crate::assembly`] finds it.

mod chat;
mod host;
mod installed;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callboard_ports::model::ModelError;
use futures_util::future::BoxFuture;
use reqwest::{Client, Url};

pub use self::host::host_url;
pub use self::installed::Detection;
pub(crate) use self::installed::is;

use self::chat::Form;
use super::http::{self, Failure, MAX_BODY_BYTES};
use super::{ChatModel, Heard};
use crate::calls::ear::Ear;
use crate::calls::line::Asking;
use crate::calls::pace::{Pace, Patience};
use crate::config::OllamaConfig;

pub(crate) const PROVIDER: &str = "ollama";
/// Where Ollama listens when nothing is said.
pub(crate) const USUAL_PORT: u16 = 11_434;
/// A local service that has not answered by then is not there; the start must not wait longer.
pub(crate) const DETECTION_TIMEOUT: Duration = Duration::from_millis(300);

/// What is known of the server: which models it has, and how a plan's form is demanded of it.
#[derive(Debug, Default)]
struct Known {
    installed: Option<Detection>,
    form: Form,
}

/// An Ollama to ask.
pub(crate) struct Ollama {
    base: Url,
    wanted: Arc<str>,
    known: Mutex<Known>,
    client: Client,
    patience: Patience,
    max_tokens: u32,
}

impl Ollama {
    /// Not asked for anything yet.
    ///
    /// # Errors
    /// A sentence on why no HTTP client could be made.
    pub fn new(base: Url, config: &OllamaConfig) -> Result<Self, String> {
        let client = http::client(&base, config.connect_timeout_ms)?;
        let (wanted, patience) = (Arc::from(config.model.as_str()), config.patience());
        let (known, max_tokens) = (Mutex::default(), config.max_tokens);
        Ok(Self { base, wanted, known, client, patience, max_tokens })
    }

    /// Asks which models there are.
    ///
    /// # Errors
    /// [`ModelError`] when it does not answer in time, or not as an Ollama does.
    pub async fn detect(&self, timeout: Duration) -> Result<Detection, ModelError> {
        let asked = self.client.get(at(&self.base, "/api/tags")).timeout(timeout).send().await;
        let response = asked.map_err(|failed| http::transport(PROVIDER, &failed))?;
        let tags =
            http::read(PROVIDER, response, MAX_BODY_BYTES, None).await.map_err(|failure| failure.error)?;
        let Some(models) = tags["models"].as_array() else {
            return Err(http::error(PROVIDER, "bad_response", "what answers there is no Ollama", false));
        };
        let installed = models.iter().filter_map(|model| model["name"].as_str().map(str::to_owned)).collect();
        let detection = Detection { base_url: self.base.origin().ascii_serialization(), installed };
        self.known().installed = Some(detection.clone());
        Ok(detection)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chosen(&self, wanted: &str) -> Option<Arc<str>> {
        self.known().installed.as_ref()?.choose(wanted).map(Arc::from)
    }

    /// The model to use for `wanted`; asks the server where it is not known yet.
    async fn choose(&self, wanted: &str, pace: &Pace) -> Result<Arc<str>, Failure> {
        if let Some(model) = self.chosen(wanted) {
            return Ok(model);
        }
        pace.wait(self.detect(self.patience.total)).await??;
        let Some(model) = self.chosen(wanted) else {
            let message = format!("it has no model; run `ollama pull {wanted}`");
            return Err(http::error(PROVIDER, "unavailable", message, false).into());
        };
        if !is(&model, wanted) {
            tracing::warn!(%wanted, used = %model, "the Ollama model is not installed; another is used");
        }
        Ok(model)
    }

    /// One request, in the best form that the server takes.
    async fn say(
        &self,
        asking: &Asking,
        model: &Arc<str>,
        pace: &mut Pace,
        ear: &mut Ear,
    ) -> Result<Heard, Failure> {
        let known = self.known().form;
        let mut form = known;
        loop {
            let body = chat::body(model, &asking.prompt, form, self.max_tokens);
            let sent = pace.wait(self.client.post(at(&self.base, "/api/chat")).json(&body).send()).await?;
            let response = sent.map_err(|failed| http::transport(PROVIDER, &failed))?;
            match pace.wait(http::accepted(PROVIDER, response, None)).await? {
                Err(failure) => match form.simpler(&failure).filter(|_| asking.prompt.plan.is_some()) {
                    Some(simpler) => form = simpler,
                    None => return Err(failure),
                },
                Ok(response) => {
                    if form != known {
                        tracing::info!(%model, ?form, "Ollama takes less than was tried first");
                        self.known().form = form;
                    }
                    return chat::hear(response, model, pace, ear).await;
                }
            }
        }
    }
}

impl ChatModel for Ollama {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    fn model(&self) -> Option<Arc<str>> {
        self.chosen(&self.wanted)
    }

    fn chat<'a>(
        &'a self,
        asking: &'a Asking,
        pace: &'a mut Pace,
        ear: &'a mut Ear,
    ) -> BoxFuture<'a, Result<Heard, Failure>> {
        Box::pin(async move {
            let wanted = asking.model.as_ref().unwrap_or(&self.wanted);
            let model = self.choose(wanted, pace).await?;
            match self.say(asking, &model, pace, ear).await {
                Err(failure) if failure.status == Some(404) => {
                    // The model was removed since it was chosen: another may be there.
                    self.known().installed = None;
                    let other = self.choose(wanted, pace).await?;
                    if other == model {
                        let message = format!("it has no model {model:?}");
                        return Err(http::error(PROVIDER, "unavailable", message, false).into());
                    }
                    self.say(asking, &other, pace, ear).await
                }
                said => said,
            }
        })
    }
}

pub(crate) fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url
}
