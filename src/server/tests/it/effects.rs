//! A step in doubt, settled by a person: seen, refused where it is nothing to settle, settled once, and in the log with who and
//! why. A step in back-off, tried at once.

use callboard_testkit::stubs::{Counter, Exchange};
use callboard_testkit::wait;
use serde_json::{Value, json};

use crate::world::{Options, PATIENCE, Server};

/// A server whose `webhook` calls a service that breaks half way, so that nobody knows.
fn in_doubt() -> (Server, Counter, String, String) {
    let counter = Counter::start().unwrap();
    let server = Server::start(Options::default().env("CALLBOARD__TOOLS__WEBHOOK__ALLOW", counter.url()));
    counter.fail_next(1, 500);
    let (conversation, _) = server.send(&format!("webhook {}/pay with hello", counter.url()));
    let effect = doubt(&server, &conversation);
    (server, counter, conversation, effect)
}

/// The effect id of the conversation's step, once it is in doubt.
fn doubt(server: &Server, conversation: &str) -> String {
    let look = || {
        let (status, body) = server.try_get(&format!("/v1/conversations/{conversation}/plan"))?;
        let plan: Value = serde_json::from_str(&body).ok()?;
        let step = plan["steps"].as_array()?.first()?.clone();
        (status == 200 && step["status"] == "in_doubt")
            .then(|| step["effect_id"].as_str().unwrap().to_owned())
    };
    match wait::until_some(PATIENCE, "the step is in doubt", look) {
        Ok(effect) => effect,
        Err(error) => panic!("{error}\n{}", server.process.tail()),
    }
}

fn settle(
    server: &Server,
    effect: &str,
    key: &str,
    body: &Value,
) -> (u16, Value, reqwest::header::HeaderMap) {
    let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("Idempotency-Key", key)] };
    server.post(&format!("/admin/v1/effects/{effect}/settle"), headers, body.to_string())
}

/// The settlements in a conversation's log.
fn settlements(server: &Server, conversation: &str) -> Vec<Value> {
    let events = server.events(conversation).into_iter();
    events
        .filter(|event| event["type"] == "InvocationSettled")
        .map(|event| event["payload"].clone())
        .collect()
}

#[test]
fn a_doubt_is_settled_once_with_who_and_why() {
    let (server, counter, conversation, effect) = in_doubt();
    let done =
        json!({ "outcome": "done", "result": { "paid": true }, "by": "anna", "why": "seen in the bank" });
    let (status, step, _) = settle(&server, &effect, "key-1", &done);
    assert_eq!(status, 200, "{step}");
    assert_eq!((&step["step"]["status"], &step["step"]["result"]["paid"]), (&json!("done"), &json!(true)));
    assert_eq!((&step["effect_id"], &step["turn"]), (&json!(effect), &json!(1)));
    // The same request again is the same settlement; another with its key is none; without the key it comes too late.
    let (status, again, headers) = settle(&server, &effect, "key-1", &done);
    assert_eq!((status, headers.get("idempotent-replayed").is_some()), (200, true), "{again}");
    assert_eq!(again, step);
    let not_done = json!({ "outcome": "not_done", "by": "anna" });
    let (status, problem, _) = settle(&server, &effect, "key-1", &not_done);
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")), "{problem}");
    let (status, problem, _) = settle(&server, &effect, "", &done);
    assert_eq!((status, &problem["code"], &problem["state"]), (409, &json!("not_in_doubt"), &json!("done")));
    let settled = settlements(&server, &conversation);
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_eq!((&settled[0]["by"], &settled[0]["why"]), (&json!("anna"), &json!("seen in the bank")));
    assert_eq!(settled[0]["settlement"], json!({ "done": { "paid": true } }));
    let command = effect.split(':').nth(1).unwrap();
    let turn = server.ended(&conversation, command);
    assert_eq!(turn["status"], "answered", "{turn}");
    assert_eq!(counter.executions(&effect), 0, "what was settled is never run again");
    server.cli(&["verify"]);
}

#[test]
fn what_was_not_done_is_run_again_and_the_command_line_says_so() {
    let (server, counter, conversation, effect) = in_doubt();
    let listed = server.cli(&["effects", "list"]);
    assert!(listed.contains(&effect) && listed.contains("webhook") && listed.contains("WHY"), "{listed}");
    let turns: Value =
        serde_json::from_str(&server.cli(&["turns", "--status", "in_doubt", "--json"])).unwrap();
    assert_eq!(turns["turns"][0]["in_doubt"], json!([effect]), "{turns}");
    let table = server.cli(&["turns", "--tool", "webhook"]);
    assert!(table.contains("in_doubt") && table.contains(&format!("settle {effect}")), "{table}");
    let (code, _, words) = server.cli_raw(&["effects", "settle", &effect, "--done", "paid", "--by", "ben"]);
    assert!(code == 2 && words.contains("no JSON"), "{code} {words}");
    let (code, _, words) = server.cli_raw(&["effects", "settle", &effect, "--not-done"]);
    assert!(code == 1 && words.contains("by"), "who says so is needed: {code} {words}");
    let another = ["effects", "settle", &effect, "--not-done", "--by", "ben", "--attempt", "2"];
    let (code, _, words) = server.cli_raw(&another);
    assert!(code == 1 && words.contains("attempt 1 is"), "a word on another attempt: {code} {words}");
    let said =
        server.cli(&["effects", "settle", &effect, "--not-done", "--by", "ben", "--why", "never arrived"]);
    assert!(said.contains(&conversation) && said.contains("turn 1"), "{said}");
    let command = effect.split(':').nth(1).unwrap();
    assert_eq!(server.ended(&conversation, command)["status"], "answered");
    assert_eq!(counter.executions(&effect), 1);
    assert_eq!(server.cli(&["effects", "list"]).trim(), "nothing is in doubt");
    let settled = settlements(&server, &conversation);
    assert_eq!((&settled[0]["by"], &settled[0]["settlement"]), (&json!("ben"), &json!("not_done")));
}

#[test]
fn a_doubt_survives_a_crash_and_can_be_settled_after_it() {
    let (server, _counter, conversation, effect) = in_doubt();
    let server = server.kill_and_restart();
    let doubts = server.get("/admin/v1/effects");
    assert_eq!(doubts["effects"][0]["effect_id"], json!(effect), "{doubts}");
    assert!(!doubts["effects"][0]["reason"].as_str().unwrap().is_empty(), "{doubts}");
    let (status, step, _) =
        settle(&server, &effect, "", &json!({ "outcome": "done", "result": null, "by": "anna" }));
    assert_eq!((status, &step["step"]["status"]), (200, &json!("done")), "{step}");
    assert_eq!(server.ended(&conversation, effect.split(':').nth(1).unwrap())["status"], "answered");
}

#[test]
fn what_cannot_be_settled_says_why() {
    let server = Server::start(Options::default());
    let turn = server.ask("echo x");
    let conversation = turn["conversation_id"].as_str().unwrap();
    let effect = server.plan(conversation)["steps"][0]["effect_id"].as_str().unwrap().to_owned();
    let done = json!({ "outcome": "done", "result": 1, "by": "anna" });
    let refused = |effect: &str, body: &Value, status: u16, code: &str, word: &str| {
        let (found, problem, _) = settle(&server, effect, "", body);
        assert_eq!((found, problem["code"].as_str().unwrap()), (status, code), "{effect} {body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{word:?}: {problem}");
    };
    refused(&effect, &done, 409, "not_in_doubt", "done");
    refused(&effect.replace("echo-1", "echo-9"), &done, 404, "unknown_effect", "echo-9");
    refused("nobody:k:1:s", &done, 404, "unknown_effect", "nobody");
    refused("no-effect", &done, 400, "invalid_id", "CONVERSATION:COMMAND:VERSION:STEP");
    refused("a%20b:k:1:s", &done, 400, "invalid_id", "CONVERSATION:COMMAND:VERSION:STEP");
    refused(&effect, &json!({ "outcome": "perhaps", "by": "a" }), 400, "invalid_field", "done");
    refused(&effect, &json!({ "outcome": "done", "by": "a" }), 400, "invalid_field", "result");
    refused(
        &effect,
        &json!({ "outcome": "not_done", "result": 1, "by": "a" }),
        400,
        "invalid_field",
        "result",
    );
    refused(&effect, &json!({ "outcome": "not_done" }), 400, "missing_field", "by");
    refused(&effect, &json!({ "outcome": "not_done", "by": " " }), 400, "invalid_field", "who");
    let large = json!({ "outcome": "done", "result": "x".repeat(300_000), "by": "a" });
    refused(&effect, &large, 400, "invalid_field", "262144");
    let (status, problem, _) =
        server.post(&format!("/admin/v1/effects/{effect}/retry-now"), &[], json!({}).to_string());
    assert_eq!((status, &problem["code"]), (409, &json!("not_in_backoff")), "{problem}");
    assert_eq!(problem["state"], "done");
    let kinds = server.kinds(conversation);
    assert!(!kinds.iter().any(|kind| kind == "CommandRefused"), "nothing was sent for it: {kinds:?}");
}

#[test]
fn a_step_in_back_off_is_tried_at_once() {
    let exchange = Exchange::start().unwrap();
    let server = Server::start(
        Options::default()
            .env("CALLBOARD__TOOLS__EXCHANGE__BASE_URL", exchange.url())
            .env("CALLBOARD__TOOLS__EXCHANGE__BACKOFF__INITIAL_MS", "600000")
            .env("CALLBOARD__TOOLS__EXCHANGE__BACKOFF__MAX_MS", "600000")
            .env("CALLBOARD__TOOLS__EXCHANGE__DEADLINE_MS", "3600000"),
    );
    exchange.fail_next(1, 503);
    let (conversation, command) = server.send("convert 100 EUR to USD");
    let look = || {
        let turns = server.get("/v1/turns?status=backing_off");
        turns["turns"][0]["backing_off"][0].as_str().map(str::to_owned)
    };
    let effect = wait::until_some(PATIENCE, "the step backs off", look).unwrap();
    let table = server.cli(&["turns"]);
    assert!(table.contains("backing_off") && table.contains("retry at"), "{table}");
    let said = server.cli(&["retry-now", &effect, "--by", "anna"]);
    assert!(said.contains(&conversation), "{said}");
    assert_eq!(server.ended(&conversation, &command)["status"], "answered");
    let advanced = server.events(&conversation).into_iter().find(|event| event["type"] == "RetryAdvanced");
    assert_eq!(advanced.unwrap()["payload"]["by"], "anna");
    assert_eq!(server.cli(&["turns"]).trim(), "nothing is open");
}
