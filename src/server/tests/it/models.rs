//! Turns with a model behind them: agents, costs, servers that fail, and keys that stay where they belong.

use std::path::Path;

use callboard_testkit::process::Process;
use callboard_testkit::stubs::{Misbehaviour, OpenAi};
use serde_json::{Value, json};

use crate::world::{Options, Server, launch};

const CANARY: &str = "sk-canary-7d1e0c";
const WEATHER_CANARY: &str = "weather-canary-7d1e0c";

fn with(stub: &OpenAi) -> Options {
    Options::default()
        .env("CALLBOARD__PLANNER__ORDER", "openai,builtin")
        .env("CALLBOARD__MODELS__OPENAI__BASE_URL", format!("{}/v1", stub.url()))
        .env("OPENAI_API_KEY", CANARY)
        .env("WEATHER_API_KEY", WEATHER_CANARY)
        .env("CALLBOARD_LOG", "debug")
}

/// Says a plan to the planner and a sentence to whoever writes the answer.
fn sensible(request: &Value) -> String {
    let planning =
        request["messages"][0]["content"].as_str().unwrap_or_default().contains("You are the planner");
    let plan = r#"{"steps":[{"id":"sum","tool":"math","arguments":{"expression":"2+2"}}],"then":"answer","guidance":""}"#;
    if planning { plan.to_owned() } else { "It is 4.".to_owned() }
}

fn ask(server: &Server, agent: &str) -> (u16, Value) {
    let body = json!({"message": "what is 2+2?", "agent": agent}).to_string();
    let (status, body, _) = server.post("/v1/chat", &[("Prefer", "wait=60")], body);
    (status, body)
}

fn said(process: &Process) -> String {
    process.stdout() + &process.stderr()
}

/// Everything under a folder, as text.
fn contents(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            contents(&path, into);
        } else if let Ok(bytes) = std::fs::read(&path) {
            into.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_turn_of_an_agent_says_who_planned_and_what_it_cost() {
    let stub = OpenAi::start().unwrap();
    stub.respond_with(sensible);
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("agents.toml");
    std::fs::write(
        &file,
        "[agents.bookkeeper]\ninstructions = \"You keep books.\"\ntools = [\"math\"]\n\
         [models.prices.\"gpt-4o-mini\"]\ninput_per_million_usd = 0.15\noutput_per_million_usd = 0.6\n",
    )
    .unwrap();
    let options = with(&stub).arg("--config").arg(file.display().to_string());
    let server = Server::start_in(data, options);
    let said = said(&server.process);
    assert!(said.contains("planning with gpt-4o-mini at"), "{said}");
    let (status, problem) = ask(&server, "nobody");
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!((status, problem["field"].as_str()), (400, Some("agent")));
    assert!(detail.contains("bookkeeper, default"), "{detail}");
    let (status, turn) = ask(&server, "bookkeeper");
    assert_eq!((status, &turn["answer"]), (200, &json!("It is 4.")), "{turn}");
    let prompt = stub.requests()[0].json();
    let system = prompt["messages"][0]["content"].as_str().unwrap();
    assert!(
        system.starts_with("You keep books.") && system.contains("- math:") && !system.contains("- echo:")
    );
    let conversation = turn["conversation_id"].as_str().unwrap();
    let events = server.cli(&["events", conversation, "--json"]);
    let costs: Vec<Value> = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|event| find(&event, "cost_nano_usd"))
        .collect();
    assert!(
        costs.len() == 2 && costs.iter().all(|cost| cost.as_u64().is_some_and(|cost| cost > 0)),
        "{events}"
    );
    let (_, metrics) = server.try_get("/metrics").unwrap();
    let answered = "callboard_model_calls_total{provider=\"openai\",outcome=\"answered\"} 2";
    assert!(metrics.contains(answered) && server.metric("callboard_model_tokens") > 0.0, "{metrics}");
    // Broken off in the middle of the answer: the built-in synthesizer goes on, and the record says so.
    stub.misbehave(Misbehaviour::Unstreamed);
    stub.misbehave(Misbehaviour::Cut);
    let (status, turn) = ask(&server, "default");
    assert_eq!((status, &turn["answer"]), (200, &json!("2+2 = 4")), "{turn}");
    let events = server.cli(&["events", turn["conversation_id"].as_str().unwrap(), "--json"]);
    assert!(events.contains("\"kind\":\"unavailable\""), "{events}");
}

/// The first field of that name, wherever it is.
fn find(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            fields.get(name).cloned().or_else(|| fields.values().find_map(|field| find(field, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

#[test]
fn a_key_is_in_no_file_no_answer_and_no_log_line() {
    let stub = OpenAi::start().unwrap();
    stub.respond_with(sensible);
    stub.echo_authorization();
    let server = Server::start(with(&stub));
    let mut told = String::new();
    for status in [0, 400, 401, 500] {
        if status > 0 {
            stub.heal();
            stub.fail_always(status);
        }
        let (_, turn) = ask(&server, "default");
        let conversation = turn["conversation_id"].as_str().unwrap().to_owned();
        told.push_str(&turn.to_string());
        for path in ["", "/plan", "/history", "/turns/1", "/replay"] {
            told.push_str(&server.try_get(&format!("/v1/conversations/{conversation}{path}")).unwrap().1);
        }
        told.push_str(&server.cli(&["events", &conversation, "--json"]));
    }
    for path in ["/metrics", "/admin/v1/actors", "/openapi.json"] {
        told.push_str(&server.try_get(path).unwrap().1);
    }
    for asked in stub.requests() {
        assert_eq!(asked.header("authorization"), Some(format!("Bearer {CANARY}").as_str()));
        told.push_str(&String::from_utf8_lossy(&asked.body));
    }
    let options = server.options.clone();
    server.stop();
    told.push_str(&said(&server.process));
    contents(&server.data.path().join("data"), &mut told);
    for command in [&["config", "show"][..], &["doctor"]] {
        let process = launch(&server.data, command, &options);
        let _ = process.wait_exit(crate::world::PATIENCE);
        told.push_str(&said(&process));
    }
    assert!(told.contains("It is 4.") && told.contains("(secret)") && told.contains("refused the API key"));
    for canary in [CANARY, WEATHER_CANARY] {
        assert!(!told.contains(canary), "…{}", &told[told.find(canary).unwrap_or(0).saturating_sub(300)..]);
    }
}
