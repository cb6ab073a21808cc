//! A language model as planning and answering see it: messages in, one text out. [`crate::ollama`] and
//! [`crate::openai`] are such models, [`crate::planner`] and [`crate::synthesizer`] ask them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use callboard_domain::event::Author;
use callboard_ports::model::ModelError;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::secret::Secret;

/// A model's whole reply, JSON around it included. An answer is 256 KiB at most; escapes may multiply it.
pub(crate) const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// Of a provider's own words in an error.
const MAX_REASON_BYTES: usize = 300;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Message {
    pub role: Role,
    pub content: String,
}

impl Message {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    pub messages: Vec<Message>,
    /// The names of the tools, when the reply must be a plan.
    pub plan_for: Option<Vec<Arc<str>>>,
    /// Of the reply; `None`: the provider's usual bound.
    pub max_tokens: Option<u32>,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Completion {
    pub text: String,
    pub author: Author,
}

/// A language model behind some API.
pub(crate) trait ChatModel: Send + Sync {
    fn provider(&self) -> &'static str;
    /// The most that one call may take, whatever time there is.
    fn timeout_ms(&self) -> u64;
    fn complete(&self, prompt: Prompt) -> BoxFuture<'_, Result<Completion, ModelError>>;
}

/// Asks `model`, for at most `timeout`.
pub(crate) async fn ask(
    model: &dyn ChatModel,
    prompt: Prompt,
    timeout: Duration,
) -> Result<Completion, ModelError> {
    tokio::time::timeout(timeout, model.complete(prompt)).await.unwrap_or_else(|_| {
        Err(error(model.provider(), "timeout", format!("no answer within {} ms", timeout.as_millis()), true))
    })
}

/// Runs `work` on the models' runtime; dropping the future aborts it there.
pub(crate) async fn run<T: Send + 'static>(
    runtime: &Handle,
    provider: &'static str,
    work: impl Future<Output = Result<T, ModelError>> + Send + 'static,
) -> Result<T, ModelError> {
    AbortOnDrop(runtime.spawn(work)).await.unwrap_or_else(|ended| {
        let kind = if ended.is_panic() { "bad_response" } else { "unavailable" };
        Err(error(provider, kind, "the request was ended before its answer", !ended.is_panic()))
    })
}

pub(crate) fn error(
    provider: &'static str,
    kind: &'static str,
    message: impl Into<String>,
    retryable: bool,
) -> ModelError {
    ModelError { provider: provider.to_owned(), kind, message: message.into(), retryable }
}

/// A reply that is JSON, of at most `max_bytes`; an error status is an error. A server may repeat the `key`: that is
/// struck out.
pub(crate) async fn read(
    provider: &'static str,
    response: reqwest::Response,
    max_bytes: usize,
    key: Option<&Secret>,
) -> Result<Value, ModelError> {
    let http = response.status();
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| transport(provider, &error))?;
        if body.len() + chunk.len() > max_bytes {
            return Err(error(
                provider,
                "bad_response",
                format!("it sent more than {max_bytes} bytes"),
                false,
            ));
        }
        body.extend_from_slice(&chunk);
    }
    let value = serde_json::from_slice::<Value>(&body);
    if !http.is_success() {
        return Err(status(provider, http.as_u16(), &value.unwrap_or_default(), key));
    }
    value.map_err(|_| error(provider, "bad_response", "its reply is not JSON", false))
}

/// What an HTTP status of a model server means: another attempt may help, or the request is wrong.
pub(crate) fn status(provider: &'static str, status: u16, body: &Value, key: Option<&Secret>) -> ModelError {
    let words =
        [&body["error"]["message"], &body["error"], &body["message"]].iter().find_map(|words| words.as_str());
    let words = words.map_or_else(String::new, |words| {
        let words = key.map_or_else(|| words.to_owned(), |key| key.struck_out_of(words));
        format!(": {}", &words[..words.floor_char_boundary(MAX_REASON_BYTES)])
    });
    match status {
        // Said in our own words: a provider may repeat the key.
        401 | 403 => error(provider, "refused", format!("it refused the API key ({status})"), false),
        408 | 429 | 500.. => error(provider, "unavailable", format!("it answered {status}{words}"), true),
        _ => error(provider, "refused", format!("it answered {status}{words}"), false),
    }
}

/// What a failed request means. Never shows the URL.
pub(crate) fn transport(provider: &'static str, failed: &reqwest::Error) -> ModelError {
    let mut cause: &dyn std::error::Error = failed;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if failed.is_connect() { "it could not be reached" } else { "the connection broke off" };
    // With no deeper cause reqwest's own words, which name the URL, are all there is.
    let words = if failed.url().is_some() && std::error::Error::source(failed).is_none() {
        String::new()
    } else {
        format!(": {cause}")
    };
    let kind = if failed.is_timeout() { "timeout" } else { "unavailable" };
    error(provider, kind, format!("{what}{words}"), true)
}

/// The client of one provider. Nothing on this machine is asked through a proxy, and no key follows a redirect.
pub(crate) fn client(
    base_url: &reqwest::Url,
    connect_timeout_ms: u64,
    timeout_ms: u64,
) -> Result<reqwest::Client, String> {
    let loopback = matches!(base_url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_millis(connect_timeout_ms))
        .timeout(Duration::from_millis(timeout_ms))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")));
    let builder = if loopback { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| error.without_url().to_string())
}

/// A task that ends with the future that waits for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
