//! The form of a plan: demanded as strictly as the server takes it, and remembered.

use callboard_models::{Built, ModelsConfig, build};
use callboard_testkit::stubs::OpenAi;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::world::{registry, request};

const PLAN: &str = r#"{"steps":[{"id":"sum","tool":"math","arguments":{"expression":"2+2"},"depends_on":[],"on_failure":"skip"}],"then":"answer","guidance":""}"#;
const STRICT: &str = r#"{"steps":[{"id":"sum","tool":"math","arguments":"{\"expression\":\"2+2\"}","depends_on":[],"on_failure":"skip"}],"then":"answer","guidance":""}"#;

async fn with(stub: &OpenAi, more: Value) -> Built {
    let mut config = json!({
        "planner": {"order": ["openai"]}, "models": {"openai": {"base_url": format!("{}/v1", stub.url())}},
    });
    config["models"]["prices"] = more;
    let config: ModelsConfig = serde_json::from_value(config).unwrap();
    build(&config, registry(), Handle::current()).await.unwrap()
}

/// What the last request demanded.
fn demanded(stub: &OpenAi) -> String {
    let asked = stub.requests().last().unwrap().json();
    if asked["tool_choice"]["function"]["name"].is_string() {
        return "function call".to_owned();
    }
    let schema = &asked["response_format"]["json_schema"]["schema"]["properties"]["steps"]["items"];
    match asked["response_format"]["type"].as_str() {
        Some("json_schema") if schema.get("anyOf").is_some() => "full schema".to_owned(),
        Some("json_schema") => "strict schema".to_owned(),
        Some(other) => other.to_owned(),
        None => "nothing".to_owned(),
    }
}

#[tokio::test]
async fn a_server_gets_the_best_form_that_it_knows_and_is_not_asked_twice_what_it_does_not() {
    for (unknown, form, tries) in [
        (&[][..], "full schema", 1),
        (&["response_format.type=json_schema"], "json_object", 3),
        (&["response_format"], "function call", 4),
        (&["response_format", "tools"], "nothing", 5),
        (&["stream_options"], "full schema", 2),
        (&["max_tokens"], "full schema", 2),
    ] {
        let stub = OpenAi::start().unwrap();
        unknown.iter().for_each(|part| stub.does_not_know(part));
        stub.respond_with(|_| PLAN.to_owned());
        let built = with(&stub, json!({})).await;
        for _ in 0..2 {
            let plan = built.planner.plan(request("what is 2+2?")).await.unwrap();
            assert_eq!((&*plan.planner.provider, plan.steps.len()), ("openai", 1), "{unknown:?}");
            assert_eq!(plan.models.unwrap().calls, 1, "a form that is refused is no answer");
        }
        assert_eq!((demanded(&stub).as_str(), stub.hits()), (form, tries + 1), "{unknown:?}");
    }
}

#[tokio::test]
async fn arguments_as_text_are_read_too() {
    let stub = OpenAi::start().unwrap();
    stub.say(STRICT);
    let built = with(&stub, json!({})).await;
    let plan = built.planner.plan(request("what is 2+2?")).await.unwrap();
    assert_eq!(plan.steps[0].arguments.to_value()["expression"], "2+2");
}

#[tokio::test]
async fn a_plan_says_by_which_words_it_was_asked_for_and_what_it_cost() {
    let stub = OpenAi::start().unwrap();
    stub.respond_with(|_| PLAN.to_owned());
    let price = json!({"input_per_million_usd": 2.0, "output_per_million_usd": 10.0});
    let built = with(&stub, json!({"gpt-4o-mini": price})).await;
    let plan = built.planner.plan(request("what is 2+2?")).await.unwrap();
    let models = plan.models.unwrap();
    let (input, output) = (plan.planner.input_tokens.unwrap(), plan.planner.output_tokens.unwrap());
    assert!(input > 0 && output > 0);
    assert_eq!((models.calls, models.input_tokens, models.output_tokens), (1, input, output));
    assert_eq!(models.cost_nano_usd, Some(input * 2_000 + output * 10_000));
    let hash = models.prompt_hash.unwrap();
    assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
    let asked = stub.requests().last().unwrap().json();
    assert_eq!(asked["stream_options"]["include_usage"], true);
    assert!(asked["max_tokens"].as_u64().unwrap() >= 1_024);
    // Nobody was asked: nothing is said.
    let config: ModelsConfig = serde_json::from_value(json!({"planner": {"order": ["builtin"]}})).unwrap();
    let builtin = build(&config, registry(), Handle::current()).await.unwrap();
    assert_eq!(builtin.planner.plan(request("2+2")).await.unwrap().models, None);
}
