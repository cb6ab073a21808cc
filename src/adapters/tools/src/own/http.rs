//! A tool that is a service: `POST URL` with the arguments as its JSON body, `Idempotency-Key` (the effect id, the same for
//! every attempt) and `Callboard-Attempt`. The answer's body is the result.
//!
//! For `unsafe` and `reconcilable` tools [`crate::effects`] judges the answer. Where a call may be repeated:
//!
//! | what happened | error |
//! |---|---|
//! | 2xx | none: JSON as it is, anything else as text |
//! | no connection, a lost one, out of time | `unavailable` or `timeout`, retryable |
//! | 408, 409, 425, 429, 5xx | `unavailable`, retryable, after `Retry-After` where it fits the attempt |
//! | other 3xx, 4xx | `refused` |
//!
//! A `reconcilable` tool is asked `GET URL/EFFECT-ID`: 200 it was done and this is its result, 404 it was not, all else
//! says nothing.

use std::time::Instant;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::EffectClass;
use callboard_ports::tool::{Call, Probe, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::json;
use tokio::runtime::Handle;

use crate::allow::AllowList;
use crate::config::OwnConfig;
use crate::effects::{Answered, Effects, Loss, Request, until};
use crate::registry::BuildError;

const ATTEMPT: &str = "callboard-attempt";
/// More are a mistake.
const MAX_HEADERS: usize = 32;
/// Said by Callboard itself.
const OURS: &[&str] = &[
    "accept",
    "callboard-attempt",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
];

pub(super) struct HttpTool {
    spec: ToolSpec,
    url: Url,
    headers: HeaderMap,
    effects: Effects,
}

impl HttpTool {
    pub fn new(spec: ToolSpec, config: &OwnConfig, runtime: Handle) -> Result<Self, BuildError> {
        let name = &*spec.name;
        let wrong = |key, problem: String| BuildError::Setting { tool: name.to_owned(), key, problem };
        let missing = || {
            wrong(
                "url",
                "is missing; write where the tool is called, such as http://127.0.0.1:8000/lookup".to_owned(),
            )
        };
        let url = AllowList::entry(name, "url", config.url.as_deref().ok_or_else(missing)?)?;
        let headers = headers(config).map_err(|problem| wrong("headers", problem))?;
        let effects = Effects::new(name, spec.timeout_ms, runtime)?;
        Ok(Self { url, headers, effects, spec })
    }

    fn request(&self, call: &Call, method: Method) -> Request {
        let mut url = self.url.clone();
        let mut headers = self.headers.clone();
        headers.insert(ATTEMPT, HeaderValue::from(call.attempt));
        let writes = method == Method::POST;
        if !writes && let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&call.idempotency_key);
        }
        Request {
            method,
            url,
            idempotency_key: Some(call.idempotency_key.clone()),
            condition: None,
            body: writes.then(|| call.arguments.as_str().to_owned()),
            attempt: call.attempt,
            headers,
        }
    }

    /// For classes whose calls may be repeated.
    async fn repeatable(&self, request: Request, timeout_ms: u64) -> Result<Answered, ToolError> {
        let name = &self.spec.name;
        let place = self.url.origin().ascii_serialization();
        let began = Instant::now();
        let (status, body) = self.effects.exchange(request, timeout_ms).await.map_err(|loss| match loss {
            Loss::NotSent(cause) => self.effects.unreached(&place, &cause),
            Loss::OutOfTime => ToolError::new(
                "timeout",
                format!("{name}: {place} did not answer within {timeout_ms} ms"),
                true,
            ),
            Loss::Broken(cause) => {
                ToolError::new("unavailable", format!("{name}: {place} broke off: {cause}"), true)
            }
        })?;
        let code = status.code.as_u16();
        if status.code.is_success() {
            return match &body.broken {
                None => Ok(body.answered(code)),
                Some(cause) => {
                    Err(ToolError::new("unavailable", format!("{name}: {place} broke off: {cause}"), true))
                }
            };
        }
        let reason = body.reason();
        if status.code.is_server_error() || matches!(code, 408 | 409 | 425 | 429) {
            until(status.retry_after, began, timeout_ms).await;
            return Err(ToolError::new(
                "unavailable",
                format!("{name}: {place} answered {code}{reason}"),
                true,
            ));
        }
        Err(ToolError::new("refused", format!("{name}: {place} refused it with {code}{reason}"), false))
    }
}

/// The body itself; of one that is too long the beginning, with a mark.
fn result(answered: Answered) -> Result<RawJson, ToolError> {
    if !answered.truncated {
        return Ok(answered.body);
    }
    RawJson::of(&json!({"text": answered.body.to_value(), "truncated": true}))
        .map_err(|error| ToolError::new("internal", error.to_string(), false))
}

/// Names and values are judged without repeating a value: it may be secret.
fn headers(config: &OwnConfig) -> Result<HeaderMap, String> {
    if config.headers.len() > MAX_HEADERS {
        return Err(format!("has {} entries; at most {MAX_HEADERS} are allowed", config.headers.len()));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) {
            return Err(format!("has {name:?}, which Callboard sets itself; leave it out"));
        }
        let parsed = HeaderName::from_bytes(lower.as_bytes())
            .map_err(|_| format!("has {name:?}, which is no name of a header"))?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| format!("has a value of {name:?} that no header can carry"))?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

impl Tool for HttpTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let request = self.request(&call, Method::POST);
            let answered = match self.spec.effect {
                EffectClass::Pure | EffectClass::Idempotent => {
                    self.repeatable(request, call.timeout_ms).await?
                }
                EffectClass::Reconcilable | EffectClass::Unsafe => {
                    self.effects.send(request, call.timeout_ms).await?
                }
            };
            result(answered)
        })
    }

    fn probe(&self, call: Call) -> BoxFuture<'_, Probe> {
        Box::pin(async move {
            let request = self.request(&call, Method::GET);
            match self.effects.look(request, call.timeout_ms).await {
                Ok((StatusCode::OK, answered)) => {
                    result(answered).map_or_else(|error| Probe::Unknown(error.message), Probe::Done)
                }
                Ok((StatusCode::NOT_FOUND, _)) => Probe::NotDone,
                Ok((status, _)) => Probe::Unknown(
                    format!("{}: the question for it was answered {status}", self.spec.name).into(),
                ),
                Err(why) => Probe::Unknown(why.into()),
            }
        })
    }
}
