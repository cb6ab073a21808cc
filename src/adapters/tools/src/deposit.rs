//! `deposit`: leaves a text at a service under the effect's own name, `PUT BASE/deposits/EFFECT`, where it can be looked up
//! afterwards. The `reconcilable` example: when an answer is lost, `GET` of the same says what came of it.
//!
//! A neighbour of the other tools under [`crate::registry`]; [`crate::allow`] says where it may go, [`crate::effects`]
//! sends and judges.

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass};
use callboard_ports::tool::{Call, Probe, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Handle;

use crate::allow::AllowList;
use crate::config::DepositConfig;
use crate::effects::{Answered, Effects, Request};
use crate::registry::BuildError;
use crate::spec::{self, Defaults};

pub(crate) struct Deposit {
    spec: ToolSpec,
    base: Option<Url>,
    allowed: AllowList,
    effects: Effects,
}

#[derive(Deserialize)]
struct Arguments {
    text: String,
    url: Option<String>,
}

impl Deposit {
    pub fn new(config: &DepositConfig, http: Handle) -> Result<Self, BuildError> {
        let defaults = Defaults {
            name: "deposit",
            description: "Leaves `text` at a deposit service, once, and gives back the service's `status` and `body`. It has \
                          an effect in the world: use it only when the user asks to deposit something. `url` is the \
                          service's base URL; leave it out unless the user names one.",
            schema: json!({
                "type": "object",
                "properties": {
                    "text": {"type": "string", "description": "What to deposit."},
                    "url": {"type": "string", "minLength": 1, "maxLength": 2048, "description": "The service's base URL."}
                },
                "required": ["text"],
                "additionalProperties": false
            }),
            timeout_ms: 20_000,
            deadline_ms: 180_000,
            max_attempts: 5,
            backoff: Backoff { initial_ms: 500, max_ms: 10_000 },
            concurrency: 16,
        };
        let mut allowed = AllowList::read("deposit", &config.allow)?;
        let mut base = None;
        if let Some(text) = &config.base_url {
            let url = AllowList::entry("deposit", "base_url", text)?;
            allowed = allowed.with(&url);
            base = Some(url);
        }
        let spec = spec::of_class(EffectClass::Reconcilable, defaults, &config.overrides())?;
        let effects = Effects::new("deposit", spec.timeout_ms, http)?;
        Ok(Self { spec, base, allowed, effects })
    }

    /// The same for the call and for its probe: the effect's place at the service.
    fn request(&self, call: &Call, method: Method) -> Result<Request, ToolError> {
        let arguments: Arguments = serde_json::from_str(call.arguments.as_str())
            .map_err(|error| ToolError::new("invalid_arguments", format!("deposit: {error}"), false))?;
        let mut url = match (&arguments.url, &self.base) {
            (Some(text), _) => self.allowed.admit(text)?,
            (None, Some(base)) => base.clone(),
            (None, None) => {
                let message = "deposit: there is no `url`, and no service is configured; an operator names one with \
                               `tools.deposit.base_url`";
                return Err(ToolError::new("invalid_arguments", message, false));
            }
        };
        url.set_query(None);
        url.set_fragment(None);
        url.path_segments_mut()
            .map_err(|()| ToolError::new("invalid_arguments", "deposit: the URL has no path", false))?
            .pop_if_empty()
            .extend(["deposits", &call.idempotency_key]);
        let writes = method == Method::PUT;
        Ok(Request {
            method,
            url,
            // A service that knows the condition makes of two writes one.
            condition: writes.then_some("*"),
            idempotency_key: writes.then(|| call.idempotency_key.clone()),
            body: writes.then(|| json!({"text": arguments.text}).to_string()),
            attempt: call.attempt,
            headers: HeaderMap::new(),
        })
    }
}

fn result(answered: &Answered) -> Result<RawJson, ToolError> {
    RawJson::of(answered).map_err(|error| ToolError::in_doubt(format!("deposit: {error}")))
}

impl Tool for Deposit {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let request = self.request(&call, Method::PUT)?;
            result(&self.effects.send(request, call.timeout_ms).await?)
        })
    }

    fn probe(&self, call: Call) -> BoxFuture<'_, Probe> {
        Box::pin(async move {
            let unknown = |why: &str| Probe::Unknown(why.into());
            let request = match self.request(&call, Method::GET) {
                Ok(request) => request,
                Err(error) => return unknown(&error.message),
            };
            match self.effects.look(request, call.timeout_ms).await {
                Ok((StatusCode::OK, answered)) => {
                    result(&answered).map_or_else(|error| unknown(&error.message), Probe::Done)
                }
                Ok((StatusCode::NOT_FOUND, _)) => Probe::NotDone,
                Ok((status, _)) => {
                    unknown(&format!("deposit: the service answered {status} to the question for it"))
                }
                Err(why) => unknown(&why),
            }
        })
    }
}
