//! Whatever is duplicated, redelivered or late counts once, and a worker that dies with a request in hand costs nothing but
//! another worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard_domain::State;
use callboard_domain::conversation::StepState;
use callboard_ports::fakes::ScriptedTool;
use callboard_ports::record::{Record, Topic};
use serde_json::Value;

use crate::check::metric;
use crate::world::{Cast, World, conversation, pass, story, until};

fn request(world: &World, at: usize) -> Record {
    world.log.records(Topic::ToolInvocationRequests)[at].clone()
}

#[test]
fn a_request_produced_twice_is_executed_once() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        // While it runs…
        world.copy(&request(&world, 0), None).await;
        world.copy(&request(&world, 0), None).await;
        pass(1).await;
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        // …and when it has been answered.
        world.copy(&request(&world, 0), None).await;
        pass(1).await;
        assert_eq!((world.slow.calls(), world.count("c1", "ToolInvocationResulted")), (1, 1));
        assert_eq!(metric(&node, "callboard_invocations_deduplicated", None), 3.0);
        assert_eq!(world.audit("c1").duplicate_results, 0);
    });
}

#[test]
fn a_synthesis_request_produced_twice_is_answered_once() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        let request = world.log.records(Topic::SynthesisRequests)[0].clone();
        world.copy(&request, None).await;
        pass(1).await;
        assert_eq!((world.synthesizer.calls(), world.count("c1", "FinalAnswerSynthesized")), (1, 1));
    });
}

#[test]
fn of_two_results_the_first_wins() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one; slow two").await;
        until("the first result is there", || world.count("c1", "ToolInvocationResulted") == 1).await;
        let (_, first) =
            world.events("c1").into_iter().rfind(|(kind, _)| kind.ends_with("Resulted")).unwrap();
        let other = |envelope: &mut Value| {
            envelope["id"] = "another-id".into();
            envelope["payload"]["outcome"] = serde_json::json!({ "ok": { "text": "another result" } });
        };
        world.copy_changed(&first, other).await;
        world.copy(&first, None).await;
        pass(1).await;
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        // Late: the turn has ended.
        world.copy_changed(&first, other).await;
        pass(1).await;

        let of = |state: &State| match &state.closed[0].versions[0].steps[0].state {
            StepState::Done(result) => result.to_value(),
            other => panic!("{other:?}"),
        };
        let result = node.read(&conversation("c1"), of).await.unwrap();
        assert_eq!(result, serde_json::json!({ "text": "one" }));
        let report = world.audit("c1");
        assert_eq!((report.answered, report.duplicate_results, report.ignored), (1, 3, 3));
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn terminal_events_after_the_first_change_nothing() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        let events = world.events("c1");
        let (_, answer) = events.last().unwrap();
        world.copy_changed(answer, |other| other["payload"]["answer"] = "another answer".into()).await;
        // The whole turn once more.
        for (_, record) in &events {
            world.copy(record, None).await;
        }
        world.say("c1", "k2", "two").await;
        world.answered(&node, "c1", "k2").await;
        world.answered(&node, "c1", "k1").await;
        let report = world.audit("c1");
        assert_eq!((report.turns, report.answered, report.ignored), (2, 2, 1 + events.len() as u32));
        world.equals_replay(&node, "c1").await;
    });
}

/// An `echo` that panics in its first calls.
fn panicking(times: usize) -> (ScriptedTool, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let script = move |call: callboard_ports::tool::Call| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) >= times, "the tool panics");
        Ok(call.arguments)
    };
    (ScriptedTool::new(ScriptedTool::spec_named("echo"), script), calls)
}

#[test]
fn a_panic_in_a_tool_costs_a_worker_and_another_one_runs_it() {
    story(|| async {
        let (tool, calls) = panicking(2);
        let world = World::with(Cast { tool, ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert_eq!(metric(&node, "callboard_actor_endings", Some("panicked")), 2.0);
        // The log knows of one attempt: a crash is the pool's affair.
        assert_eq!((world.requests("c1").len(), world.count("c1", "ToolInvocationResulted")), (1, 1));
        world.audit("c1");
    });
}

#[test]
fn an_invocation_that_kills_three_workers_is_answered_as_panicked() {
    story(|| async {
        let (tool, calls) = panicking(usize::MAX);
        let world = World::with(Cast { tool, ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "one; slow two").await;
        world.slow_gate.open();
        let turn = world.ended(&node, "c1", "k1").await;
        let error = turn.error.unwrap();
        assert_eq!((turn.status, &*error.code), ("failed", "step_failed"));
        assert!(error.message.contains("panicked"), "{}", error.message);
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert_eq!(world.audit("c1").failed, 1);
        // The pool is whole.
        world.say("c2", "k1", "slow hello").await;
        world.answered(&node, "c2", "k1").await;
    });
}
