//! Agents: their tools are what the planner is told of and what a plan may use, their instructions go in front, their
//! model is asked first.

use callboard_domain::request::Exchange;
use callboard_models::{BuildError, Built, ModelsConfig, build};
use callboard_ports::model::PlanRequest;
use callboard_testkit::stubs::{Ollama, OpenAi};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::world::{registry, request, steps, synthesis};

const PLAN: &str = r#"{"steps":[{"id":"sum","tool":"math","arguments":{"expression":"2+2"}}]}"#;
const EMPTY: &str = r#"{"steps":[],"guidance":"no tool is needed"}"#;

async fn try_with(config: Value) -> Result<Built, BuildError> {
    let config: ModelsConfig = serde_json::from_value(config).unwrap();
    build(&config, registry(), Handle::current()).await
}

fn of(agent: &str, message: &str) -> PlanRequest {
    PlanRequest { agent: agent.into(), ..request(message) }
}

#[tokio::test]
async fn an_agent_has_its_own_tools_instructions_and_model() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    openai.set_models(&["gpt-4o-mini", "big"]);
    let built = try_with(json!({
        "models": {
            "ollama": {"base_url": ollama.url()}, "openai": {"base_url": format!("{}/v1", openai.url())},
        },
        "agents": {"forecaster": {
            "instructions": "You are a weather forecaster in Bergen.", "tools": ["weather", "ec*"], "model": "openai/big",
        }},
    }))
    .await
    .unwrap();
    openai.say(PLAN);
    openai.say(EMPTY);
    let plan = built.planner.plan(of("forecaster", "what is 2+2?")).await.unwrap();
    assert_eq!((plan.planner.model.as_deref(), plan.steps.len()), (Some("big"), 0));
    let first = openai.requests()[0].json();
    let system = first["messages"][0]["content"].as_str().unwrap();
    assert!(system.starts_with("You are a weather forecaster in Bergen.\n\nYou are the planner"), "{system}");
    assert!(system.contains("- weather:") && system.contains("- echo:") && !system.contains("- math:"));
    assert!(!first["response_format"].to_string().contains("\"math\""));
    // The plan that used another tool all the same was refused, with words that help.
    let repair = openai.requests()[1].json()["messages"].as_array().unwrap().last().unwrap().to_string();
    assert!(repair.contains("there is no tool \\\"math\\\"") && repair.contains("echo, weather"), "{repair}");
    openai.say("Rain.");
    let mut asked = synthesis("tomorrow?", None, Vec::new());
    asked.agent = "forecaster".into();
    let answer = built.synthesizer.synthesize(asked, 10_000).await.unwrap();
    assert_eq!(answer.author.model.as_deref(), Some("big"));
    let told = openai.requests().last().unwrap().json();
    assert!(told["messages"][0]["content"].as_str().unwrap().starts_with("You are a weather forecaster"));
    // Others are not concerned.
    ollama.say(PLAN);
    let plan = built.planner.plan(request("what is 2+2?")).await.unwrap();
    assert_eq!((&*plan.planner.provider, plan.steps.len()), ("ollama", 1));
    assert_ne!(plan.models.unwrap().prompt_hash, answer.models.unwrap().prompt_hash);
}

#[tokio::test]
async fn the_built_in_planner_keeps_to_an_agents_tools_too() {
    let built = try_with(json!({
        "planner": {"order": ["builtin"]},
        "agents": {"clerk": {"tools": ["exchange"], "model": "builtin"}, "default": {"tools": []}},
    }))
    .await
    .unwrap();
    let plan = built.planner.plan(of("clerk", "what is 2+2, and convert 120 USD to EUR")).await.unwrap();
    assert_eq!(steps(&plan), ["exchange 120 USD EUR"]);
    let guidance = plan.guidance.unwrap();
    assert!(guidance.replace(' ', "").contains("2+2"), "{guidance}");
    assert!(built.planner.plan(request("what is 2+2?")).await.unwrap().steps.is_empty());
    let error = built.planner.plan(of("nobody", "hello")).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), ("unknown_agent", false));
    assert!(error.message.contains("clerk, default"), "{error}");
}

#[tokio::test]
async fn agents_that_cannot_be_are_refused_with_what_would_be_right() {
    for (agent, words) in [
        (json!({"bot": {"tools": ["wheather"]}}), &["agents.bot.tools", "did you mean \"weather\"?"][..]),
        (json!({"bot": {"model": "gpt-4o"}}), &["agents.bot.model", "PROVIDER/MODEL"]),
        (json!({"bot": {"model": "openai/"}}), &["agents.bot.model", "openai/gpt-4o-mini"]),
        (json!({"bot": {"model": "ollama/llama3"}}), &["agents.bot.model", "planner.order"]),
        (json!({"a bot": {}}), &["agents.a bot is no agent's name"]),
        (json!({"bot": {"instructions": "x".repeat(20_000)}}), &["agents.bot.instructions", "20000 bytes"]),
    ] {
        let config = json!({"planner": {"order": ["builtin"]}, "agents": agent});
        let error = try_with(config).await.unwrap_err().to_string();
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
    }
    for config in [
        json!({"planner": {"history_tokens": 1_000_000}}),
        json!({"models": {"ollama": {"concurrency": 0}}}),
        json!({"models": {"openai": {"max_tokens": 1}}}),
        json!({"models": {"breaker": {"failures": 0}}}),
        json!({"models": {"prices": {"m": {"input_per_million_usd": -1.0, "output_per_million_usd": 0.0}}}}),
    ] {
        let error = try_with(config).await.unwrap_err().to_string();
        assert!(error.contains("allowed are") || error.contains("0 or more"), "{error}");
    }
}

#[tokio::test]
async fn a_wish_for_a_provider_that_is_not_there_is_said_at_the_start() {
    let ollama = Ollama::start().unwrap();
    let built = try_with(json!({
        "models": {"ollama": {"base_url": ollama.url()}}, "agents": {"bot": {"model": "openai/gpt-4o"}},
    }))
    .await
    .unwrap();
    assert!(
        built.banner.contains("agent \"bot\" asks for openai/gpt-4o, but openai is not there"),
        "{}",
        built.banner
    );
    ollama.say(EMPTY);
    let plan = built.planner.plan(of("bot", "hello")).await.unwrap();
    assert_eq!((&*plan.planner.provider, plan.steps.len()), ("ollama", 0), "small talk takes no tool");
}

#[tokio::test]
async fn a_reference_to_earlier_turns_is_planned_with_them() {
    let ollama = Ollama::start().unwrap();
    let built = try_with(json!({
        "planner": {"history_tokens": 32}, "models": {"ollama": {"base_url": ollama.url()}},
    }))
    .await
    .unwrap();
    ollama.say(r#"{"steps":[{"id":"oslo","tool":"weather","arguments":{"place":"Oslo","units":"metric"}}]}"#);
    let exchange =
        |message: &str, answer: &str| Exchange { message: message.into(), answer: Some(answer.into()) };
    let history = vec![
        exchange(&"long ago ".repeat(40), &"and forgotten ".repeat(40)),
        exchange("weather in Oslo in Fahrenheit", "52.7 °F"),
    ];
    let plan = built.planner.plan(PlanRequest { history, ..request("and in Celsius?") }).await.unwrap();
    assert_eq!(steps(&plan), ["weather Oslo"]);
    let asked = ollama.requests().last().unwrap().json();
    let told: Vec<&str> =
        asked["messages"].as_array().unwrap()[1..].iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(told, ["weather in Oslo in Fahrenheit", "52.7 °F", "and in Celsius?"]);
}
