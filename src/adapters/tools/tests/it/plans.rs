//! The registry as plans see it: schemas, references, policies, limits and settings.

use callboard_domain::event::TurnLimits;
use callboard_domain::json::RawJson;
use callboard_domain::plan::{EffectClass, ToolRefusal, Toolbox};
use callboard_ports::tool::ToolRegistry;
use callboard_tools::{Registry, ToolsConfig};
use serde_json::{Value, json};

use crate::world::registry;

fn problem(registry: &Registry, tool: &str, arguments: &Value) -> String {
    registry.check(tool, &RawJson::from_value(arguments)).unwrap_err().to_string()
}

#[tokio::test]
async fn wrong_arguments_are_named_with_their_place() {
    let registry = registry(json!({}));
    for (tool, arguments, words) in [
        ("echo", json!({}), "\"text\" is a required property"),
        ("echo", json!({"text": 7}), "at /text"),
        ("echo", json!({"text": "a", "delay_ms": 60_001}), "at /delay_ms"),
        ("echo", json!({"text": "a", "shout": true}), "shout"),
        ("echo", json!("a"), "object"),
        ("math", json!({"expression": "1".repeat(2_000)}), "at /expression"),
        ("weather", json!({"place": ""}), "at /place"),
        ("weather", json!({"place": "Oslo", "units": "kelvin"}), "at /units"),
        ("exchange", json!({"from": "US dollars", "to": "EUR"}), "at /from"),
        ("exchange", json!({"from": "USD", "to": "EUR", "amount": "much"}), "at /amount"),
    ] {
        let problem = problem(&registry, tool, &arguments);
        assert!(problem.contains(words) && problem.contains(tool), "{problem}");
        assert!(problem.len() < 2_000);
        let refused = registry.check_resolved(tool, &RawJson::from_value(&arguments)).unwrap_err();
        assert_eq!((&*refused.kind, refused.retryable), ("invalid_arguments", false));
    }
}

#[tokio::test]
async fn an_unknown_tool_is_told_what_there_is() {
    let registry = registry(json!({}));
    let refusal = registry.check("teleport", &RawJson::from_value(&json!({}))).unwrap_err();
    assert_eq!(
        refusal,
        ToolRefusal::Unknown {
            name: "teleport".to_owned(),
            known: "deposit, echo, exchange, math, weather, webhook".to_owned()
        }
    );
    assert_eq!(&*registry.check_resolved("teleport", &RawJson::null()).unwrap_err().kind, "unknown_tool");
    assert!(registry.tool("teleport").is_none());
}

#[tokio::test]
async fn a_reference_may_stand_for_any_value_until_it_is_resolved() {
    let registry = registry(json!({}));
    let planned = RawJson::from_value(&json!({"amount": "${math-1.value}", "from": "${a}${b}", "to": "EUR"}));
    registry.check("exchange", &planned).unwrap();
    assert!(registry.check_resolved("exchange", &planned).is_err());
    // Only at its own place, and only when it is one.
    for wrong in [
        json!({"amount": "${math-1.value}", "from": "dollars", "to": "EUR"}),
        json!({"amount": "$${math-1.value}", "from": "USD", "to": "EUR"}),
        json!({"amount": "${no such step}", "from": "USD", "to": "EUR"}),
        json!({"amount": ["${math-1.value}"], "from": "USD", "to": "EUR"}),
        json!({"other": "${math-1.value}", "from": "USD", "to": "EUR"}),
    ] {
        assert!(registry.check("exchange", &RawJson::from_value(&wrong)).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn arguments_that_cannot_be_read_are_refused_not_taken_for_null() {
    let registry = registry(json!({}));
    let deep = "[".repeat(500) + &"]".repeat(500);
    let arguments = RawJson::parse(&format!("{{\"text\": {deep}}}"));
    // serde_json's own limit is 128 levels; raw values pass through it unread.
    if let Ok(arguments) = arguments {
        assert!(registry.check("echo", &arguments).is_err());
    }
    let huge = RawJson::parse("{\"from\": \"USD\", \"to\": \"EUR\", \"amount\": 1e999}").unwrap();
    assert!(registry.check("exchange", &huge).is_err());
}

#[tokio::test]
async fn policies_come_from_settings() {
    let registry = registry(json!({
        "echo": {"pool": "slow", "timeout_ms": 5_000, "concurrency": 2, "max_attempts": 7, "deadline_ms": 9_000,
                 "backoff": {"initial_ms": 10, "max_ms": 20}},
    }));
    let policy = registry.check("echo", &RawJson::from_value(&json!({"text": "a"}))).unwrap();
    assert_eq!(
        (&*policy.pool, policy.timeout_ms, policy.deadline_ms, policy.max_attempts),
        ("slow", 5_000, 9_000, 7)
    );
    assert_eq!((policy.effect, policy.backoff.max_ms), (EffectClass::Pure, 20));
    assert_eq!(registry.tool("echo").unwrap().spec().concurrency, 2);
    assert_eq!(registry.turn_limits("anyone"), TurnLimits::default());
    let names: Vec<String> = registry.specs().iter().map(|spec| spec.name.to_string()).collect();
    assert_eq!(names, ["deposit", "echo", "exchange", "math", "weather", "webhook"]);
    // Where no deadline was set, every attempt fits into it.
    for spec in registry.specs().iter().filter(|spec| &*spec.name != "echo") {
        assert!(spec.deadline_ms >= spec.timeout_ms * u64::from(spec.max_attempts), "{}", spec.name);
    }
}

#[tokio::test]
async fn wrong_settings_are_named() {
    for (config, words) in [
        (json!({"echo": {"timeout_ms": 0}}), "tools.echo.timeout_ms"),
        (json!({"math": {"max_attempts": 0}}), "tools.math.max_attempts"),
        (json!({"math": {"concurrency": 0}}), "tools.math.concurrency"),
        (json!({"math": {"pool": "a pool"}}), "tools.math.pool"),
        (json!({"math": {"timeout_ms": 5_000, "deadline_ms": 10}}), "tools.math.deadline_ms"),
        (json!({"math": {"backoff": {"initial_ms": 10, "max_ms": 1}}}), "tools.math.backoff"),
        (json!({"weather": {"base_url": "https://example.org/v1/forecast"}}), "tools.weather.base_url"),
        (json!({"weather": {"geocoding_url": "example.org"}}), "tools.weather.geocoding_url"),
        (json!({"exchange": {"base_url": "ftp://example.org"}}), "tools.exchange.base_url"),
        (json!({"exchange": {"base_url": "https://user:word@example.org"}}), "tools.exchange.base_url"),
        (json!({"webhook": {"allow": ["https://user:word@example.org"]}}), "tools.webhook.allow"),
        (json!({"deposit": {"base_url": "example.org"}}), "tools.deposit.base_url"),
    ] {
        let config: ToolsConfig = serde_json::from_value(config).unwrap();
        let handle = tokio::runtime::Handle::current();
        let error =
            Registry::build(&config, TurnLimits::default(), handle).err().expect("refused").to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("word@"), "{error}");
    }
    for unknown in [json!({"ecko": {}}), json!({"echo": {"timeout": 5}}), json!({"weather": {"url": "x"}})] {
        assert!(serde_json::from_value::<ToolsConfig>(unknown).is_err());
    }
}
