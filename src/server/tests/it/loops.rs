//! The loop: a plan that says `then: continue` is followed by another one, made with its results in sight. The model is a
//! stub that searches, reads what it found, and fetches what that names.

use callboard_testkit::stubs::OpenAi;
use serde_json::{Value, json};

use crate::world::{Options, Server};

fn plan(steps: &[(&str, &str, Value)], then: &str) -> String {
    let step = |(id, tool, arguments): &(&str, &str, Value)| json!({ "id": id, "tool": tool, "arguments": arguments.to_string(), "depends_on": [], "on_failure": "fail" });
    json!({ "steps": steps.iter().map(step).collect::<Vec<_>>(), "then": then, "guidance": "" }).to_string()
}

/// What stands between `from` and `to` in a text.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(found, _)| found)
}

/// A model that looks for a formula, and calculates what it finds. It never knows more than it is told.
fn researcher() -> OpenAi {
    let stub = OpenAi::start().unwrap();
    stub.respond_with(|request| {
        let told = request["messages"].to_string();
        let formula = between(&told, "the formula is ", ".");
        if request.get("response_format").is_some_and(|format| !format.is_null()) {
            return match formula {
                None => plan(&[("search", "echo", json!({ "text": "the formula is 6*7." }))], "continue"),
                Some(formula) => plan(&[("fetch", "math", json!({ "expression": formula }))], "answer"),
            };
        }
        let seen = formula.is_some() && told.contains("42");
        if seen { "The formula 6*7 gives 42.".to_owned() } else { format!("Not enough was told: {told}") }
    });
    stub
}

fn planned_by(stub: &OpenAi) -> Options {
    Options::default()
        .env("CALLBOARD__PLANNER__ORDER", r#"["openai"]"#)
        .env("CALLBOARD__MODELS__OPENAI__BASE_URL", format!("{}/v1", stub.url()))
        .env("CALLBOARD__MODELS__OPENAI__API_KEY", "sk-stub")
}

#[test]
fn search_read_the_result_and_fetch_what_it_names() {
    let stub = researcher();
    let server = Server::start(planned_by(&stub));
    let turn = server.ask("What does the formula come to?");
    assert_eq!(turn["answer"], "The formula 6*7 gives 42.", "{turn}");
    let conversation = turn["conversation_id"].as_str().unwrap();
    let plans = server.get(&format!("/v1/conversations/{conversation}/turns/1/plans"));
    let told: Vec<Value> = plans["plans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plan| {
            let steps = plan["steps"].as_array().unwrap().iter();
            let steps: Vec<Value> = steps.map(|step| json!([step["tool"], step["status"]])).collect();
            json!([plan["version"], plan["versions"], plan["reason"], steps])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([[1, 2, "first", [["echo", "done"]]], [2, 2, "continue", [["math", "done"]]]]),
        "{plans}"
    );
    let first = server.get(&format!("/v1/conversations/{conversation}/turns/1/plan?version=1"));
    assert_eq!(first, plans["plans"][0]);
    let shown = server.cli(&["inspect", conversation]);
    for words in ["version 1", "version 2", "asked for again (continue)", "6*7"] {
        assert!(shown.contains(words), "{words:?} is missing in {shown}");
    }
    server.cli(&["verify"]);
}

#[test]
fn a_conversation_that_has_spent_its_tokens_is_refused_also_after_a_kill() {
    let stub = researcher();
    let server = Server::start(planned_by(&stub).env("CALLBOARD__TURNS__TOKEN_BUDGET", "1"));
    let ask = |server: &Server, n: u32| {
        let body =
            json!({ "message": format!("What does formula {n} come to?"), "conversation_id": "budget" });
        let (status, turn, _) = server.post("/v1/chat", &[("Prefer", "wait=60")], body.to_string());
        assert_eq!(status, 200, "{turn}");
        turn
    };
    let turn = ask(&server, 1);
    assert_eq!(turn["error"]["code"], "token_budget", "the second plan of the loop is refused: {turn}");
    let seen = server.get("/v1/conversations/budget");
    let used = seen["tokens_used"].as_u64().unwrap();
    assert!(used > 1 && seen["token_budget"] == 1, "{seen}");
    let asked = stub.hits_of("/v1/chat/completions");
    let server = server.kill_and_restart();
    let turn = ask(&server, 2);
    assert_eq!(turn["error"]["code"], "token_budget", "{turn}");
    assert_eq!(stub.hits_of("/v1/chat/completions"), asked, "no model was asked");
    assert_eq!(server.get("/v1/conversations/budget")["tokens_used"], used);
}
