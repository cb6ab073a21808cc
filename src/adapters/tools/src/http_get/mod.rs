//! `http_get`: reads a page or a document from hosts that the operator allowed. A reply's text is data for the plan, and
//! what it links to is only ever asked when a plan says so.
//!
//! [`places`] is where it may go, [`addresses`] which addresses a host may turn out to have, [`readable`] what becomes of
//! a body. A redirect is followed by hand, because each hop has to pass both. No proxy is used: it would look names up
//! itself.

mod addresses;
mod places;
mod readable;

use std::sync::Arc;
use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::Backoff;
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;

use self::addresses::Guard;
use self::places::Places;
use self::readable::{Kind, readable};
use crate::config::HttpGetConfig;
use crate::http::{AbortOnDrop, innermost};
use crate::registry::BuildError;
use crate::spec::{self, Defaults};

/// A host that does not even accept a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a body, before it is turned into text; what is beyond is cut.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// Of the text: a dozen pages, and four such results fit a plan.
const MAX_TEXT_BYTES: usize = 48 * 1024;
/// `http` to `https`, `www`, a moved path; more hops are a loop.
const MAX_REDIRECTS: usize = 5;

pub(crate) struct HttpGet {
    spec: ToolSpec,
    places: Arc<Places>,
    client: Client,
    runtime: Handle,
}

#[derive(Deserialize)]
struct Arguments {
    url: String,
}

#[derive(Serialize)]
struct Page {
    /// Where the redirects led.
    url: String,
    status: u16,
    content_type: String,
    text: String,
    truncated: bool,
}

impl HttpGet {
    /// Nothing where no host is allowed.
    pub fn new(config: &HttpGetConfig, runtime: Handle) -> Result<Option<Self>, BuildError> {
        let places = Places::read(&config.allow)?;
        let description = format!(
            "Reads a web page or document with GET and gives back its `text` (HTML as readable text), `url`, `status` and \
             `content_type`. Allowed are only: {}.",
            places.words()
        );
        let defaults = Defaults {
            name: "http_get",
            description: &description,
            schema: json!({
                "type": "object",
                "properties": {
                    "url": {"type": "string", "minLength": 1, "maxLength": 2048, "description": "http or https."}
                },
                "required": ["url"],
                "additionalProperties": false
            }),
            timeout_ms: 15_000,
            deadline_ms: 90_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 300, max_ms: 5_000 },
            concurrency: 8,
        };
        let spec = spec::pure(defaults, &config.overrides())?;
        if config.allow.is_empty() {
            return Ok(None);
        }
        let places = Arc::new(places);
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Guard))
            .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::Http(innermost(&error)))?;
        Ok(Some(Self { spec, places, client, runtime }))
    }
}

impl Tool for HttpGet {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let arguments: Arguments = serde_json::from_str(call.arguments.as_str())
                .map_err(|error| ToolError::new("invalid_arguments", format!("http_get: {error}"), false))?;
            let (client, places, timeout_ms) = (self.client.clone(), self.places.clone(), call.timeout_ms);
            let work = async move {
                let bounded = tokio::time::timeout(
                    Duration::from_millis(timeout_ms),
                    get(client, &places, &arguments.url),
                );
                bounded.await.unwrap_or_else(|_| {
                    let message = format!("http_get: there was no whole answer within {timeout_ms} ms");
                    Err(ToolError::new("timeout", message, true))
                })
            };
            let page = AbortOnDrop(self.runtime.spawn(work)).await.unwrap_or_else(|error| {
                Err(ToolError::new("internal", format!("http_get: the request was ended: {error}"), false))
            })?;
            RawJson::of(&page).map_err(|error| ToolError::new("internal", error.to_string(), false))
        })
    }
}

async fn get(client: Client, places: &Places, asked: &str) -> Result<Page, ToolError> {
    let mut url = places.admit(asked)?;
    for _ in 0..=MAX_REDIRECTS {
        let place = url.origin().ascii_serialization();
        let accept = "text/html, application/json, text/*, application/xml;q=0.9";
        let sent = client.get(url.clone()).header(ACCEPT, accept).send().await;
        let response = sent.map_err(|error| lost(&place, &error))?;
        match next(&response) {
            Some(next) => url = places.admit(next?.as_str())?,
            None => return page(url, &place, response).await,
        }
    }
    let message = format!(
        "http_get: more than {MAX_REDIRECTS} redirects, the last to {}",
        url.origin().ascii_serialization()
    );
    Err(ToolError::new("bad_response", message, false))
}

/// Where a redirect leads.
fn next(response: &Response) -> Option<Result<Url, ToolError>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let named = response.headers().get(LOCATION)?.to_str().ok();
    let url = named.and_then(|text| response.url().join(text).ok());
    Some(url.ok_or_else(|| ToolError::new("bad_response", "http_get: a redirect leads to no URL", false)))
}

async fn page(url: Url, place: &str, response: Response) -> Result<Page, ToolError> {
    let status = response.status();
    let code = status.as_u16();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("text/plain").to_owned();
    if status.is_server_error() || matches!(code, 408 | 425 | 429) {
        return Err(ToolError::new("unavailable", format!("http_get: {place} answered {code}"), true));
    }
    if matches!(code, 404 | 410) {
        return Err(ToolError::new(
            "not_found",
            format!("http_get: {place} has no such page ({code})"),
            false,
        ));
    }
    if !status.is_success() {
        return Err(ToolError::new("refused", format!("http_get: {place} refused it with {code}"), false));
    }
    let Some(kind) = Kind::of(&content_type) else {
        let named: String = content_type.chars().take(80).collect();
        let message = format!("http_get: {place} sent {named:?}; only text, HTML, JSON and XML are read");
        return Err(ToolError::new("bad_response", message, false));
    };
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    let mut cut = false;
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(|error| lost(place, &error))?);
        if body.len() > MAX_BODY_BYTES {
            body.truncate(MAX_BODY_BYTES);
            cut = true;
            break;
        }
    }
    let mut text = readable(kind, &content_type, &body);
    let truncated = cut || text.len() > MAX_TEXT_BYTES;
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    Ok(Page { url: url.to_string(), status: code, content_type, text, truncated })
}

fn lost(place: &str, error: &reqwest::Error) -> ToolError {
    let cause = innermost(error);
    if let Some(refused) = addresses::refusal(error) {
        return ToolError::new("refused", format!("http_get: {refused}"), false);
    }
    let kind = if error.is_timeout() { "timeout" } else { "unavailable" };
    let what = if error.is_connect() { "could not be reached" } else { "broke off" };
    ToolError::new(kind, format!("http_get: {place} {what}: {cause}"), true)
}
