//! What every story needs: a registry on stub services, and one call.

use std::time::Duration;

use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_ports::tool::{Call, Tool, ToolRegistry};
use callboard_tools::{Registry, ToolsConfig};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// A registry whose configuration is written as an operator would write it.
pub fn registry(config: Value) -> Registry {
    let config: ToolsConfig = serde_json::from_value(config).unwrap();
    Registry::build(&config, TurnLimits::default(), Handle::current()).unwrap()
}

/// The effect id of every call.
pub const KEY: &str = "c-1:m-1:1:s-1";

pub fn call_of(tool: &dyn Tool, arguments: &Value, attempt: u32) -> Call {
    Call {
        idempotency_key: KEY.to_owned(),
        attempt,
        arguments: RawJson::from_value(arguments),
        timeout_ms: tool.spec().timeout_ms,
    }
}

pub async fn call(registry: &Registry, tool: &str, arguments: Value) -> Result<Value, ToolError> {
    attempt(registry, tool, arguments, 1).await
}

pub async fn attempt(
    registry: &Registry,
    tool: &str,
    arguments: Value,
    attempt: u32,
) -> Result<Value, ToolError> {
    let tool = registry.tool(tool).unwrap();
    let call = call_of(&*tool, &arguments, attempt);
    // A tool minds its own timeout; the margin is for a slow machine.
    let patience = Duration::from_millis(call.timeout_ms) + Duration::from_secs(10);
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
