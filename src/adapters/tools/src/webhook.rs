//! `webhook`: tells a service something, once. An effect that cannot be asked about, so it is `unsafe`: whatever is not
//! known to have failed is in doubt.
//!
//! A neighbour of the other tools under [`crate::registry`]; [`crate::allow`] says where it may go, [`crate::effects`]
//! sends and judges.

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass};
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Handle;

use crate::allow::AllowList;
use crate::config::WebhookConfig;
use crate::effects::{Effects, Request};
use crate::registry::BuildError;
use crate::spec::{self, Defaults};

pub(crate) struct Webhook {
    spec: ToolSpec,
    allowed: AllowList,
    effects: Effects,
}

#[derive(Deserialize)]
struct Arguments {
    url: String,
    text: Option<String>,
    body: Option<RawJson>,
}

impl Webhook {
    pub fn new(config: &WebhookConfig, http: Handle) -> Result<Self, BuildError> {
        let defaults = Defaults {
            name: "webhook",
            description: "Sends a POST request to `url`, once, with `{\"text\": text}` or any JSON `body`, and gives back the \
                          service's `status` and `body`. It has an effect in the world: use it only when the user asks \
                          for exactly that, with the URL that the user named.",
            schema: json!({
                "type": "object",
                "properties": {
                    "url": {"type": "string", "minLength": 1, "maxLength": 2048, "description": "Where to send it."},
                    "text": {"type": "string", "description": "What to say; sent as {\"text\": …}."},
                    "body": {"description": "The whole JSON body, instead of `text`."}
                },
                "required": ["url"],
                "not": {"required": ["text", "body"]},
                "additionalProperties": false
            }),
            timeout_ms: 20_000,
            deadline_ms: 180_000,
            // Only of what was not sent, or refused for the moment: a service that restarts is back by then.
            max_attempts: 5,
            backoff: Backoff { initial_ms: 500, max_ms: 10_000 },
            concurrency: 16,
        };
        let spec = spec::of_class(EffectClass::Unsafe, defaults, &config.overrides())?;
        Ok(Self {
            allowed: AllowList::read("webhook", &config.allow)?,
            effects: Effects::new("webhook", spec.timeout_ms, http)?,
            spec,
        })
    }
}

impl Tool for Webhook {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let arguments: Arguments = serde_json::from_str(call.arguments.as_str())
                .map_err(|error| ToolError::new("invalid_arguments", format!("webhook: {error}"), false))?;
            let body = match (arguments.body, arguments.text) {
                (Some(body), _) => body.as_str().to_owned(),
                (None, Some(text)) => json!({"text": text}).to_string(),
                (None, None) => json!({}).to_string(),
            };
            let request = Request {
                method: Method::POST,
                url: self.allowed.admit(&arguments.url)?,
                idempotency_key: Some(call.idempotency_key),
                condition: None,
                body: Some(body),
                attempt: call.attempt,
                headers: HeaderMap::new(),
            };
            let answered = self.effects.send(request, call.timeout_ms).await?;
            // What was done must not be called undone for its answer's sake.
            RawJson::of(&answered).map_err(|error| ToolError::in_doubt(format!("webhook: {error}")))
        })
    }
}
