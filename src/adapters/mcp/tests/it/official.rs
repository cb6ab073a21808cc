//! Official servers from npm: files over standard streams, a tool of every kind over streamable HTTP.

use std::collections::BTreeSet;

use callboard_domain::plan::EffectClass;
use callboard_mcp::Phase;
use callboard_testkit::mcp::{HttpServer, NODE, Packages, require};
use callboard_testkit::wait::until_async;
use serde_json::json;

use crate::world::{PATIENCE, attempt, call, config, find, start, until_offered};

#[tokio::test(flavor = "multi_thread")]
async fn files_over_standard_streams() {
    if !require() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    std::fs::write(path.join("note.txt"), "the safe is behind the picture").unwrap();
    let script = Packages::ensure().unwrap().filesystem();
    let servers = start([("files", config(json!({ "command": NODE, "args": [script, path] })))]);
    let read = until_offered(&servers, "files_read_text_file").await;
    assert_eq!((read.spec().effect, &*read.spec().pool), (EffectClass::Pure, "mcp-files"));
    let class = |name: &str| find(&servers, name).unwrap().spec().effect;
    assert_eq!(class("files_write_file"), EffectClass::Idempotent);
    assert_eq!(class("files_move_file"), EffectClass::Unsafe);
    let note = json!({ "path": path.join("note.txt") });
    let result = call(&servers, "files_read_text_file", note, 20_000).await.unwrap();
    assert_eq!(result["content"], json!("the safe is behind the picture"), "{result}");
    let none = json!({ "path": path.join("none.txt") });
    let error = call(&servers, "files_read_text_file", none, 20_000).await.unwrap_err();
    assert!(error.message.contains("ENOENT"), "{error:?}");
    let elsewhere = json!({ "path": "/etc/hostname" });
    let error = call(&servers, "files_read_text_file", elsewhere, 20_000).await.unwrap_err();
    assert!(error.message.contains("denied"), "{error:?}");
    servers.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_every_kind_over_standard_streams() {
    if !require() {
        return;
    }
    let script = Packages::ensure().unwrap().everything();
    let servers = start([("every", config(json!({ "command": NODE, "args": [script, "stdio"] })))]);
    every_kind(&servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_every_kind_over_http_and_the_server_may_be_killed() {
    if !require() {
        return;
    }
    let mut server = HttpServer::start().unwrap();
    let written = json!({ "url": server.url(), "headers": { "Authorization": "Bearer canary-token" } });
    let servers = start([("every", config(written))]);
    every_kind(&servers).await;
    // In a call, with an effect: nobody knows what became of it.
    let toggle = find(&servers, "every_trigger-long-running-operation").unwrap();
    let long = json!({ "duration": 60, "steps": 60 });
    let under_way = tokio::spawn(async move { toggle.call(attempt(&long, 120_000)).await });
    until_async(PATIENCE, "the call is under way", async || servers.status()[0].calls == 1).await.unwrap();
    server.kill().unwrap();
    let error = under_way.await.unwrap().unwrap_err();
    assert!(error.retryable && &*error.kind == "unavailable", "a reading tool may be asked again: {error:?}");
    let down = || servers.status()[0].phase != Phase::Up;
    until_async(PATIENCE, "it is seen to be down", async || down()).await.unwrap();
    let error = call(&servers, "every_echo", json!({ "message": "x" }), 500).await.unwrap_err();
    assert!(error.retryable && error.message.contains("has not taken the call"), "{error:?}");
    server.restart().unwrap();
    let sum = call(&servers, "every_get-sum", json!({ "a": 2, "b": 3 }), 120_000).await.unwrap();
    assert!(sum.as_str().unwrap().contains('5'), "{sum}");
    assert!(servers.status()[0].generation >= 2);
    servers.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_http_server_does_not_know_the_session_and_nothing_is_in_doubt() {
    if !require() {
        return;
    }
    let mut server = HttpServer::start().unwrap();
    let servers = start([("every", config(json!({ "url": server.url() })))]);
    // Nothing is said about its effects that would make it harmless.
    until_offered(&servers, "every_toggle-simulated-logging").await;
    server.kill().unwrap();
    server.restart().unwrap();
    let toggle = find(&servers, "every_toggle-simulated-logging").unwrap();
    assert_eq!(toggle.spec().effect, EffectClass::Unsafe);
    let mut refusals = BTreeSet::new();
    let toggled = async || match toggle.call(attempt(&json!({}), 20_000)).await {
        Ok(_) => true,
        Err(error) => {
            assert!(error.retryable, "it was not taken: {error:?}");
            refusals.insert(error.message.to_string());
            false
        }
    };
    let mut toggled = toggled;
    until_async(PATIENCE, "the call is taken", async || toggled().await).await.unwrap();
    assert!(servers.status()[0].generation >= 2, "{refusals:?}");
}

async fn every_kind(servers: &callboard_mcp::McpServers) {
    until_offered(servers, "every_get-structured-content").await;
    let result = call(servers, "every_echo", json!({ "message": "hello" }), 20_000).await.unwrap();
    assert!(result.as_str().unwrap().contains("hello"), "{result}");
    let place = json!({ "location": "New York" });
    let weather = call(servers, "every_get-structured-content", place, 20_000).await.unwrap();
    assert!(weather["temperature"].is_number() && weather["conditions"].is_string(), "{weather}");
    let image = call(servers, "every_get-tiny-image", json!({}), 20_000).await.unwrap();
    let kinds: Vec<_> =
        image["content"].as_array().unwrap().iter().map(|block| block["type"].clone()).collect();
    assert!(kinds.contains(&json!("image")) && !image.to_string().contains("iVBOR"), "{image}");
    let links = call(servers, "every_get-resource-links", json!({ "count": 2 }), 20_000).await.unwrap();
    assert!(links.to_string().contains("resource_link"), "{links}");
    let error = call(servers, "every_get-sum", json!({ "a": "x" }), 20_000).await.unwrap_err();
    assert!(!error.retryable && &*error.kind == "refused", "wrong arguments stay wrong: {error:?}");
}
