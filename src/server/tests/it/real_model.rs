//! A real language model plans and answers: valid plans, durable turns, honest accounts, through a killed model server. What
//! a model of this size says is not judged.

use callboard_testkit::real_model::{self, MODEL_NAME, RealModel};
use serde_json::{Value, json};

use crate::listener::{Event, Listener, answer, names};
use crate::world::{Options, Server};

/// A dead Ollama first, then the model; agents whose tools are few, since a small model reads slowly.
fn config(model: &RealModel) -> String {
    format!(
        r#"
planner.order = ["ollama", "openai"]
turns.planning_timeout_ms = 240000
turns.synthesis_timeout_ms = 240000
[models.ollama]
base_url = "http://127.0.0.1:{dead}"
[models.openai]
base_url = "{base}"
model = "{MODEL_NAME}"
max_tokens = 220
timeout_ms = 200000
first_token_timeout_ms = 120000
between_tokens_timeout_ms = 60000
[agents.talker]
instructions = "You tell stories."
tools = []
[agents.parrot]
instructions = "You repeat what you are told."
tools = ["echo"]
"#,
        dead = callboard_testkit::ports::free_port(),
        base = model.base_url(),
    )
}

fn start(model: &RealModel) -> Server {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("callboard.toml"), config(model)).unwrap();
    Server::start_in(data, Options::default().env("CALLBOARD__PLANNER__ORDER", "ollama,openai"))
}

/// Asks, and hears all of the answer; gives the conversation and what was heard.
fn heard(server: &Server, agent: &str, message: &str) -> (String, Vec<Event>) {
    let events = Listener::ask(server, &json!({ "message": message, "agent": agent }), &[]).rest();
    (answered(server, &events), events)
}

/// The conversation of a stream that ended with an answer, which is what its pieces say.
fn answered(server: &Server, events: &[Event]) -> String {
    let done = events.last().filter(|event| event.name == "done");
    let done = done.unwrap_or_else(|| panic!("{:?}\n{}", names(events), server.process.tail()));
    assert_eq!(done.data["status"], "answered", "{done:?}\n{}", server.process.tail());
    let said = done.data["answer"].as_str().unwrap();
    assert!(!said.trim().is_empty(), "{done:?}");
    assert_eq!(answer(events).trim(), said.trim());
    done.data["conversation_id"].as_str().unwrap().to_owned()
}

fn payload(server: &Server, conversation: &str, kind: &str) -> Value {
    let events = server.events(conversation);
    let found = events.iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {events:?}"))["payload"].clone()
}

/// Who was asked in vain: `ollama: unavailable`.
fn in_vain(payload: &Value) -> Vec<String> {
    let failed = payload["models"]["failed"].as_array().unwrap();
    let word = |call: &Value, name: &str| call[name].as_str().unwrap().to_owned();
    failed.iter().map(|call| format!("{}: {}", word(call, "provider"), word(call, "kind"))).collect()
}

/// The model's own work, with what it cost.
fn is_the_models(payload: &Value, author: &str) {
    assert_eq!(payload[author]["provider"], "openai", "{payload}");
    assert_eq!(payload[author]["model"], MODEL_NAME, "{payload}");
    let models = &payload["models"];
    for counted in ["calls", "latency_ms", "input_tokens", "output_tokens"] {
        assert!(models[counted].as_u64().unwrap() > 0, "{counted}: {payload}");
    }
}

#[test]
fn a_real_model_plans_and_answers_and_its_death_in_mid_answer_loses_no_turn() {
    if !real_model::require() {
        return;
    }
    let mut model = RealModel::start(&real_model::Options::default()).unwrap();
    let server = start(&model);

    // Planned, and answered word by word, by the model; the Ollama that is named first is dead, and the record says so.
    let (first, events) = heard(&server, "talker", "Who lives in the sea?");
    assert!(names(&events).iter().filter(|name| **name == "answer").count() > 1, "{:?}", names(&events));
    let plan = payload(&server, &first, "PlanGenerated");
    is_the_models(&plan, "planner");
    assert_eq!(plan["steps"].as_array().unwrap().len(), 0, "an agent without tools plans none: {plan}");
    let asked = in_vain(&plan);
    assert!(!asked.is_empty() && asked.iter().all(|call| call.starts_with("ollama: ")), "{plan}");
    is_the_models(&payload(&server, &first, "FinalAnswerSynthesized"), "synthesizer");

    // With a tool the plan is valid, or it was refused and somebody else planned; nothing else is in the log.
    let (tooled, _) = heard(&server, "parrot", "Repeat: the board knows.");
    let plan = payload(&server, &tooled, "PlanGenerated");
    assert!(plan["steps"].as_array().unwrap().iter().all(|step| step["tool"] == "echo"), "{plan}");
    if plan["planner"]["provider"] != "openai" {
        assert!(in_vain(&plan).iter().any(|call| call.starts_with("openai: ")), "{plan}");
    }

    // Killed in the middle of its answer: what it said is void, and whoever is left answers.
    let story =
        json!({ "message": "Tell me a long story about a ship that never came home.", "agent": "talker" });
    let mut listener = Listener::ask(&server, &story, &[]);
    let mut events: Vec<Event> = Vec::new();
    while events.last().is_none_or(|event| event.name != "answer") {
        events.push(listener.next().unwrap_or_else(|| panic!("{events:?}\n{}", server.process.tail())));
    }
    model.kill().unwrap();
    events.extend(listener.rest());
    let broken = answered(&server, &events);
    assert!(names(&events).contains(&"answer_restarted"), "{:?}", names(&events));
    let written = payload(&server, &broken, "FinalAnswerSynthesized");
    assert_eq!(written["synthesizer"]["provider"], "builtin", "{written}");
    assert!(in_vain(&written).iter().any(|call| call.starts_with("openai: ")), "{written}");

    // Back again, it is asked again.
    model.restart().unwrap();
    let (again, _) = heard(&server, "talker", "And who lives in the woods?");
    is_the_models(&payload(&server, &again, "FinalAnswerSynthesized"), "synthesizer");

    // All of it is in the log, whatever happens to the process.
    let conversations = [first, tooled, broken, again];
    let before: Vec<Vec<Value>> = conversations.iter().map(|id| server.events(id)).collect();
    let server = server.kill_and_restart();
    let after: Vec<Vec<Value>> = conversations.iter().map(|id| server.events(id)).collect();
    assert_eq!(before, after);
    server.cli(&["verify"]);
}
