//! `deposit` is reconcilable: what a lost answer leaves open, its probe finds out.

use callboard_domain::plan::EffectClass;
use callboard_ports::tool::{Probe, ToolRegistry};
use callboard_testkit::stubs::Counter;
use serde_json::{Value, json};

use crate::wire::{Manner, Wire, nobody};
use crate::world::{KEY, call, call_of, kind, registry};

fn config(base: &str) -> Value {
    json!({"deposit": {"base_url": base, "timeout_ms": 1_000}})
}

async fn probe(config: Value, arguments: Value) -> Probe {
    let tool = registry(config).tool("deposit").unwrap();
    tool.probe(call_of(&*tool, &arguments, 1)).await
}

#[tokio::test]
async fn a_text_is_left_under_the_effects_own_name() {
    let counter = Counter::start().unwrap();
    let registry = registry(config(&counter.url()));
    let result = call(&registry, "deposit", json!({"text": "coin 1"})).await.unwrap();
    assert_eq!(result, json!({"status": 200, "body": {"n": 1, "document": {"text": "coin 1"}}}));
    let sent = counter.requests().pop().unwrap();
    assert_eq!((&*sent.method, sent.header("if-none-match")), ("PUT", Some("*")));
    assert_eq!(counter.executions(KEY), 1);
    assert_eq!(registry.tool("deposit").unwrap().spec().effect, EffectClass::Reconcilable);
}

#[tokio::test]
async fn the_service_may_be_named_where_it_is_allowed() {
    let counter = Counter::start().unwrap();
    let elsewhere = json!({"text": "a", "url": format!("{}/below/?query=1#part", counter.url())});
    let refused = call(&registry(config(&nobody())), "deposit", elsewhere.clone()).await;
    assert_eq!(kind(&refused), ("refused", false));
    assert!(refused.unwrap_err().message.contains("tools.deposit.allow"));
    let unnamed = call(&registry(json!({})), "deposit", json!({"text": "a"})).await;
    assert_eq!(kind(&unnamed), ("invalid_arguments", false));
    assert!(unnamed.unwrap_err().message.contains("tools.deposit.base_url"));
    assert_eq!(counter.hits(), 0);

    let allowing = registry(json!({"deposit": {"allow": [counter.url()]}}));
    // The counter has no such path, which is enough to see where it went.
    assert_eq!(kind(&call(&allowing, "deposit", elsewhere).await), ("refused", false));
    assert_eq!(counter.requests().pop().unwrap().path, format!("/below/deposits/{KEY}"));
    call(&allowing, "deposit", json!({"text": "a", "url": counter.url()})).await.unwrap();
    assert_eq!(counter.executions(KEY), 1);
}

#[tokio::test]
async fn the_probe_tells_done_from_not_done() {
    let counter = Counter::start().unwrap();
    let arguments = json!({"text": "coin 1"});
    assert_eq!(probe(config(&counter.url()), arguments.clone()).await, Probe::NotDone);

    counter.delay_answer(std::time::Duration::from_secs(60));
    let lost = call(&registry(config(&counter.url())), "deposit", arguments.clone()).await;
    assert_eq!(kind(&lost), ("in_doubt", false));
    counter.heal();
    let Probe::Done(result) = probe(config(&counter.url()), arguments).await else { panic!("it was done") };
    assert_eq!(result.to_value()["body"]["document"]["text"], "coin 1");
    assert_eq!(counter.executions(KEY), 1, "asking changes nothing");
}

#[tokio::test]
async fn a_probe_that_cannot_tell_says_why() {
    let counter = Counter::start().unwrap();
    counter.fail_always(500);
    let hung = Wire::start(Manner::Hang);
    for (config, words) in [
        (config(&counter.url()), "500"),
        (config(&nobody()), "could not be asked"),
        (config(&hung.url()), "within"),
        (json!({}), "tools.deposit.base_url"),
    ] {
        let Probe::Unknown(why) = probe(config, json!({"text": "a"})).await else { panic!("{words}") };
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn a_service_that_has_it_already_leaves_the_answer_to_the_probe() {
    let counter = Counter::start().unwrap();
    counter.fail_next(1, 412);
    let outcome = call(&registry(config(&counter.url())), "deposit", json!({"text": "a"})).await;
    assert_eq!(kind(&outcome), ("in_doubt", false));
}
