//! Ollama: which models it has, and its chat. One request, one whole answer.
//!
//! A [`ChatModel`] for [`crate::planner`] and [`crate::synthesizer`]; [`crate::assembly`] finds it. reqwest and not
//! ollama-rs: that crate turns on `serde_json/preserve_order` for the whole workspace (object keys would change their
//! order in records), drops every streamed chunk that splits a UTF-8 character, and swallows error lines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callboard_domain::event::Author;
use callboard_ports::model::ModelError;
use futures_util::future::BoxFuture;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::chat::{self, ChatModel, Completion, MAX_BODY_BYTES, Prompt};
use crate::config::OllamaConfig;
use crate::proposal::{self, Arguments};

pub(crate) const PROVIDER: &str = "ollama";
/// Where Ollama listens when nothing is said.
pub(crate) const USUAL_PORT: u16 = 11_434;
/// A local service that has not answered by then is not there; the start must not wait longer.
pub(crate) const DETECTION_TIMEOUT: Duration = Duration::from_millis(300);
/// Of a reply; a model in a loop must end.
const MAX_REPLY_TOKENS: u64 = 4_096;

/// What an Ollama has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// Scheme, host and port.
    pub base_url: String,
    /// Names with their tags, newest first, as it lists them.
    pub installed: Vec<String>,
}

impl Detection {
    /// The model to use: the wanted one, or its nearest relative, or any that can chat.
    #[must_use]
    pub fn choose(&self, wanted: &str) -> Option<&str> {
        let family = |name: &&String| name.split(':').next().is_some_and(|family| family == wanted);
        let relative = |name: &&String| name.starts_with(wanted);
        let chats =
            |name: &&String| !name.contains("embed") && !name.contains("bert") && !name.contains("minilm");
        let find = |fits: &dyn Fn(&&String) -> bool| self.installed.iter().find(fits).map(String::as_str);
        let latest = format!("{wanted}:latest");
        find(&|name| **name == wanted || **name == latest)
            .or_else(|| find(&|name| family(name)))
            .or_else(|| find(&|name| relative(name)))
            .or_else(|| find(&|name| chats(name)))
    }
}

/// An Ollama to ask.
pub struct Ollama {
    base: Url,
    wanted: String,
    /// The model in use, once it is known.
    chosen: Mutex<Option<Arc<str>>>,
    client: Client,
    runtime: Handle,
    timeout_ms: u64,
}

impl Ollama {
    /// Not asked for anything yet.
    ///
    /// # Errors
    /// A sentence on why no HTTP client could be made.
    pub fn new(base: Url, config: &OllamaConfig, runtime: Handle) -> Result<Self, String> {
        let client = chat::client(&base, config.connect_timeout_ms, config.timeout_ms)?;
        let (wanted, timeout_ms) = (config.model.clone(), config.timeout_ms);
        Ok(Self { base, wanted, chosen: Mutex::new(None), client, runtime, timeout_ms })
    }

    /// Asks which models there are, and chooses one of them.
    ///
    /// # Errors
    /// [`ModelError`] when it does not answer in time, or not as an Ollama does.
    pub async fn detect(&self, timeout: Duration) -> Result<Detection, ModelError> {
        let (client, url) = (self.client.clone(), at(&self.base, "/api/tags"));
        let asking = async move {
            let sent = client.get(url).timeout(timeout).send().await;
            chat::read(
                PROVIDER,
                sent.map_err(|error| chat::transport(PROVIDER, &error))?,
                MAX_BODY_BYTES,
                None,
            )
            .await
        };
        let tags = chat::run(&self.runtime, PROVIDER, asking).await?;
        let Some(models) = tags["models"].as_array() else {
            return Err(chat::error(PROVIDER, "bad_response", "what answers there is no Ollama", false));
        };
        let installed = models.iter().filter_map(|model| model["name"].as_str().map(str::to_owned)).collect();
        let detection = Detection { base_url: self.base.origin().ascii_serialization(), installed };
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) =
            detection.choose(&self.wanted).map(Arc::from);
        Ok(detection)
    }

    /// The model in use, when it is known.
    #[must_use]
    pub fn model(&self) -> Option<Arc<str>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn chosen(&self) -> Result<Arc<str>, ModelError> {
        if let Some(model) = self.model() {
            return Ok(model);
        }
        self.detect(Duration::from_millis(self.timeout_ms)).await?;
        self.model().ok_or_else(|| {
            let message = format!("it has no model; run `ollama pull {}`", self.wanted);
            chat::error(PROVIDER, "unavailable", message, false)
        })
    }

    async fn chat(&self, model: &str, prompt: &Prompt) -> Result<(u16, Value), ModelError> {
        let body = body(model, prompt);
        let (client, url) = (self.client.clone(), at(&self.base, "/api/chat"));
        let asking = async move {
            let sent = client.post(url).json(&body).send().await;
            let response = sent.map_err(|error| chat::transport(PROVIDER, &error))?;
            let status = response.status().as_u16();
            match status {
                404 => Ok((status, Value::Null)),
                _ => chat::read(PROVIDER, response, MAX_BODY_BYTES, None).await.map(|value| (status, value)),
            }
        };
        chat::run(&self.runtime, PROVIDER, asking).await
    }
}

impl ChatModel for Ollama {
    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    fn complete(&self, prompt: Prompt) -> BoxFuture<'_, Result<Completion, ModelError>> {
        Box::pin(async move {
            let mut model = self.chosen().await?;
            let mut reply = self.chat(&model, &prompt).await?;
            if reply.0 == 404 {
                // The model was removed since it was chosen: another may be there.
                self.detect(Duration::from_millis(self.timeout_ms)).await?;
                let other = self.chosen().await?;
                if other == model {
                    return Err(chat::error(
                        PROVIDER,
                        "unavailable",
                        format!("it has no model {model:?}"),
                        false,
                    ));
                }
                tracing::warn!(missing = %model, used = %other, "the Ollama model is gone; another is used");
                model = other;
                reply = self.chat(&model, &prompt).await?;
            }
            let reply = reply.1;
            let Some(text) = reply["message"]["content"].as_str().filter(|text| !text.trim().is_empty())
            else {
                return Err(chat::error(PROVIDER, "bad_response", "its reply has no content", true));
            };
            let author = Author {
                provider: Arc::from(PROVIDER),
                model: Some(model),
                input_tokens: reply["prompt_eval_count"].as_u64(),
                output_tokens: reply["eval_count"].as_u64(),
            };
            Ok(Completion { text: text.to_owned(), author })
        })
    }
}

fn body(model: &str, prompt: &Prompt) -> Value {
    let reply_tokens = prompt.max_tokens.map_or(MAX_REPLY_TOKENS, u64::from).min(MAX_REPLY_TOKENS);
    let options = json!({"temperature": 0.1, "num_ctx": context_tokens(prompt), "num_predict": reply_tokens});
    let mut body = json!({"model": model, "messages": prompt.messages, "stream": false, "options": options});
    if let Some(tools) = &prompt.plan_for {
        body["format"] = proposal::schema(tools, Arguments::Object);
    }
    body
}

/// Ollama silently cuts a prompt that is longer than its context, from the front: the instructions would go first.
fn context_tokens(prompt: &Prompt) -> u64 {
    /// Few tokens are shorter than three bytes, in any language.
    const BYTES_PER_TOKEN: u64 = 3;
    let bytes: u64 = prompt.messages.iter().map(|message| message.content.len() as u64).sum();
    (bytes / BYTES_PER_TOKEN + MAX_REPLY_TOKENS).next_power_of_two().clamp(8_192, 65_536)
}

pub(crate) fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url
}

/// Reads `OLLAMA_HOST` as Ollama itself does: a host, `host:port` or a URL; an address to listen on everywhere is
/// reached at home.
///
/// # Errors
/// A sentence on what is wrong with it.
pub fn host_url(host: &str) -> Result<Url, String> {
    let host = host.trim();
    let with_scheme = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let mut url = Url::parse(&with_scheme).map_err(|error| format!("{host:?} is no address ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{host:?} is no address of a web service"));
    }
    let unusable = |_| format!("{host:?} is no address of a web service");
    if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
        url.set_host(Some("127.0.0.1")).map_err(|error| error.to_string())?;
    }
    if url.port().is_none() && !host.contains("://") {
        url.set_port(Some(USUAL_PORT)).map_err(unusable)?;
    }
    url.set_path("/");
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::{Detection, host_url};

    #[test]
    fn hosts_are_read_as_ollama_reads_them() {
        for (host, url) in [
            ("127.0.0.1", "http://127.0.0.1:11434/"),
            ("0.0.0.0:1234", "http://127.0.0.1:1234/"),
            ("models.example", "http://models.example:11434/"),
            ("https://models.example", "https://models.example/"),
            ("http://localhost:8000/ignored", "http://localhost:8000/"),
        ] {
            assert_eq!(host_url(host).unwrap().as_str(), url);
        }
        assert!(host_url("ftp://x").is_err() && host_url("").is_err());
    }

    #[test]
    fn the_wanted_model_or_its_nearest_relative_is_chosen() {
        let has = |names: &[&str]| Detection {
            base_url: String::new(),
            installed: names.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(has(&["mistral:7b", "llama3:latest"]).choose("llama3"), Some("llama3:latest"));
        assert_eq!(has(&["mistral:7b", "llama3:70b"]).choose("llama3"), Some("llama3:70b"));
        assert_eq!(has(&["mistral:7b", "llama3.2:3b"]).choose("llama3"), Some("llama3.2:3b"));
        assert_eq!(has(&["nomic-embed-text:latest", "mistral:7b"]).choose("llama3"), Some("mistral:7b"));
        assert_eq!(has(&["nomic-embed-text:latest"]).choose("llama3"), None);
    }
}
