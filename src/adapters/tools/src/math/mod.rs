//! `math`: arithmetic, percentages and units, exactly where possible. The same expression always has the same result.
//!
//! This file is the tool; [`guards`] refuses what must not reach the evaluator, [`evaluate`] runs it on threads of
//! its own, [`outcome`] reads what it says.

mod evaluate;
mod guards;
mod outcome;

use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::Backoff;
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use crate::config::PlainConfig;
use crate::registry::BuildError;
use crate::spec::{self, Defaults};
use evaluate::Evaluator;

pub(crate) struct Math {
    spec: ToolSpec,
    evaluator: Evaluator,
}

#[derive(Deserialize)]
struct Arguments {
    expression: String,
}

impl Math {
    pub fn new(config: &PlainConfig) -> Result<Self, BuildError> {
        let defaults = Defaults {
            name: "math",
            description: "Evaluates one expression: arithmetic, percentages, functions and units, such as \
                          `17% of 2340`, `12 miles to km`, `sqrt(2)*10` or `5!`. The result has `result` (text with \
                          its unit) and `value` (the number). No currencies, dates or random numbers.",
            schema: json!({
                "type": "object",
                "properties": {
                    "expression": {
                        "type": "string", "minLength": 1, "maxLength": guards::MAX_EXPRESSION_BYTES,
                        "description": "The expression to evaluate."
                    }
                },
                "required": ["expression"],
                "additionalProperties": false
            }),
            // Anything a person would ask takes a millisecond.
            timeout_ms: 2_000,
            deadline_ms: 30_000,
            // The same expression fails the same way; the second attempt is for a busy evaluator.
            max_attempts: 2,
            backoff: Backoff { initial_ms: 200, max_ms: 2_000 },
            concurrency: 4,
        };
        let spec = spec::pure(defaults, &config.overrides())?;
        let evaluator = Evaluator::new(spec.concurrency);
        Ok(Self { spec, evaluator })
    }
}

impl Tool for Math {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let arguments: Arguments = serde_json::from_str(call.arguments.as_str())
                .map_err(|error| ToolError::new("invalid_arguments", format!("math: {error}"), false))?;
            let expression = arguments.expression.trim().to_owned();
            guards::check(&expression).map_err(|why| ToolError::new("invalid_arguments", why, false))?;
            let timeout = Duration::from_millis(call.timeout_ms);
            let said = self.evaluator.evaluate(expression.clone(), timeout).await?;
            outcome::read(&expression, &said)
        })
    }
}
