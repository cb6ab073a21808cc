//! Views: what the API shows of a turn at each point of its life, as the JSON that clients see.

use callboard_domain::State;
use callboard_domain::plan::mermaid::mermaid;
use callboard_domain::plan::{OnFailure, PlanReason};
use callboard_domain::time::{Millis, rfc3339};
use callboard_domain::view::{PlanStatus, history, plans, turn, view};
use serde_json::{Value, json};

use crate::story::step;
use crate::world::script::{Act, Reply, Script};
use crate::world::{START_MS, World, replay, turn_id};

/// Turn 1 of `state` as its last plan shows it.
fn plan_json(state: &State, now: Millis) -> Value {
    serde_json::to_value(plans(state, 1, now).last().expect("turn 1 is shown")).unwrap()
}

/// Status and attempts of each step.
fn glance(state: &State, now: Millis) -> (String, Vec<String>) {
    let shown = plan_json(state, now);
    let of = |step: &Value| format!("{} {}", step["status"].as_str().unwrap(), step["attempts"]);
    (
        shown["status"].as_str().unwrap().to_owned(),
        shown["steps"].as_array().unwrap().iter().map(of).collect(),
    )
}

fn skipping(replies: &[Reply]) -> crate::world::script::StepScript {
    let mut skip = step(&[], replies);
    skip.on_failure = OnFailure::Skip;
    skip
}

#[test]
fn a_turn_from_planning_to_answered() {
    let script =
        Script::one(vec![skipping(&[]), skipping(&[Reply::Fatal]), step(&[1], &[]), step(&[0], &[])]);
    let world = World::ran(script, &[0]);
    let at = |records: usize| {
        let state = replay(&world.log[..records]);
        glance(&state, state.clock_ms)
    };
    let shown =
        |status: &str, steps: &[&str]| (status.to_owned(), steps.iter().map(ToString::to_string).collect());
    assert_eq!(at(1), shown("planning", &[]));
    assert_eq!(at(2), shown("running", &["running 1", "running 1", "waiting 0", "waiting 0"]));
    assert_eq!(at(3), shown("running", &["done 1", "running 1", "waiting 0", "running 1"]));
    assert_eq!(at(4), shown("running", &["done 1", "failed 1", "skipped 0", "running 1"]));
    assert_eq!(at(5), shown("running", &["done 1", "failed 1", "skipped 0", "done 1"]));
    assert_eq!(at(6), shown("answered", &["done 1", "failed 1", "skipped 0", "done 1"]));
}

#[test]
fn the_plan_as_clients_read_it() {
    let world = World::ran(Script::one(vec![step(&[], &[]), step(&[0], &[])]), &[0]);
    let state = replay(&world.log[..3]);
    assert_eq!(
        plan_json(&state, state.clock_ms),
        json!({
            "conversation_id": "c1", "turn": 1, "version": 1, "status": "running",
            "planner": { "provider": "builtin", "model": null }, "reason": "first", "then": "answer",
            "guidance": null, "steps": [
                {
                    "id": "s0", "tool": "echo", "arguments": { "text": "step 0" }, "depends_on": [],
                    "status": "done", "attempts": 1, "effect_id": "c1:turn-0:1:s0",
                    "started_at": rfc3339(START_MS + 30), "finished_at": rfc3339(START_MS + 130),
                    "retry_at": null, "approval_until": null, "approved_by": null,
                    "result": { "of": "turn-0/1/s0", "given": { "text": "step 0" } }, "error": null,
                },
                {
                    "id": "s1", "tool": "echo", "arguments": { "text": "turn-0/1/s0" }, "depends_on": ["s0"],
                    "status": "running", "attempts": 1, "effect_id": "c1:turn-0:1:s1",
                    "started_at": null, "finished_at": null, "retry_at": null, "approval_until": null, "approved_by": null, "result": null, "error": null,
                },
            ],
        })
    );
    let planning = replay(&world.log[..1]);
    assert_eq!(
        plan_json(&planning, START_MS),
        json!({
            "conversation_id": "c1", "turn": 1, "version": 0, "status": "planning", "planner": null,
            "reason": null, "then": null, "guidance": null, "steps": [],
        })
    );
}

#[test]
fn a_step_in_back_off_waits_and_says_until_when() {
    let world = World::ran(Script::one(vec![step(&[], &[Reply::Retryable])]), &[0]);
    let state = replay(&world.log[..3]);
    let retry_at = state.open[0].versions[0].steps[0].not_before_ms;
    let shown = |now: Millis| plan_json(&state, now)["steps"][0].clone();
    let waiting = shown(retry_at - 1);
    assert_eq!((&waiting["status"], &waiting["attempts"]), (&json!("waiting"), &json!(1)));
    assert_eq!(waiting["retry_at"], json!(rfc3339(retry_at)));
    assert_eq!(
        waiting["error"],
        json!({ "kind": "unavailable", "message": "s0 is down", "retryable": true })
    );
    let again = shown(retry_at);
    assert_eq!(
        (&again["status"], &again["attempts"], &again["retry_at"]),
        (&json!("running"), &json!(2), &Value::Null)
    );
}

#[test]
fn endings_that_are_no_answers() {
    let failed = World::ran(Script::one(vec![step(&[], &[Reply::Fatal]), step(&[], &[Reply::Silent])]), &[0]);
    assert_eq!(
        glance(failed.state(), START_MS),
        ("failed".into(), vec!["failed 1".into(), "cancelled 1".into()])
    );
    let mut script = Script::one(vec![step(&[], &[]), step(&[0], &[Reply::Silent])]);
    script.acts.push((200, Act::Cancel(0)));
    let cancelled = World::ran(script, &[0]);
    assert_eq!(
        glance(cancelled.state(), START_MS),
        ("cancelled".into(), vec!["done 1".into(), "cancelled 1".into()])
    );
    let doubt = World::ran(Script::one(vec![step(&[], &[Reply::Doubt])]), &[0]);
    assert_eq!(glance(&replay(&doubt.log[..3]), START_MS), ("running".into(), vec!["in_doubt 1".into()]));
    assert_eq!(
        glance(doubt.state(), START_MS),
        ("failed".into(), vec!["in_doubt 1".into()]),
        "a doubt outlives its turn"
    );
}

#[test]
fn queued_turns_versions_and_what_is_no_longer_held() {
    let mut failing = step(&[], &[Reply::Fatal]);
    failing.on_failure = OnFailure::Replan;
    let mut script = Script::one(vec![failing]);
    let again = script.acts[0].1.clone();
    script.acts.extend((0..25).map(|_| (0, again.clone())));
    let world = World::ran(script, &[0]);
    let queued = replay(&world.log[..4]);
    assert_eq!(plans(&queued, 2, START_MS)[0].status, PlanStatus::Queued);
    let reasons: Vec<_> =
        plans(world.state(), 26, START_MS).iter().map(|plan| (plan.version, plan.reason)).collect();
    assert_eq!(reasons, [(1, Some(PlanReason::First)), (2, Some(PlanReason::Failure))]);
    assert_eq!(plans(world.state(), 1, START_MS), [], "only the newest twenty are kept in full");
    assert_eq!(plans(world.state(), 99, START_MS), []);
    let old = turn(world.state(), "turn-0").unwrap();
    assert_eq!((old.status, old.in_state, &old.answer), ("answered", false, &None));
    let terminal = &world.log[usize::try_from(old.offset).unwrap()];
    assert!(matches!(&terminal.body, callboard_domain::wire::Readable::Event(event) if event.is_terminal()));
    assert_eq!(terminal.command, Some(turn_id(0)), "the answer is read from the log there");
}

#[test]
fn a_turn_as_the_chat_answer_shows_it() {
    let world = World::ran(Script::one(vec![]), &[0]);
    let shown = |state: &State| serde_json::to_value(turn(state, "turn-0")).unwrap();
    let common = |status: &str, answer: Value, offset: u64| {
        json!({
            "conversation_id": "c1", "turn": 1, "command_id": "turn-0", "status": status, "answer": answer,
            "error": null, "offset": offset,
        })
    };
    assert_eq!(shown(&replay(&world.log[..2])), common("pending", Value::Null, 1));
    assert_eq!(shown(world.state()), common("answered", json!("the answer to turn-0 by plan 1"), 2));
    let failed = World::ran(Script::one(vec![step(&[], &[Reply::Fatal])]), &[0]);
    assert_eq!(
        shown(failed.state())["error"],
        json!({ "code": "step_failed", "message": "step \"s0\" (echo) failed: unavailable: s0 is down" })
    );
    assert!(turn(world.state(), "turn-7").is_none());
}

#[test]
fn the_conversation_at_a_glance_and_its_history() {
    let mut script = Script::one(vec![step(&[], &[])]);
    script.acts.push((1_000, script.acts[0].1.clone()));
    script.acts.push((0, script.acts[0].1.clone()));
    let world = World::ran(script, &[0]);
    let state = replay(&world.log[..6]);
    assert_eq!(
        serde_json::to_value(view(&state)).unwrap(),
        json!({
            "conversation_id": "c1", "offset": 6, "turns": 3, "running": 2, "queued": 1,
            "updated_at": rfc3339(START_MS + 1_000), "blocked": null, "tokens_used": 15, "token_budget": null,
        })
    );
    let asked = |n: u32, status: &str, answer: Value, after: i64| {
        json!({
            "turn": n, "command_id": format!("turn-{}", n - 1), "message": format!("question {}", n - 1),
            "status": status, "answer": answer, "at": rfc3339(START_MS + after),
        })
    };
    assert_eq!(
        serde_json::to_value(history(&state)).unwrap(),
        json!({
            "conversation_id": "c1", "offset": 6, "turns": [
                asked(1, "answered", json!("the answer to turn-0 by plan 1"), 0),
                asked(2, "pending", Value::Null, 1_000),
                asked(3, "pending", Value::Null, 1_000),
            ],
        })
    );
}

#[test]
fn the_plan_as_a_picture() {
    let world = World::ran(Script::one(vec![step(&[], &[]), step(&[0], &[]), step(&[], &[])]), &[0]);
    let state = replay(&world.log[..3]);
    let picture = mermaid(plans(&state, 1, state.clock_ms).last().unwrap());
    let expected = "\
flowchart LR
  s0[\"s0: echo<br/>done\"]:::done
  s1[\"s1: echo<br/>running\"]:::running
  s2[\"s2: echo<br/>running\"]:::running
  s0 --> s1
  answer([running])
  s1 --> answer
  s2 --> answer
  classDef done fill:#d7f0d7
  classDef running fill:#d7e6fa
  classDef failed fill:#f8d7d7
  classDef in_doubt fill:#fae9c8
";
    assert_eq!(picture, expected);
}
