//! From a server's list to what is offered: names, classes, schemas, what is left out, and lists that change.

use callboard_domain::plan::EffectClass;
use callboard_testkit::mcp::require;
use serde_json::json;

use crate::world::{PATIENCE, Scripted, until_offered};

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_offered_with_what_the_hints_say() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({ "pool": "own", "timeout_ms": 1_234 })).await;
    let class = |tool: &str| it.spec(tool).unwrap_or_else(|| panic!("no {tool}")).effect;
    assert_eq!(class("echo"), EffectClass::Pure);
    assert!(!it.spec("echo").unwrap().policy().needs_approval);
    assert_eq!(class("put"), EffectClass::Idempotent, "done twice it is done once, destructive or not");
    assert_eq!(class("append"), EffectClass::Unsafe, "adding twice adds twice");
    assert_eq!(class("send"), EffectClass::Unsafe, "who says nothing may do anything");
    let spec = it.spec("echo").unwrap();
    assert_eq!((&*spec.pool, spec.timeout_ms, &*spec.description), ("own", 1_234, "the tool echo"));
    let description = it.spec("long").unwrap().description;
    assert!(description.len() <= 1_024 && description.ends_with("é…") && !description.contains('\u{7}'));
    let status = it.status();
    let left_out = |word: &str, why: &str| {
        let said = status.left_out.iter().any(|line| line.contains(word) && line.contains(why));
        assert!(said, "{word}, {why}: {:?}", status.left_out);
    };
    left_out("tool no schema", "does not compile");
    left_out("tool far", "does not compile");
    left_out("tool a/b", "another one is called it_a_b too");
    left_out("tool xxxx", "at most 64");
    assert_eq!(status.left_out.len(), 4, "{:?}", status.left_out);
    assert!(it.spec("a_b").is_some() && it.spec("no_schema").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_chooses_tools_and_knows_their_classes_better() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({
        "tools": ["echo", "send", "gone"],
        "approval": true,
        "effect": "unsafe",
        "effects": { "send": "idempotent", "gone": "pure" }
    }))
    .await;
    let status = it.status();
    assert_eq!(status.tools.iter().map(|name| &**name).collect::<Vec<_>>(), ["it_echo", "it_send"]);
    assert_eq!(it.spec("echo").unwrap().effect, EffectClass::Unsafe);
    assert!(it.spec("echo").unwrap().policy().needs_approval);
    assert_eq!(it.spec("send").unwrap().effect, EffectClass::Idempotent);
    assert_eq!(status.left_out.len(), 2, "{:?}", status.left_out);
    assert!(status.left_out[0].starts_with("mcp.it.tools names \"gone\""), "{:?}", status.left_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_changes_is_followed() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({})).await;
    let mut changed = it.servers.changed();
    changed.mark_unchanged();
    it.call("learn", "trick").await.unwrap();
    tokio::time::timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
    until_offered(&it.servers, "it_trick").await;
    assert_eq!(it.call("trick", 0).await.unwrap(), json!("new"));
    it.call("forget", "trick").await.unwrap();
    it.until("it is gone", |status| !status.tools.iter().any(|name| &**name == "it_trick")).await;
    assert!(it.servers.unlisted("it_trick").is_none(), "a tool that a server has listed no more is no tool");
    assert_eq!(it.status().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_a_server_that_has_not_listed_yet_is_not_unknown() {
    if !require() {
        return;
    }
    let it = Scripted::start("usual", json!({}));
    let early = it.servers.unlisted("it_send").expect("nothing is known of it yet");
    assert_eq!((&*early.spec().name, early.spec().effect), ("it_send", EffectClass::Pure));
    let error = early.call(crate::world::attempt(&json!({ "value": 1 }), 60_000)).await.unwrap_err();
    assert!(error.retryable && error.message.contains("yet to list"), "{error:?}");
    assert!(it.spec("send").is_some(), "the next attempt meets the tool");
    assert!(!it.notes().iter().any(|note| note.starts_with("call")), "nothing was sent");
}
