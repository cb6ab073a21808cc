//! `echo`: gives back its text, later when asked to. For tests, demonstrations and benchmarks of the runtime itself.
//!
//! A neighbour of the other tools under [`crate::registry`]; it needs no service.

use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::limits::MAX_RESULT_BYTES;
use callboard_domain::plan::Backoff;
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::PlainConfig;
use crate::registry::BuildError;
use crate::spec::{self, Defaults};

/// The longest delay: long enough to kill a process in the middle, short enough to wait for in a test.
const MAX_DELAY_MS: u64 = 60_000;

pub(crate) struct Echo {
    spec: ToolSpec,
}

#[derive(Deserialize)]
struct Arguments {
    text: String,
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Serialize)]
struct Echoed {
    text: String,
}

impl Echo {
    pub fn new(config: &PlainConfig) -> Result<Self, BuildError> {
        let defaults = Defaults {
            name: "echo",
            description: "Gives back `text` unchanged, after `delay_ms` milliseconds when given. \
                          Use it when the user asks to repeat or say something.",
            schema: json!({
                "type": "object",
                "properties": {
                    "text": {"type": "string", "description": "What to give back."},
                    "delay_ms": {
                        "type": "integer", "minimum": 0, "maximum": MAX_DELAY_MS,
                        "description": "Milliseconds to wait first."
                    }
                },
                "required": ["text"],
                "additionalProperties": false
            }),
            // The longest delay and room to answer.
            timeout_ms: MAX_DELAY_MS + 10_000,
            deadline_ms: 300_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 200, max_ms: 5_000 },
            concurrency: 256,
        };
        Ok(Self { spec: spec::pure(defaults, &config.overrides())? })
    }
}

impl Tool for Echo {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let arguments: Arguments = serde_json::from_str(call.arguments.as_str())
                .map_err(|error| ToolError::new("invalid_arguments", format!("echo: {error}"), false))?;
            if arguments.delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(arguments.delay_ms.min(MAX_DELAY_MS))).await;
            }
            let result = RawJson::of(&Echoed { text: arguments.text })
                .map_err(|error| ToolError::new("internal", error.to_string(), false))?;
            if result.len_bytes() > MAX_RESULT_BYTES {
                let message = format!(
                    "the text takes {} bytes; at most {MAX_RESULT_BYTES} are allowed",
                    result.len_bytes()
                );
                return Err(ToolError::new("result_too_large", message, false));
            }
            Ok(result)
        })
    }
}
