//! Golden records of what settles, retries and takes back: commands, an event, a request and the ledger.

use callboard_domain::command::{Command, InvocationSettleRequest, RetryNowRequest};
use callboard_domain::event::{Event, Outcome, RetryAdvanced, Settlement, ToolError};
use callboard_domain::ledger::{EffectCommitted, EffectReserved, Entry};
use callboard_domain::plan::EffectClass;
use callboard_domain::request::{ReplyTo, Request, ToolInvocationCancelled};
use callboard_domain::{EffectId, StepId};

use super::values::{Body, id, json};

fn effect() -> EffectId {
    "conversation-1:command-1:1:pay".parse().unwrap()
}

pub fn all() -> Vec<(&'static str, Body)> {
    let settle = |attempt, settlement, why: Option<&str>| {
        Body::Command(Command::InvocationSettleRequested(InvocationSettleRequest {
            effect_id: effect(),
            attempt,
            settlement,
            by: "anna".into(),
            why: why.map(Into::into),
        }))
    };
    let retry = RetryNowRequest { effect_id: effect(), by: Some("anna".into()) };
    let advanced = RetryAdvanced {
        version: 1,
        step: StepId::new("pay").unwrap(),
        attempt: 3,
        by: Some("anna".into()),
        retry_command: Some(id("command-9")),
    };
    let cancelled = ToolInvocationCancelled {
        effect_id: effect(),
        attempt: 2,
        tool: "webhook".into(),
        effect: EffectClass::Unsafe,
        not_after_ms: 1_795_398_219_000,
        reply_to: ReplyTo { topic: "conversation-events".into(), partition: 5, key: "conversation-1".into() },
    };
    let reserved = EffectReserved {
        effect_id: effect(),
        attempt: 2,
        tool: "webhook".into(),
        effect: EffectClass::Unsafe,
        owner: "node-1/0190".into(),
        claim_ms: 5_000,
        timeout_ms: 10_000,
    };
    let committed = |outcome| {
        Body::Effect(Entry::EffectCommitted(EffectCommitted {
            effect_id: effect(),
            attempt: 2,
            owner: "node-1/0190".into(),
            outcome,
            started_at: "2026-11-23T01:42:39.120Z".into(),
            finished_at: "2026-11-23T01:42:39.480Z".into(),
        }))
    };
    let refused = ToolError::new("refused", "the service said 403", false);
    vec![
        (
            "InvocationSettleRequested",
            settle(None, Settlement::Done(json(r#"{"status":200}"#)), Some("seen there")),
        ),
        ("InvocationSettleRequested.not_done", settle(None, Settlement::NotDone, None)),
        ("InvocationSettleRequested.attempt", settle(Some(2), Settlement::NotDone, None)),
        ("RetryNowRequested", Body::Command(Command::RetryNowRequested(retry))),
        ("RetryAdvanced", Body::Event(Event::RetryAdvanced(advanced))),
        ("ToolInvocationCancelled", Body::Request(Request::ToolInvocationCancelled(cancelled))),
        ("EffectReserved", Body::Effect(Entry::EffectReserved(reserved))),
        ("EffectCommitted", committed(Outcome::Ok(json(r#"{"status":200}"#)))),
        ("EffectCommitted.error", committed(Outcome::Error(refused))),
    ]
}
