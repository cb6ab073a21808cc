//! How tools reach services: one client for all, on a runtime apart from the actors, with every wait and every body
//! bounded. [`crate::weather`] and [`crate::exchange`] ask through it;
//! what has an effect goes through [`crate::effects`].

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use callboard_domain::event::ToolError;
use futures_util::StreamExt;
use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::cache::{Answers, freshness};
use crate::registry::BuildError;

/// A host that does not even accept a connection in this time is down; the rest of the timeout is for retries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The services answer in a few kilobytes; a megabyte is somebody else's page.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// `http` to `https` and a moved path; more hops are a loop.
const MAX_REDIRECTS: usize = 3;
/// Of a service's own words in an error.
const MAX_REASON_BYTES: usize = 300;

/// The client and the runtime that it runs on.
#[derive(Clone)]
pub(crate) struct Http {
    /// Goes through a proxy where the environment names one…
    client: Client,
    /// …which a service on this machine must not.
    loopback: Client,
    runtime: Handle,
    answers: Answers,
}

/// A reply that arrived whole: a success, or a refusal that the tool may read something from.
pub(crate) struct Fetched {
    pub status: StatusCode,
    pub body: Value,
}

impl Http {
    pub fn new(runtime: Handle) -> Result<Self, BuildError> {
        let builder = || {
            Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(Policy::custom(|attempt| {
                    let first = &attempt.previous()[0];
                    let same_host = attempt.url().host_str() == first.host_str();
                    if same_host && attempt.previous().len() <= MAX_REDIRECTS {
                        attempt.follow()
                    } else {
                        attempt.stop()
                    }
                }))
                .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")))
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| BuildError::Http(innermost(&error)))
        };
        Ok(Self {
            client: build(builder())?,
            loopback: build(builder().no_proxy())?,
            runtime,
            answers: Answers::new(),
        })
    }

    /// Runs `work` on the HTTP runtime, for at most `timeout_ms`; dropping the future aborts it there.
    pub async fn run<T: Send + 'static>(
        &self,
        service: &'static str,
        timeout_ms: u64,
        work: impl Future<Output = Result<T, ToolError>> + Send + 'static,
    ) -> Result<T, ToolError> {
        let bounded = async move {
            let out_of_time = |_| {
                let message = format!("the {service} service did not answer within {timeout_ms} ms");
                ToolError::new("timeout", message, true)
            };
            tokio::time::timeout(Duration::from_millis(timeout_ms), work).await.map_err(out_of_time)?
        };
        AbortOnDrop(self.runtime.spawn(bounded)).await.unwrap_or_else(|error| {
            let kind = if error.is_panic() { "panicked" } else { "unavailable" };
            let message = format!("the request to the {service} service was ended before its answer");
            Err(ToolError::new(kind, message, !error.is_panic()))
        })
    }

    /// GET. Server errors, 408 and 429 are retryable; any other reply with a JSON body is the caller's to read. A success is
    /// kept while it is fresh: as the service says, else for `usual`.
    pub async fn get(&self, service: &'static str, url: Url, usual: Duration) -> Result<Fetched, ToolError> {
        let asked = url.as_str().to_owned();
        if let Some(body) = self.answers.get(&asked) {
            return Ok(Fetched { status: StatusCode::OK, body });
        }
        let client = if is_loopback(&url) { &self.loopback } else { &self.client };
        let place = url.origin().ascii_serialization();
        let sent = client.get(url).header(ACCEPT, "application/json").send().await;
        let response = sent.map_err(|error| transport(service, &place, &error))?;
        let status = response.status();
        let fresh = freshness(response.headers(), usual);
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| transport(service, &place, &error))?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                let message =
                    format!("the {service} service at {place} sent more than {MAX_BODY_BYTES} bytes");
                return Err(ToolError::new("bad_response", message, false));
            }
            body.extend_from_slice(&chunk);
        }
        let bytes = body.len();
        let body = serde_json::from_slice::<Value>(&body);
        if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            let reason = reason(&body.unwrap_or_default());
            let message = format!("the {service} service at {place} answered {}{reason}", status.as_u16());
            return Err(ToolError::new("unavailable", message, true));
        }
        if status.is_redirection() {
            let message = format!(
                "the {service} service at {place} sends elsewhere ({}); set its new URL",
                status.as_u16()
            );
            return Err(ToolError::new("bad_response", message, false));
        }
        match body {
            Ok(body) => {
                if status == StatusCode::OK {
                    self.answers.keep(asked, &body, bytes, fresh);
                }
                Ok(Fetched { status, body })
            }
            // An error page need not be JSON; its status says enough.
            Err(_) if !status.is_success() => Ok(Fetched { status, body: Value::Null }),
            Err(_) => {
                let message =
                    format!("the {service} service at {place} answered with something that is not JSON");
                Err(ToolError::new("bad_response", message, false))
            }
        }
    }
}

impl Fetched {
    /// The error of a reply that is neither a success nor known to the tool.
    pub fn refusal(&self, service: &'static str) -> ToolError {
        let message =
            format!("the {service} service answered {}{}", self.status.as_u16(), reason(&self.body));
        ToolError::new("refused", message, false)
    }
}

/// A reply of the right status in the wrong shape.
pub(crate) fn unexpected(service: &'static str, missing: &str) -> ToolError {
    ToolError::new("bad_response", format!("the {service} service's answer has no {missing}"), false)
}

/// `base` with `path` and `query`, properly escaped.
pub(crate) fn address(base: &Url, path: &str, query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url.query_pairs_mut().clear().extend_pairs(query);
    url
}

/// Reads a `base_url`: scheme and host, and nothing that the tool would have to guess about.
pub(crate) fn base_url(tool: &'static str, key: &'static str, text: &str) -> Result<Url, BuildError> {
    let wrong = |what: &str| BuildError::Setting {
        tool: tool.to_owned(),
        key,
        problem: format!("{what}; it is scheme and host only, such as https://example.org"),
    };
    let url = Url::parse(text.trim()).map_err(|error| wrong(&format!("is no URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("is not an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("contains a user or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a path or a query"));
    }
    Ok(url)
}

/// What a service says about its error, where the usual services put it.
fn reason(body: &Value) -> String {
    let words = ["reason", "message"].iter().find_map(|field| body[*field].as_str());
    words.map_or_else(String::new, |words| {
        format!(": {}", &words[..words.floor_char_boundary(MAX_REASON_BYTES)])
    })
}

/// Never shows the URL's path or query: a key may be in it.
fn transport(service: &str, place: &str, error: &reqwest::Error) -> ToolError {
    let cause = innermost(error);
    if error.is_timeout() {
        return ToolError::new(
            "timeout",
            format!("the {service} service at {place} took too long: {cause}"),
            true,
        );
    }
    let what = if error.is_connect() { "could not be reached" } else { "broke off" };
    ToolError::new("unavailable", format!("the {service} service at {place} {what}: {cause}"), true)
}

/// A service on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// The cause at the bottom: reqwest's own words name the URL, the last cause is what happened.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut source: Option<&dyn Error> = error.source();
    let mut words = None;
    while let Some(cause) = source {
        words = Some(cause.to_string());
        source = cause.source();
    }
    words.unwrap_or_else(|| "no further cause is known".to_owned())
}

/// A task that ends with the future that waits for it.
pub(crate) struct AbortOnDrop<T>(pub JoinHandle<T>);

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
