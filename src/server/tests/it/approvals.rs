//! Approvals as people meet them: a step waits while the others finish, through a SIGKILL and out of memory; a person is
//! shown it and decides; what cannot be decided says why.

use callboard_testkit::wait;
use serde_json::{Value, json};

use crate::browser::{self, Browser};
use crate::world::{Options, PATIENCE, Server};

const PAY: &str = "echo pay 120; what is 6*7?";

/// `echo` needs approval here; idle conversations leave memory at once.
fn careful() -> Options {
    Options::default()
        .env("CALLBOARD__TOOLS__ECHO__APPROVAL", "true")
        .env("CALLBOARD__LIMITS__PASSIVATE_AFTER_MS", "200")
        .env("CALLBOARD__LIMITS__FLUSH_EVERY_MS", "100")
}

/// Asks, and gives conversation, command and effect once the step waits and the others are done.
fn waiting(server: &Server) -> (String, String, String) {
    let (conversation, command) = server.send(PAY);
    let look = || {
        let (status, body) = server.try_get(&format!("/v1/conversations/{conversation}/plan"))?;
        let plan: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        let steps = plan["steps"].as_array()?;
        let others_done = steps.iter().filter(|step| step["tool"] != "echo").all(|s| s["status"] == "done");
        let step = steps.iter().find(|step| step["status"] == "awaiting_approval")?;
        (steps.len() == 2 && others_done).then(|| step["effect_id"].as_str().unwrap().to_owned())
    };
    match wait::until_some(PATIENCE, "a step waits, and the other is done", look) {
        Ok(effect) => (conversation, command, effect),
        Err(error) => panic!("{error}\n{}", server.process.tail()),
    }
}

fn decide(server: &Server, effect: &str, body: &Value) -> (u16, Value) {
    let conversation = effect.split(':').next().unwrap();
    let path = format!("/v1/conversations/{conversation}/approvals/{effect}");
    let (status, answer, _) = server.post(&path, &[], body.to_string());
    (status, answer)
}

fn recorded(server: &Server, conversation: &str) -> Vec<Value> {
    let events = server.events(conversation).into_iter();
    events.filter(|event| event["type"] == "ApprovalRecorded").map(|event| event["payload"].clone()).collect()
}

pub fn given_after_a_kill(options: Options) {
    let server = Server::start(options);
    let (conversation, command, effect) = waiting(&server);
    let server = server.kill_and_restart();
    let out = || server.metric("callboard_conversations_live") < 0.5;
    wait::until(PATIENCE, "it waits without being in memory", out).unwrap();
    let listed = server.get("/v1/approvals");
    assert_eq!(listed["approvals"][0]["effect_id"], json!(effect), "{listed}");
    assert_eq!(listed["approvals"][0]["message"], PAY, "{listed}");
    let (status, step) = decide(&server, &effect, &json!({ "decision": "approve", "by": "anna" }));
    assert_eq!((status, &step["step"]["approved_by"]), (200, &json!("anna")), "{step}");
    let turn = server.ended(&conversation, &command);
    assert_eq!(turn["status"], "answered", "{turn}");
    let answer = turn["answer"].as_str().unwrap();
    assert!(answer.contains("pay 120") && answer.contains("42"), "{answer}");
    let kinds = server.kinds(&conversation);
    let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
    assert_eq!((count("ApprovalRequested"), count("ApprovalRecorded")), (1, 1), "{kinds:?}");
    // A step whose result was not committed when the process was killed may be run again; its first result counts.
    assert!(count("ToolInvocationResulted") >= 2, "{kinds:?}");
    assert_eq!(recorded(&server, &conversation)[0]["by"], "anna");
    server.cli(&["verify"]);
}

#[test]
fn an_approval_waits_across_a_sigkill_and_is_then_given() {
    given_after_a_kill(careful());
}

#[cfg(feature = "kafka")]
#[test]
fn an_approval_waits_across_a_sigkill_on_kafka() {
    let Some(cluster) = callboard_testkit::kafka::shared() else { return };
    let prefix = callboard_testkit::unique_name("approvals-");
    given_after_a_kill(careful().kafka(&cluster.bootstrap(), &prefix));
}

#[test]
fn what_runs_is_what_was_approved_and_the_command_line_lists_and_decides() {
    let server = Server::start(careful());
    let (conversation, command, effect) = waiting(&server);
    let listed = server.cli(&["approvals"]);
    assert!(listed.contains(&effect) && listed.contains("echo") && listed.contains("UNTIL"), "{listed}");
    let turns = server.cli(&["turns", "--status", "awaiting_approval"]);
    assert!(turns.contains(&format!("approve {effect}")), "{turns}");
    let waits = || server.metric("callboard_approvals_waiting") > 0.5;
    wait::until(PATIENCE, "the metrics say that one waits", waits).unwrap();
    let (code, _, words) = server.cli_raw(&["approvals", "approve", &effect, "--arguments", "pay 20"]);
    assert!(code == 2 && words.contains("no JSON"), "{code} {words}");
    let changed = r#"{"text":"pay 20"}"#;
    let said = server.cli(&[
        "approvals",
        "approve",
        &effect,
        "--arguments",
        changed,
        "--reason",
        "less",
        "--by",
        "ben",
    ]);
    assert!(said.starts_with("approved") && said.contains(&conversation), "{said}");
    let turn = server.ended(&conversation, &command);
    let answer = turn["answer"].as_str().unwrap();
    assert!(answer.contains("pay 20") && !answer.contains("pay 120"), "{answer}");
    let word = &recorded(&server, &conversation)[0];
    assert_eq!((&word["by"], &word["reason"]), (&json!("ben"), &json!("less")));
    assert_eq!(word["decision"], json!({ "approved_with": { "text": "pay 20" } }));
    assert_eq!(server.cli(&["approvals", "list"]).trim(), "nothing waits for approval");

    let (conversation, command, effect) = waiting(&server);
    let said = server.cli(&["approvals", "reject", &effect, "--reason", "too dear"]);
    assert!(said.starts_with("rejected") && said.contains("failed"), "{said}");
    let turn = server.ended(&conversation, &command);
    // The other step was done, so that there is something to answer.
    assert_eq!(turn["status"], "answered", "{turn}");
    assert!(turn["answer"].as_str().unwrap().contains("too dear"), "{turn}");
    assert_eq!(recorded(&server, &conversation)[0]["by"], "anonymous");
    let shown = server.cli(&["inspect", &conversation]);
    assert!(shown.contains("rejected it: too dear"), "{shown}");
    server.cli(&["verify"]);
}

#[test]
fn what_cannot_be_decided_says_why() {
    let server = Server::start(careful());
    let (conversation, command, effect) = waiting(&server);
    let yes = json!({ "decision": "approve" });
    let refused = |effect: &str, body: &Value, status: u16, code: &str, word: &str| {
        let (found, problem) = decide(&server, effect, body);
        assert_eq!((found, problem["code"].as_str().unwrap()), (status, code), "{effect} {body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{word:?}: {problem}");
    };
    let done =
        server.plan(&conversation)["steps"].as_array().unwrap().iter().find_map(|step| {
            (step["tool"] != "echo").then(|| step["effect_id"].as_str().unwrap().to_owned())
        });
    refused(&done.unwrap(), &yes, 409, "not_awaiting_approval", "done");
    refused(&effect.replace("echo-1", "echo-9"), &yes, 404, "unknown_effect", "echo-9");
    refused("nobody:k:1:s", &yes, 404, "unknown_effect", "nobody");
    refused("no-effect", &yes, 400, "invalid_id", "CONVERSATION:COMMAND:VERSION:STEP");
    refused(&effect, &json!({}), 400, "missing_field", "decision");
    refused(&effect, &json!({ "decision": "perhaps" }), 400, "invalid_field", "approve");
    refused(&effect, &json!({ "decision": "approve", "args": {} }), 400, "unknown_field", "args");
    refused(
        &effect,
        &json!({ "decision": "reject", "arguments": {} }),
        400,
        "invalid_field",
        "leave them out",
    );
    refused(&effect, &json!({ "decision": "approve", "arguments": [1] }), 400, "invalid_field", "object");
    refused(&effect, &json!({ "decision": "approve", "by": " " }), 400, "invalid_field", "who");
    let other = json!({ "decision": "approve", "arguments": { "txt": "x" } });
    refused(&effect, &other, 422, "invalid_arguments", "echo");
    let reference = json!({ "decision": "approve", "arguments": { "text": "${math-2}" } });
    refused(&effect, &reference, 422, "invalid_arguments", "refer to nothing");
    let (status, problem, _) =
        server.post(&format!("/v1/conversations/other/approvals/{effect}"), &[], yes.to_string());
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_effect")), "{problem}");
    let kinds = server.kinds(&conversation);
    assert!(!kinds.iter().any(|kind| kind == "CommandRefused"), "nothing was sent for it: {kinds:?}");

    // One key, one word.
    let path = format!("/v1/conversations/{conversation}/approvals/{effect}");
    let key: &[(&str, &str)] = &[("Idempotency-Key", "word-1")];
    let (status, step, _) = server.post(&path, key, yes.to_string());
    assert_eq!(status, 200, "{step}");
    let (status, _, headers) = server.post(&path, key, yes.to_string());
    assert_eq!((status, headers.get("idempotent-replayed").is_some()), (200, true));
    let (status, problem, _) = server.post(&path, key, json!({ "decision": "reject" }).to_string());
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")), "{problem}");
    assert_eq!(server.ended(&conversation, &command)["status"], "answered");
    refused(&effect, &yes, 409, "not_awaiting_approval", "done");
}

#[test]
fn nobody_answers_in_time() {
    let options = careful().env("CALLBOARD__TOOLS__ECHO__APPROVAL_TIMEOUT_MS", "1500");
    let server = Server::start(options);
    let (conversation, command, effect) = waiting(&server);
    let turn = server.ended(&conversation, &command);
    assert_eq!(turn["status"], "answered", "{turn}");
    let plan = server.get(&format!("/v1/conversations/{conversation}/plan"));
    assert!(plan["steps"].to_string().contains("approval_timeout"), "{plan}");
    let (status, problem) = decide(&server, &effect, &json!({ "decision": "approve" }));
    assert_eq!((status, &problem["state"]), (409, &json!("failed")), "{problem}");
}

#[test]
fn a_setting_that_makes_no_sense_is_refused() {
    for (name, value, words) in [
        ("CALLBOARD__TOOLS__ECHO__APPROVAL_TIMEOUT_MS", "1500", "approval = true"),
        ("CALLBOARD__TOOLS__ECHO__APPROVAL", "perhaps", "tools.echo.approval"),
        ("CALLBOARD__TURNS__TOKEN_BUDGET", "0", "turns.token_budget"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let process = crate::world::launch(&data, &["serve"], &Options::default().env(name, value));
        let code = process.wait_exit(PATIENCE).unwrap().code();
        assert_eq!(code, Some(2), "{name}: {}", process.tail());
        assert!(process.tail().contains(words), "{name}: {}", process.tail());
    }
}

#[test]
fn the_page_shows_what_waits_and_takes_the_word() {
    if !browser::available() {
        return;
    }
    let server = Server::start(careful());
    let (conversation, command, effect) = waiting(&server);
    let page = Browser::start("approvals");
    page.open(&server.url);
    let card = format!("document.querySelector('#approvals > li[data-effect={effect:?}]')");
    let there = || page.value(&format!("{card} !== null")) == json!(true);
    wait::until(PATIENCE, "the page shows it", there).unwrap();
    page.value(&format!("({card}.querySelector('.arguments').value = '{{\"text\":\"pay 5\"}}', 1)"));
    page.value(&format!("({card}.querySelector('button').click(), 1)"));
    let turn = server.ended(&conversation, &command);
    assert!(turn["answer"].as_str().unwrap().contains("pay 5"), "{turn}");
    let gone = || page.value("document.getElementById('approvals-box').hidden") == json!(true);
    wait::until(PATIENCE, "nothing waits any more", gone).unwrap();
}

/// The examples of `docs/approvals.md`, as somebody would type them.
#[test]
fn the_examples_of_the_page_on_approvals_run() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/approvals.md");
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = |language: &str| -> Vec<String> {
        let fence = format!("```{language}\n");
        text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
    };
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("page.toml");
    std::fs::write(&config, blocks("toml").concat()).unwrap();
    let options = Options::default().arg("--config").arg(config.to_str().unwrap());
    let server = Server::start_in(data, options);
    let bin = server.data.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let wrapper =
        format!("#!/bin/sh\nexec {} \"$@\" --server {}\n", env!("CARGO_BIN_EXE_callboard"), server.url);
    let callboard = bin.join("callboard");
    std::fs::write(&callboard, wrapper).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&callboard, mode).unwrap();
    let script = format!("set -eu\n{}", blocks("sh").concat().replace("http://127.0.0.1:8080", &server.url));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = std::process::Command::new("bash").args(["-c", &script]).env("PATH", path).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{}", server.process.tail());
    for words in ["pay 20", "rejected it: too dear", "expires_at"] {
        assert!(said.contains(words), "{words:?} is missing in {said}");
    }
    let kinds = server.kinds("shop");
    assert_eq!(kinds.iter().filter(|kind| *kind == "ApprovalRecorded").count(), 2, "{kinds:?}");
}
