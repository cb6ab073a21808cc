//! What every story needs: a registry on stub services, and one call.

use std::time::Duration;

use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_ports::tool::{Call, ToolRegistry};
use callboard_tools::{Registry, ToolsConfig};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// A registry whose configuration is written as an operator would write it.
pub fn registry(config: Value) -> Registry {
    let config: ToolsConfig = serde_json::from_value(config).unwrap();
    Registry::build(&config, TurnLimits::default(), Handle::current()).unwrap()
}

pub async fn call(registry: &Registry, tool: &str, arguments: Value) -> Result<Value, ToolError> {
    let tool = registry.tool(tool).unwrap();
    let timeout_ms = tool.spec().timeout_ms;
    let call = Call {
        idempotency_key: "c-1:m-1:1:s-1".to_owned(),
        attempt: 1,
        arguments: RawJson::from_value(&arguments),
        timeout_ms,
    };
    // A tool minds its own timeout; the margin is for a slow machine.
    let patience = Duration::from_millis(timeout_ms) + Duration::from_secs(10);
    let result = tokio::time::timeout(patience, tool.call(call)).await.expect("the tool ends at its timeout");
    result.map(|result| result.to_value())
}

/// Kind and whether another attempt may help.
pub fn kind(outcome: &Result<Value, ToolError>) -> (&str, bool) {
    let error = outcome.as_ref().expect_err("this call fails");
    (&error.kind, error.retryable)
}

pub fn services(weather: &str, exchange: &str) -> Value {
    json!({
        "weather": {"base_url": weather, "geocoding_url": weather, "timeout_ms": 1_500},
        "exchange": {"base_url": exchange, "timeout_ms": 1_500},
    })
}
