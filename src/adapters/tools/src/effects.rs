//! Requests that have an effect outside: sent once, on a connection of their own, and every ending says what is known of
//! the effect. [`crate::webhook`], [`crate::deposit`] and [`crate::own`] send through it; reading tools use [`crate::http`].
//!
//! | what happened | known | error |
//! |---|---|---|
//! | no connection (name, refusal, TLS, its time) | nothing was sent | `unavailable`, retryable |
//! | 2xx, read whole | it was done | none |
//! | 429, 503 | the service says that it did not | `unavailable`, retryable |
//! | 307, 308, other 4xx | the service refused it | `refused` |
//! | other 3xx, other 5xx, 409 to a later attempt, 412 to a condition | nothing: a page to look at afterwards, or a fault half way | in doubt |
//! | out of time, a lost connection, an answer that breaks off | nothing | in doubt |

use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use futures_util::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::http::{AbortOnDrop, innermost, is_loopback};
use crate::registry::BuildError;

/// A host that does not accept a connection in this time is down.
const MAX_CONNECT_MS: u64 = 5_000;
/// Of an answer: enough to see what it says, little enough for a plan's results.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// Of a service's words in an error.
const MAX_REASON_BYTES: usize = 300;

/// A client for effects and the runtime that it runs on.
#[derive(Clone)]
pub(crate) struct Effects {
    tool: Arc<str>,
    /// Goes through a proxy where the environment names one…
    client: Client,
    /// …which a service on this machine must not.
    loopback: Client,
    runtime: Handle,
}

/// One request.
pub(crate) struct Request {
    pub method: Method,
    pub url: Url,
    pub idempotency_key: Option<String>,
    /// `If-None-Match`.
    pub condition: Option<&'static str>,
    /// JSON.
    pub body: Option<String>,
    pub attempt: u32,
    /// More of them, from the configuration.
    pub headers: HeaderMap,
}

/// What a service answered, as the tool's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Answered {
    pub status: u16,
    /// JSON where it is, text otherwise.
    pub body: RawJson,
    /// Whether `body` is only the beginning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Effects {
    /// For a tool whose attempts take `timeout_ms`.
    pub fn new(tool: &str, timeout_ms: u64, runtime: Handle) -> Result<Self, BuildError> {
        // Sooner than the attempt's own end, where a connection that never came cannot be told from an answer.
        let connect_timeout = Duration::from_millis(MAX_CONNECT_MS.min(timeout_ms / 2).max(1));
        let builder = || {
            Client::builder()
                .connect_timeout(connect_timeout)
                .redirect(Policy::none())
                // A request goes out once: not again behind our back, and not on an old connection that the service may
                // be closing, since that could not be told from a request that was lost.
                .retry(reqwest::retry::never())
                .pool_max_idle_per_host(0)
                .http1_only()
                .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")))
        };
        let build =
            |builder: ClientBuilder| builder.build().map_err(|error| BuildError::Http(innermost(&error)));
        Ok(Self {
            tool: Arc::from(tool),
            client: build(builder())?,
            loopback: build(builder().no_proxy())?,
            runtime,
        })
    }

    /// Sends `request` and judges its answer. Dropping the future aborts it.
    ///
    /// # Errors
    /// As the table above says; [`ToolError::in_doubt`] wherever it may have been done.
    pub async fn send(&self, request: Request, timeout_ms: u64) -> Result<Answered, ToolError> {
        let (attempt, tool) = (request.attempt, &self.tool);
        let conditional = request.condition.is_some();
        let began = Instant::now();
        let place = request.url.origin().ascii_serialization();
        let lost = format!("{tool}: the request to {place}");
        let (response, body) = self.exchange(request, timeout_ms).await.map_err(|loss| match loss {
            Loss::NotSent(cause) => self.unreached(&place, &cause),
            Loss::OutOfTime => ToolError::in_doubt(format!("{lost} was not answered within {timeout_ms} ms")),
            Loss::Broken(cause) => {
                ToolError::in_doubt(format!("{lost} may have been done; its answer was lost: {cause}"))
            }
        })?;
        // An answer that says "not now" is worth its wait: the next attempt comes no sooner.
        let retry_after = response.retry_after;
        let known = (response.code == StatusCode::CONFLICT && attempt > 1)
            || (response.code == StatusCode::PRECONDITION_FAILED && conditional);
        let judged = self.judge(&place, response, body, known);
        if judged.as_ref().is_err_and(|error| error.retryable) {
            until(retry_after, began, timeout_ms).await;
        }
        judged
    }

    /// Nothing was sent.
    pub fn unreached(&self, place: &str, cause: &str) -> ToolError {
        let message = format!("{}: {place} could not be reached, nothing was sent: {cause}", self.tool);
        ToolError::new("unavailable", message, true)
    }

    /// `known`: the status says that the service has met this effect before.
    fn judge(&self, place: &str, status: Status, body: Body, known: bool) -> Result<Answered, ToolError> {
        let tool = &self.tool;
        let code = status.code.as_u16();
        let reason = body.reason();
        if status.code.is_success() {
            return match body.broken {
                None => Ok(body.answered(code)),
                Some(cause) => Err(ToolError::in_doubt(format!(
                    "{tool}: {place} answered {code}, and its answer broke off: {cause}"
                ))),
            };
        }
        match code {
            429 | 503 => {
                let message =
                    format!("{tool}: {place} answered {code}: it is not taking requests now{reason}");
                Err(ToolError::new("unavailable", message, true))
            }
            307 | 308 => {
                let to = status.location.map_or_else(String::new, |to| format!(" to {to}"));
                let message = format!(
                    "{tool}: {place} sends elsewhere{to} ({code}), which is not followed; use that URL"
                );
                Err(ToolError::new("refused", message, false))
            }
            409 | 412 if known => Err(ToolError::in_doubt(format!(
                "{tool}: {place} answered {code}: an earlier attempt got there{reason}"
            ))),
            400..500 => {
                let message = format!("{tool}: {place} refused it with {code}{reason}");
                Err(ToolError::new("refused", message, false))
            }
            _ => Err(ToolError::in_doubt(format!(
                "{tool}: {place} answered {code}, which does not say whether it was done{reason}"
            ))),
        }
    }

    /// A question without an effect: any answer at all.
    pub async fn look(&self, request: Request, timeout_ms: u64) -> Result<(StatusCode, Answered), String> {
        let place = request.url.origin().ascii_serialization();
        let said = |what: String| format!("{}: {place} {what}", self.tool);
        match self.exchange(request, timeout_ms).await {
            Ok((status, body)) => match body.broken {
                None => Ok((status.code, body.answered(status.code.as_u16()))),
                Some(cause) => Err(said(format!("broke off its answer: {cause}"))),
            },
            Err(Loss::OutOfTime) => Err(said(format!("did not answer within {timeout_ms} ms"))),
            Err(Loss::NotSent(cause) | Loss::Broken(cause)) => {
                Err(said(format!("could not be asked: {cause}")))
            }
        }
    }

    /// Sends `request` and reads what comes back, up to the bound.
    pub async fn exchange(&self, request: Request, timeout_ms: u64) -> Result<(Status, Body), Loss> {
        let client = if is_loopback(&request.url) { &self.loopback } else { &self.client };
        let mut builder = client.request(request.method, request.url).header(ACCEPT, "application/json");
        builder = builder.headers(request.headers);
        if let Some(key) = request.idempotency_key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some(condition) = request.condition {
            builder = builder.header(IF_NONE_MATCH, condition);
        }
        if let Some(body) = request.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body);
        }
        let work = async move {
            let response = builder.send().await.map_err(|error| {
                let not_sent = error.is_connect() || error.is_builder();
                let cause = innermost(&error);
                if not_sent { Loss::NotSent(cause) } else { Loss::Broken(cause) }
            })?;
            let status = Status::of(&response);
            Ok((status, Body::read(response).await))
        };
        let bounded = tokio::time::timeout(Duration::from_millis(timeout_ms), work);
        match AbortOnDrop(self.runtime.spawn(bounded)).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Loss::OutOfTime),
            Err(error) => {
                Err(Loss::Broken(if error.is_panic() { "it panicked" } else { "it was ended" }.to_owned()))
            }
        }
    }
}

/// Room between a wait and the attempt's own end, which would be taken for a loss.
const BEFORE_THE_END: Duration = Duration::from_millis(100);

/// Waits as long as a service asked for, as far as the attempt has time.
pub(crate) async fn until(retry_after: Option<Duration>, began: Instant, timeout_ms: u64) {
    let left = Duration::from_millis(timeout_ms).saturating_sub(began.elapsed() + BEFORE_THE_END);
    if let Some(wait) = retry_after {
        tokio::time::sleep(wait.min(left)).await;
    }
}

/// Why there is no answer.
pub(crate) enum Loss {
    /// There never was a connection.
    NotSent(String),
    OutOfTime,
    /// After the connection was made.
    Broken(String),
}

pub(crate) struct Status {
    pub code: StatusCode,
    /// Origin of the place that a redirect names.
    location: Option<String>,
    /// How long the service asks to be left alone, where it says so in seconds.
    pub retry_after: Option<Duration>,
}

impl Status {
    fn of(response: &Response) -> Self {
        let named = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = named.and_then(|text| response.url().join(text).ok());
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Self {
            code: response.status(),
            retry_after,
            location: location.map(|url| url.origin().ascii_serialization()),
        }
    }
}

/// The beginning of an answer's body.
pub(crate) struct Body {
    bytes: Vec<u8>,
    truncated: bool,
    pub broken: Option<String>,
}

impl Body {
    async fn read(response: Response) -> Self {
        let mut body = Self { bytes: Vec::new(), truncated: false, broken: None };
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => body.bytes.extend_from_slice(&chunk),
                Err(error) => {
                    body.broken = Some(innermost(&error));
                    return body;
                }
            }
            if body.bytes.len() > MAX_KEPT_BYTES {
                body.bytes.truncate(MAX_KEPT_BYTES);
                body.truncated = true;
                return body;
            }
        }
        body
    }

    pub fn answered(self, status: u16) -> Answered {
        let text = String::from_utf8_lossy(&self.bytes);
        let json = if self.truncated { None } else { RawJson::parse(&text).ok() };
        let body = json.unwrap_or_else(|| {
            // Control characters are nothing to read and take six bytes each in a result.
            let legible =
                |c: char| if c.is_control() && !matches!(c, '\n' | '\r' | '\t') { '\u{fffd}' } else { c };
            match self.bytes.is_empty() {
                true => RawJson::null(),
                false => RawJson::from_value(&Value::from(text.chars().map(legible).collect::<String>())),
            }
        });
        Answered { status, body, truncated: self.truncated }
    }

    /// What a service says about its error, where the usual services put it.
    pub fn reason(&self) -> String {
        let Ok(body) = serde_json::from_slice::<Value>(&self.bytes) else { return String::new() };
        let words = ["error", "reason", "message", "detail"].iter().find_map(|field| body[*field].as_str());
        words.map_or_else(String::new, |words| {
            format!(" ({})", &words[..words.floor_char_boundary(MAX_REASON_BYTES)])
        })
    }
}
