//! What comes of a call: results, errors by what they say, and effects that nobody can tell of.

use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_testkit::mcp::require;
use serde_json::{Value, json};

use crate::world::{Scripted, attempt, find};

fn is(error: &ToolError, kind: &str, retryable: bool, word: &str) {
    assert_eq!((&*error.kind, error.retryable), (kind, retryable), "{error:?}");
    assert!(error.message.contains(word) && error.message.starts_with("it_"), "{word:?}: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_carries_the_effect_id_and_brings_a_result() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({})).await;
    assert_eq!(it.call("echo", "hello").await.unwrap(), json!("hello"));
    let meta = it.call("meta", Value::Null).await.unwrap();
    assert_eq!(meta["io.callboard/idempotency-key"], json!("conversation:command:1:step"), "{meta}");
    assert_eq!(meta["io.callboard/attempt"], json!(1));
    let big = it.call("big", 1_000_000).await.unwrap();
    assert_eq!((&big["cut"], &big["bytes"]), (&json!(true), &json!(1_000_000)));
    assert!(big.to_string().len() <= 128 * 1_024);
    let wrong = find(&it.servers, "it_echo").unwrap().call(attempt(&json!([1]), 5_000)).await.unwrap_err();
    assert_eq!((&*wrong.kind, wrong.retryable), ("invalid_arguments", false), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_about_a_failure_is_told_by_the_tools_class() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({})).await;
    is(&it.call("fail", 0).await.unwrap_err(), "refused", true, "the disk is full");
    is(&it.call("fail_unsafe", 0).await.unwrap_err(), "refused", false, "the disk is full");
    is(&it.call("misused", 0).await.unwrap_err(), "refused", false, "Input validation");
    // Of the request: it was not carried out. Of anything else: who knows.
    is(&it.call("error", -32602).await.unwrap_err(), "refused", false, "as told");
    is(&it.call("error", -32603).await.unwrap_err(), "in_doubt", false, "may have been carried out");
    is(&it.call("odd", 0).await.unwrap_err(), "in_doubt", false, "no result of a tool");
    // A tool that is gone from the server, though not yet from here.
    let echo = find(&it.servers, "it_echo").unwrap();
    it.call("forget", "echo").await.unwrap();
    let error = echo.call(attempt(&json!({}), 5_000)).await.unwrap_err();
    is(&error, "refused", false, "Unknown tool: echo");
    assert_eq!(it.status().generation, 1, "none of this is a reason to start it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_a_call_leaves_an_unsafe_one_in_doubt_and_comes_back() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({})).await;
    is(&it.call("die", 0).await.unwrap_err(), "unavailable", true, "closed the connection");
    // The next call waits for the next life.
    assert_eq!(it.call("echo", 1).await.unwrap(), json!("1"));
    is(&it.call("die_unsafe", 0).await.unwrap_err(), "in_doubt", false, "may have been carried out");
    assert_eq!(it.call("send", 1).await.unwrap(), json!("sent"));
    let status = it.until("a third life", |status| status.generation == 3 && status.pid.is_some()).await;
    assert_eq!(status.problem, None);
    assert_eq!(it.notes().iter().filter(|note| note.starts_with("sent")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_answer_ends_in_time_and_the_server_is_told() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({})).await;
    let hang = |tool: &str| {
        let tool = find(&it.servers, &format!("it_{tool}")).unwrap();
        async move { tool.call(attempt(&json!({}), 300)).await.unwrap_err() }
    };
    is(&hang("hang").await, "timeout", true, "300 ms");
    it.noted("cancelled ").await;
    is(&hang("hang_unsafe").await, "in_doubt", false, "300 ms");
    // Whoever gives a call up tells the server too.
    let before = it.notes().iter().filter(|note| note.starts_with("cancelled")).count();
    let slow = find(&it.servers, "it_slow").unwrap();
    let given_up = tokio::time::timeout(
        Duration::from_millis(300),
        slow.call(attempt(&json!({ "value": 60_000 }), 60_000)),
    );
    assert!(given_up.await.is_err());
    let told = || it.notes().iter().filter(|note| note.starts_with("cancelled")).count() > before;
    callboard_testkit::wait::until_async(crate::world::PATIENCE, "the server is told", async || told())
        .await
        .unwrap();
    assert_eq!(it.status().generation, 1, "it answers pings: it lives on");
    assert_eq!(it.call("echo", 1).await.unwrap(), json!("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_it_takes_at_once_wait_and_are_never_in_doubt() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({ "concurrency": 1 })).await;
    let slow = find(&it.servers, "it_slow").unwrap();
    let first = tokio::spawn(async move { slow.call(attempt(&json!({ "value": 1_500 }), 20_000)).await });
    it.noted("call slow").await;
    assert_eq!(it.status().calls, 1);
    let send = find(&it.servers, "it_send").unwrap();
    let error = send.call(attempt(&json!({ "value": 1 }), 200)).await.unwrap_err();
    is(&error, "unavailable", true, "concurrency");
    assert_eq!(send.call(attempt(&json!({ "value": 2 }), 20_000)).await.unwrap().to_value(), json!("sent"));
    assert_eq!(first.await.unwrap().unwrap().to_value(), json!("at last"));
    assert!(!it.notes().contains(&"sent 1".to_owned()), "what was not taken was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gets_its_own_environment_and_its_secrets_come_back_from_nobody() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({ "env": { "TOKEN": "scripted-secret", "LEVEL": "2" } })).await;
    let env = it.call("env", Value::Null).await.unwrap();
    assert_eq!((&env["TOKEN"], &env["LEVEL"]), (&json!("(secret)"), &json!("2")), "{env}");
    assert!(env["PATH"].is_string() && env["HOME"].is_string(), "{env}");
    let known = ["TOKEN", "LEVEL"].iter().chain(callboard_mcp::INHERITED);
    let known: Vec<&str> = known.copied().collect();
    let strange: Vec<&String> =
        env.as_object().unwrap().keys().filter(|name| !known.contains(&name.as_str())).collect();
    assert_eq!(strange, Vec::<&String>::new(), "nothing else of our environment reaches it");
    assert_eq!(it.call("echo", "a scripted-secret b").await.unwrap(), json!("a (secret) b"));
}
