//! A server's tool as the ports want it, and what stands for the tools of a server that has not said yet what it has.
//!
//! [`crate::call`] makes the calls; they run on the runtime of the connections, and end with whoever waits for them.

use std::sync::Arc;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::{EffectClass, OnFailure};
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;

use crate::call;
use crate::catalog::Offer;
use crate::server::Server;

/// A tool of a server.
pub(crate) struct McpTool {
    pub server: Arc<Server>,
    pub offer: Offer,
}

impl Tool for McpTool {
    fn spec(&self) -> &ToolSpec {
        &self.offer.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        let (server, offer) = (self.server.clone(), self.offer.clone());
        let run = async move { call::run(&server, &offer, call).await };
        let run = AbortOnDropHandle::new(self.server.runtime.spawn(run));
        Box::pin(async move {
            run.await.unwrap_or_else(|error| {
                let words =
                    format!("{}: the call was ended before its answer: {error}", self.offer.spec.name);
                Err(match self.offer.spec.effect {
                    EffectClass::Unsafe | EffectClass::Reconcilable => ToolError::in_doubt(words),
                    _ => ToolError::new("unavailable", words, true),
                })
            })
        })
    }
}

/// Stands for a tool of a server that has not listed its tools yet in this process: a plan made before a restart may name
/// it. A call waits for the list and is then answered as not sent, so that the next attempt meets the tool itself.
pub(crate) struct Unlisted {
    server: Arc<Server>,
    spec: ToolSpec,
}

impl Unlisted {
    pub fn new(server: Arc<Server>, name: &str) -> Self {
        let settings = &server.settings;
        let spec = ToolSpec {
            name: Arc::from(name),
            description: Arc::from(""),
            schema: RawJson::from_value(&serde_json::json!({ "type": "object" })),
            // The plan says what it is; a pool takes the stricter of the two.
            effect: EffectClass::Pure,
            pool: settings.pool.clone(),
            timeout_ms: settings.timeout_ms,
            deadline_ms: settings.timeout_ms,
            max_attempts: 1,
            backoff: crate::catalog::BACKOFF,
            on_failure: OnFailure::Fail,
            concurrency: settings.concurrency,
            approval_timeout_ms: None,
        };
        Self { server, spec }
    }
}

impl Tool for Unlisted {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        let server = self.server.clone();
        let wait = async move {
            let limit = std::time::Duration::from_millis(call.timeout_ms / 2);
            server.admit(limit).await.map(drop)
        };
        let wait = AbortOnDropHandle::new(self.server.runtime.spawn(wait));
        Box::pin(async move {
            let why = match wait.await {
                Ok(Ok(())) => "it had yet to list its tools".to_owned(),
                Ok(Err(why)) => why,
                Err(error) => error.to_string(),
            };
            let name = &self.server.settings.name;
            let words = format!("{}: MCP server {name} has not taken the call: {why}", self.spec.name);
            Err(ToolError::new("unavailable", words, true))
        })
    }
}
