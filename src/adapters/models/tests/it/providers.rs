//! Language models behind stub servers: what they plan, how they mend it, and who goes on when they fail.

use std::time::{Duration, Instant};

use callboard_domain::event::PlanGenerated;
use callboard_models::{Built, ModelsConfig, build};
use callboard_ports::model::{PlanRequest, ToolDown};
use callboard_testkit::stubs::{Ollama, OpenAi};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::world::{registry, report, request, steps, synthesis};

const GOOD: &str = r#"{"steps":[
    {"id":"sum","tool":"math","arguments":{"expression":"2+2"},"depends_on":[],"on_failure":"skip"},
    {"id":"say","tool":"echo","arguments":{"text":"${sum.result}"},"depends_on":[],"on_failure":"fail"}
],"then":"answer","guidance":"be brief"}"#;
const UNKNOWN_TOOL: &str =
    r#"{"steps":[{"id":"a","tool":"teleport","arguments":{}}],"then":"answer","guidance":""}"#;

async fn built(config: Value) -> Built {
    let config: ModelsConfig = serde_json::from_value(config).unwrap();
    build(&config, registry(), Handle::current()).await.unwrap()
}

async fn with_ollama(ollama: &Ollama) -> Built {
    built(json!({"planner": {"order": ["ollama", "builtin"]}, "models": {"ollama": {"base_url": ollama.url()}}})).await
}

fn openai(stub: &OpenAi) -> Value {
    json!({"base_url": format!("{}/v1", stub.url()), "api_key": "sk-hush"})
}

async fn with_both(ollama: &Ollama, stub: &OpenAi, timeout_ms: u64) -> Built {
    built(json!({"models": {
        "ollama": {"base_url": ollama.url(), "timeout_ms": timeout_ms}, "openai": openai(stub),
    }}))
    .await
}

async fn plan(built: &Built, message: &str) -> PlanGenerated {
    built.planner.plan(request(message)).await.unwrap()
}

fn by(plan: &PlanGenerated) -> (&str, Option<&str>) {
    (&plan.planner.provider, plan.planner.model.as_deref())
}

#[tokio::test]
async fn ollama_plans_with_the_tools_it_is_told_of() {
    let ollama = Ollama::start().unwrap();
    ollama.say(GOOD);
    let built = with_ollama(&ollama).await;
    assert_eq!(
        built.banner,
        format!("planning with Ollama at {} (model llama3:latest), then the built-in planner", ollama.url())
    );
    let plan = plan(&built, "what is 2+2?").await;
    assert_eq!(steps(&plan), ["math 2+2", "echo ${sum.result}"]);
    assert_eq!(by(&plan), ("ollama", Some("llama3:latest")));
    assert!(plan.planner.input_tokens.is_some() && plan.planner.output_tokens.is_some());
    assert_eq!((plan.steps[1].depends_on[0].as_str(), plan.guidance.as_deref()), ("sum", Some("be brief")));
    let asked = ollama.requests().last().unwrap().json();
    assert_eq!(asked["stream"], true);
    let choices = asked["format"]["properties"]["steps"]["items"]["anyOf"].as_array().unwrap();
    let named: Vec<&str> =
        choices.iter().map(|choice| choice["properties"]["tool"]["enum"][0].as_str().unwrap()).collect();
    assert_eq!(named, ["deposit", "echo", "exchange", "math", "weather", "webhook"]);
    let math = &choices[3]["properties"]["arguments"];
    assert_eq!((&math["type"], &math["required"]), (&json!("object"), &json!(["expression"])));
    assert!(asked["options"]["num_ctx"].as_u64().unwrap() >= 8_192);
    let system = asked["messages"][0]["content"].as_str().unwrap();
    assert!(system.contains("12 miles to km") && system.contains("\"expression\""), "{system}");
}

#[tokio::test]
async fn a_model_is_told_which_tools_are_down_and_why() {
    let ollama = Ollama::start().unwrap();
    ollama.say(GOOD);
    let down = ToolDown { tool: "weather".into(), why: "the weather service answered 503".into() };
    let asked = PlanRequest { down: vec![down], ..request("what is 2+2?") };
    with_ollama(&ollama).await.planner.plan(asked).await.unwrap();
    let sent = ollama.requests().last().unwrap().json();
    let system = sent["messages"][0]["content"].as_str().unwrap();
    assert!(
        system.contains("are down") && system.contains("- weather: \"the weather service answered 503\""),
        "{system}"
    );
    assert!(!system.contains("\"place\""), "its arguments are not offered");
    let choice = &sent["format"]["properties"]["steps"]["items"]["anyOf"];
    assert!(!choice.to_string().contains("weather") && choice.to_string().contains("math"), "{choice}");
}

#[tokio::test]
async fn a_plan_that_is_no_json_is_mended() {
    let ollama = Ollama::start().unwrap();
    ollama.say("Sure! First I would add two and two.");
    ollama.say(format!("```json\n{GOOD}\n```"));
    let plan = plan(&with_ollama(&ollama).await, "what is 2+2?").await;
    assert_eq!(by(&plan), ("ollama", Some("llama3:latest")));
    assert_eq!(plan.steps.len(), 2);
    let repair = ollama.requests().last().unwrap().json();
    let messages = repair["messages"].as_array().unwrap();
    assert_eq!(messages[messages.len() - 2]["role"], "assistant");
    assert!(messages[messages.len() - 1]["content"].as_str().unwrap().contains("one JSON object"));
}

#[tokio::test]
async fn a_plan_with_an_unknown_tool_is_told_the_known_ones() {
    let ollama = Ollama::start().unwrap();
    ollama.say(UNKNOWN_TOOL);
    ollama.say(GOOD);
    let plan = plan(&with_ollama(&ollama).await, "what is 2+2?").await;
    assert_eq!(by(&plan).0, "ollama");
    let repair = ollama.requests().last().unwrap().json().to_string();
    assert!(
        repair.contains("teleport") && repair.contains("deposit, echo, exchange, math, weather, webhook"),
        "{repair}"
    );
}

#[tokio::test]
async fn refused_twice_the_next_provider_is_asked() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    ollama.say(UNKNOWN_TOOL);
    ollama.say("{\"steps\": [");
    openai.respond_with(|_| GOOD.to_owned());
    let plan = plan(&with_both(&ollama, &openai, 5_000).await, "what is 2+2?").await;
    assert_eq!(by(&plan), ("openai", Some("gpt-4o-mini")));
    assert_eq!((ollama.hits_of("/api/chat"), openai.hits()), (2, 1));
    let asked = &openai.requests()[0];
    assert_eq!(asked.header("authorization"), Some("Bearer sk-hush"));
    let format = &asked.json()["response_format"];
    assert_eq!((&format["type"], &format["json_schema"]["strict"]), (&json!("json_schema"), &json!(true)));
    assert_eq!(
        format["json_schema"]["schema"]["properties"]["steps"]["items"]["anyOf"][0]["properties"]["arguments"]
            ["type"],
        "object"
    );
}

#[tokio::test]
async fn a_provider_that_does_not_answer_leaves_time_for_the_next() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    let built = with_both(&ollama, &openai, 300).await;
    ollama.hold();
    openai.say(GOOD);
    let began = Instant::now();
    let plan = plan(&built, "what is 2+2?").await;
    assert_eq!(by(&plan).0, "openai");
    assert!(began.elapsed() < Duration::from_secs(5));
    // Both silent: the request's own time is shared out, and the built-in planner still has some.
    openai.hold();
    let mut asked = request("what is 2+2?");
    asked.timeout_ms = 600;
    let began = Instant::now();
    let plan = built.planner.plan(asked).await.unwrap();
    assert_eq!((by(&plan).0, steps(&plan)), ("builtin", vec!["math 2 + 2".to_owned()]));
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn failing_servers_are_not_retried_in_secret_and_the_builtin_planner_says_who_failed() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    let built = with_both(&ollama, &openai, 5_000).await;
    ollama.forget();
    ollama.fail_always(500);
    openai.fail_always(503);
    let plan = plan(&built, "write a poem").await;
    assert_eq!(by(&plan), ("builtin", None));
    assert_eq!((ollama.hits(), openai.hits()), (1, 1));
    let guidance = plan.guidance.unwrap();
    assert!(
        guidance.contains("ollama: unavailable, openai: unavailable") && guidance.contains("“write a poem”"),
        "{guidance}"
    );
    assert!(!guidance.contains("hush"));
}

#[tokio::test]
async fn another_model_is_used_where_the_wanted_one_is_missing_and_that_is_said() {
    let ollama = Ollama::start().unwrap();
    ollama.set_models(&["nomic-embed-text:latest", "mistral:7b"]);
    ollama.respond_with(|_| GOOD.to_owned());
    let built = with_ollama(&ollama).await;
    assert!(
        built.banner.contains("model mistral:7b, because \"llama3\" is not installed"),
        "{}",
        built.banner
    );
    assert_eq!(built.ollama.as_ref().unwrap().installed.len(), 2);
    assert_eq!(by(&plan(&built, "2+2").await), ("ollama", Some("mistral:7b")));
    // It is removed while Callboard runs.
    ollama.set_models(&["qwen:1b"]);
    assert_eq!(by(&plan(&built, "2+2").await), ("ollama", Some("qwen:1b")));
}

#[tokio::test]
async fn results_and_history_reach_the_planner_when_it_is_asked_again() {
    let ollama = Ollama::start().unwrap();
    ollama.say(r#"{"steps":[],"then":"answer","guidance":"enough"}"#);
    let built = with_ollama(&ollama).await;
    let mut again = request("what is 2+2, and what else?");
    again.version = 2;
    again.reason = callboard_domain::plan::PlanReason::Continue;
    again.history = vec![callboard_domain::request::Exchange {
        message: "hello".into(),
        answer: Some("hi there".into()),
    }];
    again.results =
        vec![report("sum", "math", &json!({"expression": "2+2"}), Some(Ok(json!({"result": "4"}))))];
    let plan = built.planner.plan(again).await.unwrap();
    assert_eq!((plan.version, plan.steps.len(), by(&plan).0), (2, 0, "ollama"));
    let messages = ollama.requests().last().unwrap().json()["messages"].clone();
    let roles: Vec<&str> = messages.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(
        messages[3]["content"]
            .as_str()
            .unwrap()
            .contains("step sum, tool math\n{\"expression\":\"2+2\"}: {\"result\":\"4\"}\nDATA ")
    );
}

#[tokio::test]
async fn the_builtin_planner_named_first_takes_what_it_understands() {
    let ollama = Ollama::start().unwrap();
    ollama.respond_with(|_| GOOD.to_owned());
    let built = built(json!({
        "planner": {"order": ["builtin", "ollama"]}, "models": {"ollama": {"base_url": ollama.url()}},
    }))
    .await;
    assert_eq!(by(&plan(&built, "what is 3*3?").await).0, "builtin");
    assert_eq!(by(&plan(&built, "what is 3*3, and who was Euler?").await).0, "ollama");
}

#[tokio::test]
async fn a_server_of_ones_own_needs_no_key() {
    let stub = OpenAi::start().unwrap();
    stub.set_models(&["local"]);
    stub.say(GOOD);
    let built = built(json!({
        "planner": {"order": ["openai"]},
        "models": {"openai": {"base_url": format!("{}/v1/", stub.url()), "model": "local"}},
    }))
    .await;
    assert_eq!(by(&plan(&built, "2+2").await), ("openai", Some("local")));
    assert_eq!(stub.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn without_a_model_the_banner_says_what_is_missing() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let began = Instant::now();
    let built = built(json!({"models": {"ollama": {"host": nobody.to_string()}}})).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    for words in [
        "built-in planner",
        &format!("no Ollama answers at http://{nobody}"),
        "OPENAI_API_KEY is not set",
        "ollama pull llama3",
    ] {
        assert!(built.banner.contains(words), "{}", built.banner);
    }
    assert_eq!(by(&plan(&built, "2+2").await).0, "builtin");
}

#[tokio::test]
async fn an_ollama_that_is_found_silent_is_not_waited_for() {
    let ollama = Ollama::start().unwrap();
    ollama.hold();
    let began = Instant::now();
    let found = built(json!({"models": {"ollama": {"host": ollama.address().to_string()}}})).await;
    assert!(began.elapsed() < Duration::from_secs(2) && found.ollama.is_none());
    // Named outright it is used later, when it answers.
    let named = with_ollama(&ollama).await;
    assert!(named.banner.contains("does not answer yet"), "{}", named.banner);
    ollama.release();
    ollama.say(GOOD);
    assert_eq!(by(&plan(&named, "2+2").await), ("ollama", Some("llama3:latest")));
}

#[tokio::test]
async fn wrong_settings_are_named_and_keys_are_not_shown() {
    for (config, words) in [
        (json!({"models": {"openai": {"api_key": "sk-hush\nX-Other: 1"}}}), "models.openai: api_key"),
        (json!({"models": {"openai": {"base_url": "localhost:8000"}}}), "base_url"),
        (json!({"models": {"ollama": {"base_url": "ftp://x"}}}), "models.ollama.base_url"),
        (json!({"models": {"ollama": {"timeout_ms": 0}}}), "models.ollama.timeout_ms"),
    ] {
        let config: ModelsConfig = serde_json::from_value(config).unwrap();
        let Err(error) = build(&config, registry(), Handle::current()).await else { panic!("it is refused") };
        let error = error.to_string();
        assert!(error.contains(words) && !error.contains("hush"), "{error}");
    }
    let config: ModelsConfig =
        serde_json::from_value(json!({"models": {"openai": {"api_key": "sk-hush"}}})).unwrap();
    assert!(!format!("{config:?}{}", serde_json::to_string(&config).unwrap()).contains("hush"));
    assert!(serde_json::from_value::<ModelsConfig>(json!({"models": {"olama": {}}})).is_err());
    assert!(serde_json::from_value::<ModelsConfig>(json!({"planner": {"order": ["gemini"]}})).is_err());
}

#[tokio::test]
async fn an_answer_is_written_by_the_first_who_can() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    let built = with_both(&ollama, &openai, 400).await;
    let asked = || {
        synthesis(
            "what is 2+2?",
            Some("be brief"),
            vec![report(
                "sum",
                "math",
                &json!({"expression": "2+2"}),
                Some(Ok(json!({"expression": "2+2", "result": "4"}))),
            )],
        )
    };
    ollama.say("  It is 4.\n");
    let answer = built.synthesizer.synthesize(asked(), 10_000).await.unwrap();
    assert_eq!((&*answer.text, &*answer.author.provider), ("It is 4.", "ollama"));
    let seen = ollama.requests().last().unwrap().json();
    assert!(seen.get("format").is_none());
    let user = seen["messages"][1]["content"].as_str().unwrap();
    assert!(
        user.contains("what is 2+2?") && user.contains("\"result\":\"4\"") && user.contains("be brief"),
        "{user}"
    );
    // Empty, then silent: the next one; both down: the built-in one.
    ollama.say("   ");
    openai.say("Four.");
    let answer = built.synthesizer.synthesize(asked(), 10_000).await.unwrap();
    assert_eq!((&*answer.text, &*answer.author.provider), ("Four.", "openai"));
    ollama.hold();
    openai.fail_always(401);
    let answer = built.synthesizer.synthesize(asked(), 10_000).await.unwrap();
    assert_eq!((&*answer.text, &*answer.author.provider), ("2+2 = 4", "builtin"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_whoever_writes_it() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    let of_ollama = with_ollama(&ollama).await;
    let of_openai =
        built(json!({"planner": {"order": ["openai"]}, "models": {"openai": self::openai(&openai)}})).await;
    ollama.say("ü".repeat(300_000));
    openai.say("x".repeat(3 << 20));
    for (built, provider) in [(of_ollama, "ollama"), (of_openai, "openai")] {
        let asked = synthesis("write", None, Vec::new());
        let answer = built.synthesizer.synthesize(asked, 20_000).await.unwrap();
        assert_eq!(&*answer.author.provider, provider);
        assert!(answer.text.len() <= callboard_domain::limits::MAX_ANSWER_BYTES);
        assert!(answer.text.len() > 200_000 && answer.text.ends_with("(cut: the answer is too long)"));
    }
}
