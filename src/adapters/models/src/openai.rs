//! OpenAI, or any server with its API: chat completions through async-openai, without its hidden retries and with
//! the timeouts that it lacks.
//!
//! A [`ChatModel`] for [`crate::planner`] and [`crate::synthesizer`]. Requests and replies are plain JSON (`byot`),
//! because other servers leave fields out that the library's types insist on.

use std::sync::Arc;
use std::task::{Context, Poll};

use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use callboard_domain::event::Author;
use callboard_ports::model::ModelError;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Response, Url};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::chat::{self, ChatModel, Completion, MAX_BODY_BYTES, Prompt};
use crate::config::OpenAiConfig;
use crate::proposal::{self, Arguments};
use crate::secret::Secret;

pub(crate) const PROVIDER: &str = "openai";
pub(crate) const PUBLIC: &str = "https://api.openai.com/v1";

/// A server with OpenAI's API.
pub struct OpenAi {
    client: Arc<async_openai::Client<OpenAIConfig>>,
    model: Arc<str>,
    runtime: Handle,
    timeout_ms: u64,
}

impl OpenAi {
    /// Not asked for anything yet.
    ///
    /// # Errors
    /// A sentence on the setting that is wrong; it never repeats the key.
    pub fn new(config: &OpenAiConfig, runtime: Handle) -> Result<Self, String> {
        let (base, url) = base(config)?;
        let key = key(config)?;
        let key = key.as_ref().map(Secret::expose);
        let http = chat::client(&url, config.connect_timeout_ms, config.timeout_ms)?;
        // Everything is set here, so that nothing comes from stray variables of the environment.
        let settings = OpenAIConfig::new()
            .with_api_base(base)
            .with_api_key(key.unwrap_or_default())
            .with_org_id("")
            .with_project_id("");
        let service = Once { client: http.clone(), key: key.map(Secret::new) };
        let client = async_openai::Client::build(http, settings).with_http_service(service);
        Ok(Self {
            client: Arc::new(client),
            model: Arc::from(config.model.as_str()),
            runtime,
            timeout_ms: config.timeout_ms,
        })
    }
}

/// Where the server's API begins, as text without a slash at its end and as a URL.
pub(crate) fn base(config: &OpenAiConfig) -> Result<(&str, Url), String> {
    let base = config.base_url.as_deref().unwrap_or(PUBLIC).trim().trim_end_matches('/');
    let url = Url::parse(base).map_err(|error| format!("base_url is no URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !url.username().is_empty() {
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

impl ChatModel for OpenAi {
    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    fn complete(&self, prompt: Prompt) -> BoxFuture<'_, Result<Completion, ModelError>> {
        Box::pin(async move {
            let (client, body) = (self.client.clone(), body(&self.model, &prompt));
            let asking =
                async move { client.chat().create_byot::<Value, Value>(body).await.map_err(failure) };
            let reply = chat::run(&self.runtime, PROVIDER, asking).await?;
            completion(&reply, &self.model)
        })
    }
}

fn body(model: &str, prompt: &Prompt) -> Value {
    // No temperature: the newer models refuse any but their own.
    let mut body = json!({"model": model, "messages": prompt.messages, "stream": false});
    if let Some(max_tokens) = prompt.max_tokens {
        body["max_tokens"] = max_tokens.into();
    }
    if let Some(tools) = &prompt.plan_for {
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": {"name": "plan", "strict": true, "schema": proposal::schema(tools, Arguments::Text)}
        });
    }
    body
}

fn completion(reply: &Value, model: &Arc<str>) -> Result<Completion, ModelError> {
    let choice = &reply["choices"][0];
    if choice["message"]["refusal"].is_string() {
        return Err(chat::error(PROVIDER, "refused", "the model refused to answer", false));
    }
    if choice["finish_reason"] == "length" {
        return Err(chat::error(PROVIDER, "bad_response", "its reply was cut at its limit", false));
    }
    let Some(text) = choice["message"]["content"].as_str().filter(|text| !text.trim().is_empty()) else {
        return Err(chat::error(PROVIDER, "bad_response", "its reply has no content", true));
    };
    let author = Author {
        provider: Arc::from(PROVIDER),
        // A server may answer with another model than was asked for, or a dated version of it.
        model: Some(reply["model"].as_str().map_or_else(|| model.clone(), Arc::from)),
        input_tokens: reply["usage"]["prompt_tokens"].as_u64(),
        output_tokens: reply["usage"]["completion_tokens"].as_u64(),
    };
    Ok(Completion { text: text.to_owned(), author })
}

/// What the library reports: nearly always what [`Once`] has said.
fn failure(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast::<ModelError>() {
            Ok(error) => *error,
            Err(_) => chat::error(PROVIDER, "bad_response", "the request failed", false),
        },
        OpenAIError::Reqwest(error) => chat::transport(PROVIDER, &error),
        _ => chat::error(PROVIDER, "bad_response", "its reply cannot be read", false),
    }
}

/// Sends a request once, and reads a bounded reply that is JSON: the library's own transport retries three times in
/// secret, reads without bound, and logs whatever it cannot read.
#[derive(Clone)]
struct Once {
    client: reqwest::Client,
    /// A server of one's own gets no empty `Authorization`.
    key: Option<Secret>,
}

impl tower_service::Service<HttpRequestFactory> for Once {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let (client, key) = (self.client.clone(), self.key.clone());
        Box::pin(async move {
            let mut request = factory.build().await?;
            if key.is_none() {
                request.headers_mut().remove(AUTHORIZATION);
            }
            send(&client, request, key.as_ref()).await.map_err(|error| OpenAIError::Boxed(Box::new(error)))
        })
    }
}

async fn send(
    client: &reqwest::Client,
    request: reqwest::Request,
    key: Option<&Secret>,
) -> Result<Response, ModelError> {
    let response = client.execute(request).await.map_err(|error| chat::transport(PROVIDER, &error))?;
    let body = chat::read(PROVIDER, response, MAX_BODY_BYTES, key).await?;
    Ok(Response::from(http::Response::new(body.to_string())))
}
