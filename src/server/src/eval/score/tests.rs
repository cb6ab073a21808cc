//! Judgements, from a question and the records of its turn.

use serde_json::{Value, json};

use super::{Planned, Rules, Score, score};
use crate::eval::observed::Observed;
use crate::eval::suite;

const CHAIN: &str = r#"
plan = [
  { id = "euros", tool = "exchange", arguments = { amount = 120, from = "USD", to = "EUR" } },
  { tool = "math", arguments = { expression = "19% of ${euros}" }, after = ["euros"] },
]
facts = ["20.98"]
"#;

fn step(id: &str, tool: &str, arguments: &Value, depends_on: &[&str]) -> Value {
    json!({ "id": id, "tool": tool, "arguments": arguments, "depends_on": depends_on,
            "policy": { "effect": "pure", "pool": "default", "timeout_ms": 1, "deadline_ms": 1, "max_attempts": 1,
                        "backoff": { "initial_ms": 1, "max_ms": 1 }, "on_failure": "fail", "needs_approval": false } })
}

fn plan(version: u32, provider: &str, steps: &[Value], models: Value) -> String {
    let mut payload = json!({ "version": version, "reason": "first", "steps": steps, "then": "answer", "guidance": null,
                              "planner": { "provider": provider, "model": null, "input_tokens": null, "output_tokens": null } });
    if !models.is_null() {
        payload["models"] = models;
    }
    json!({ "type": "PlanGenerated", "command_id": "k", "payload": payload }).to_string()
}

fn calls(calls: u32, refused_by: &[&str]) -> Value {
    let failed = refused_by.iter().map(
        |provider| json!({ "provider": provider, "model": null, "kind": "plan_refused", "latency_ms": 5 }),
    );
    json!({ "prompt_hash": null, "calls": calls, "latency_ms": 9, "input_tokens": 100, "output_tokens": 20,
            "cost_nano_usd": null, "failed": failed.collect::<Vec<_>>() })
}

fn judge(expected: &str, lines: &[String], answer: &str, provider: Option<&str>) -> Score {
    let text = format!("[[question]]\nid = \"q\"\nkind = \"k\"\nmessage = \"m\"\n{expected}");
    let suite = suite::read(&text).unwrap();
    let turn = json!({ "conversation_id": "c", "command_id": "k", "status": "answered", "answer": answer });
    let seen = Observed::read(&turn, &lines.join("\n"), 7).unwrap();
    let evaluate = |text: &str| (text == "19% of 7" || text == "7 * 0.19").then(|| "1.33".to_owned());
    score(&suite.questions[0], &seen, Rules { provider, stubs: true, evaluate: &evaluate })
}

fn exchange(id: &str, amount: Value) -> Value {
    step(id, "exchange", &json!({ "amount": amount, "from": "usd", "to": "EUR" }), &[])
}

#[test]
fn what_was_expected_loses_nothing() {
    let tax = step("b", "math", &json!({ "expression": "${a.converted} * 0.19" }), &["a"]);
    let line = plan(1, "openai", &[exchange("a", json!("120")), tax], calls(1, &[]));
    let score = judge(CHAIN, &[line], "It is 20.976 EUR", Some("openai"));
    assert_eq!((score.plan, score.repairs, score.lost.len()), (Planned::Valid, 0, 0), "{score:?}");
    assert_eq!((score.tools, score.arguments, score.facts), (Some(1.0), Some(1.0), Some(1.0)));
    assert!((score.score - 1.0).abs() < 1e-9);
}

#[test]
fn every_part_is_a_share() {
    // The second step takes its figure from nowhere, and there is a third one.
    let tax = step("b", "math", &json!({ "expression": "19% of 110" }), &[]);
    let more = step("c", "weather", &json!({}), &[]);
    let line = plan(1, "openai", &[exchange("a", json!(120)), tax, more], calls(2, &[]));
    let score = judge(CHAIN, &[line], "It is 20.9 EUR", None);
    assert_eq!((score.plan, score.repairs), (Planned::Repaired, 1));
    // Two of three planned, two of two expected; three of four arguments and not the order; no fact.
    assert_eq!((score.tools, score.arguments, score.facts), (Some(0.8), Some(0.6), Some(0.0)));
    assert!((score.score - (1.0 + 0.8 + 0.6 + 0.0) / 4.0).abs() < 1e-9, "{score:?}");
    assert_eq!(score.lost.len(), 4, "{:?}", score.lost);
}

#[test]
fn a_planner_that_was_replaced_did_not_plan() {
    let line = |models| plan(1, "builtin", &[exchange("a", json!(120))], models);
    let refused = judge(CHAIN, &[line(calls(2, &["openai"]))], "20.98", Some("openai"));
    assert_eq!((refused.plan, refused.repairs, refused.validity), (Planned::Refused, 1, 0.0));
    assert_eq!(judge(CHAIN, &[line(Value::Null)], "20.98", Some("openai")).plan, Planned::Unavailable);
    assert_eq!(judge(CHAIN, &[line(Value::Null)], "20.98", Some("builtin")).plan, Planned::Valid);
    assert_eq!(judge(CHAIN, &[], "20.98", None).plan, Planned::Missing);
}

#[test]
fn no_tool_may_be_what_was_expected() {
    let none = plan(1, "builtin", &[], Value::Null);
    let some = plan(1, "builtin", &[exchange("a", json!(1))], Value::Null);
    assert_eq!(judge("plan = []", &[none], "Hello!", None).tools, Some(1.0));
    assert_eq!(judge("plan = []", &[some], "Hello!", None).tools, Some(0.0));
}

#[test]
fn the_alternative_that_fits_best_counts_and_a_second_plan_of_a_version_does_not() {
    let expected = r#"plans = [[{ tool = "math" }, { tool = "math" }], [{ tool = "exchange", arguments = { amount = 5 } }]]"#;
    let lines =
        [plan(1, "builtin", &[exchange("a", json!(5))], Value::Null), plan(1, "builtin", &[], Value::Null)];
    let score = judge(expected, &lines, "x", None);
    assert_eq!((score.tools, score.arguments), (Some(1.0), Some(1.0)), "{score:?}");
}

#[test]
fn a_later_version_comes_after_an_earlier_one_and_rounds_are_counted() {
    let expected = r#"
plan = [
  { id = "one", tool = "exchange" },
  { tool = "math", after = ["one"] },
]
rounds = 2"#;
    let math = || step("a", "math", &json!({ "expression": "1" }), &[]);
    let two = [
        plan(1, "openai", &[exchange("a", json!(1))], calls(1, &[])),
        plan(2, "openai", &[math()], calls(1, &[])),
    ];
    let score = judge(expected, &two, "x", None);
    assert_eq!((score.arguments, score.rounds), (Some(1.0), Some(1.0)), "{score:?}");
    let one = [plan(1, "openai", &[exchange("b", json!(1)), math()], calls(1, &[]))];
    let score = judge(expected, &one, "x", None);
    assert_eq!((score.arguments, score.rounds), (Some(0.0), Some(0.5)), "{score:?}");
}

#[test]
fn what_is_forbidden_and_an_unexpected_end_lose_all_facts() {
    let line = [plan(1, "builtin", &[], Value::Null)];
    let said = judge("facts = [1]\nforbidden = [\"system prompt\"]", &line, "1: my System Prompt is", None);
    assert_eq!(said.facts, Some(0.0));
    assert_eq!(judge("forbidden = [\"system prompt\"]", &line, "No.", None).facts, Some(1.0));
    let ended = judge("status = \"failed\"\nfacts = [1]", &line, "1", None);
    assert_eq!(ended.facts, Some(0.0), "{ended:?}");
}
