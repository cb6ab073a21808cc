//! What all providers need of HTTP: a client, a call on the models' own runtime, replies read within a bound, and
//! failures in words that never hold a key or a URL.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use callboard_ports::model::ModelError;
use futures_util::StreamExt;
use reqwest::Response;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::calls::rate;
use crate::secret::Secret;

/// A reply that comes whole, JSON around it included. An answer is 256 KiB at most; escapes may multiply it.
pub(crate) const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// An error's body is a sentence; what is longer is a page of HTML.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
/// Of a provider's own words in an error.
const MAX_REASON_BYTES: usize = 300;

/// Why a call brought nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    pub error: ModelError,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self { error, status: None, retry_after: None }
    }
}

pub(crate) fn error(
    provider: &'static str,
    kind: &'static str,
    message: impl Into<String>,
    retryable: bool,
) -> ModelError {
    ModelError { provider: provider.to_owned(), kind, message: message.into(), retryable }
}

/// Runs `work` on the models' runtime; dropping the future aborts it there.
pub(crate) async fn run<T: Send + 'static>(
    runtime: &Handle,
    provider: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ModelError> {
    AbortOnDrop(runtime.spawn(work)).await.map_err(|ended| {
        let kind = if ended.is_panic() { "bad_response" } else { "unavailable" };
        error(provider, kind, "the request was ended before its answer", !ended.is_panic())
    })
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

/// The client of one provider. Nothing on this machine is asked through a proxy, and no key follows a redirect. How
/// long a call may take is watched call by call.
pub(crate) fn client(base_url: &reqwest::Url, connect_timeout_ms: u64) -> Result<reqwest::Client, String> {
    let loopback = matches!(base_url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_millis(connect_timeout_ms))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")));
    let builder = if loopback { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| error.without_url().to_string())
}

/// A reply that is JSON, of at most `max_bytes`; an error status is an error.
pub(crate) async fn read(
    provider: &'static str,
    response: Response,
    max_bytes: usize,
    key: Option<&Secret>,
) -> Result<Value, Failure> {
    let response = accepted(provider, response, key).await?;
    let body = whole(provider, response, max_bytes).await?;
    serde_json::from_slice(&body)
        .map_err(|_| error(provider, "bad_response", "its reply is not JSON", false).into())
}

/// The response when its status is a good one, and otherwise what the server says is wrong. A server may repeat the
/// `key`: that is struck out.
pub(crate) async fn accepted(
    provider: &'static str,
    response: Response,
    key: Option<&Secret>,
) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = rate::retry_after(response.headers(), std::time::SystemTime::now());
    let body = whole(provider, response, MAX_ERROR_BODY_BYTES).await.unwrap_or_default();
    let words = said(&serde_json::from_slice(&body).unwrap_or_default(), key);
    let status = status.as_u16();
    Err(Failure { error: refusal(provider, status, &words), status: Some(status), retry_after })
}

async fn whole(provider: &'static str, response: Response, max_bytes: usize) -> Result<Vec<u8>, ModelError> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|failed| transport(provider, &failed))?;
        if body.len() + chunk.len() > max_bytes {
            let message = format!("it sent more than {max_bytes} bytes");
            return Err(error(provider, "bad_response", message, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The words of an error's body, clipped, without the key.
pub(crate) fn said(body: &Value, key: Option<&Secret>) -> String {
    let words =
        [&body["error"]["message"], &body["error"], &body["message"]].iter().find_map(|words| words.as_str());
    let words = words.unwrap_or_default();
    let words = key.map_or_else(|| words.to_owned(), |key| key.struck_out_of(words));
    words[..words.floor_char_boundary(MAX_REASON_BYTES)].to_owned()
}

/// What an HTTP status of a model server means: another attempt may help, or the request is wrong.
fn refusal(provider: &'static str, status: u16, words: &str) -> ModelError {
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    let answered = format!("it answered {status}{words}");
    match status {
        // Said in our own words: nobody but the operator should learn what the provider thinks of the key.
        401 | 403 => error(provider, "refused", format!("it refused the API key ({status})"), false),
        429 => error(provider, "rate_limited", answered, true),
        408 | 500.. => error(provider, "unavailable", answered, true),
        _ => error(provider, "refused", answered, false),
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
