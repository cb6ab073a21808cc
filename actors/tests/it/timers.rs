//! Time: deadlines, timeouts and back-off end what does not end by itself; idle conversations leave memory and come back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callboard_actors::{Limits, Node, Roles};
use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::retry::delay_ms;
use callboard_ports::fakes::{Gate, ScriptedTool};
use callboard_ports::record::Topic;

use crate::check::metric;
use crate::world::{Cast, World, pass, story, until};

async fn failed(world: &World, node: &Node, code: &str) -> String {
    let turn = world.ended(node, "c1", "k1").await;
    let error = turn.error.expect("a failed turn has an error");
    assert_eq!((turn.status, &*error.code), ("failed", code), "{error:?}");
    assert_eq!(world.audit("c1").failed, 1);
    world.equals_replay(node, "c1").await;
    error.message.to_string()
}

#[test]
fn a_request_that_nobody_takes_ends_at_its_deadline() {
    story(|| async {
        let world = World::new();
        let node = world.start_as(Roles { pools: Vec::new(), ..World::roles() });
        world.say("c1", "k1", "one").await;
        let words = failed(&world, &node, "step_failed").await;
        assert!(words.contains("no_worker"), "{words}");
        assert_eq!(world.count("c1", "DeadlineExpired"), 1);
        // Requests of a lapsed lease are issued again, with the same attempt; a worker that comes now starts none of them.
        let requests = world.requests("c1");
        assert!(requests.len() > 1 && requests.iter().all(|(_, attempt)| *attempt == 1), "{requests:?}");
        world.start_named("worker", Roles { host: false, synthesis: false, ..World::roles() });
        pass(60).await;
        assert_eq!(world.tool.calls(), 0);
    });
}

#[test]
fn a_tool_that_never_answers_is_tried_again_and_then_given_up() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        let words = failed(&world, &node, "step_failed").await;
        assert!(words.contains("timeout"), "{words}");
        let attempts: Vec<u64> = world.requests("c1").into_iter().map(|(_, attempt)| attempt).collect();
        assert_eq!((attempts, world.slow.calls()), (vec![1, 2, 3], 3));
    });
}

#[test]
fn a_planner_that_never_answers_ends_the_turn() {
    story(|| async {
        let world = World::with_gates(None, Some(&Gate::closed()));
        let node = world.start();
        world.say("c1", "k1", "one").await;
        let turn = world.ended(&node, "c1", "k1").await;
        let code = turn.error.unwrap().code;
        // Planner pool and timer have the same instant.
        assert!(["planning_timeout", "no_plan"].contains(&&*code), "{code}");
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_synthesizer_that_never_answers_ends_the_turn() {
    story(|| async {
        let cast = Cast { synthesis_gate: Some(Gate::closed()), ..Cast::default() };
        let world = World::with(cast);
        let node = world.start();
        world.say("c1", "k1", "one").await;
        failed(&world, &node, "synthesis_timeout").await;
    });
}

#[test]
fn a_turn_has_a_time_of_its_own_and_the_next_one_has_its_own() {
    story(|| async {
        let turn_limits = TurnLimits { turn_timeout_ms: 4_000, ..TurnLimits::default() };
        let world = World::with(Cast { turn_limits, ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        // Its clock starts when it becomes the running one, so that it does not pay for the first.
        world.say("c1", "k2", "one").await;
        let first = world.ended(&node, "c1", "k1").await;
        assert_eq!(&*first.error.unwrap().code, "turn_timeout");
        world.answered(&node, "c1", "k2").await;
        let report = world.audit("c1");
        assert_eq!((report.failed, report.answered), (1, 1));
    });
}

#[test]
fn back_off_is_honoured_between_attempts() {
    story(|| async {
        let calls = AtomicUsize::new(0);
        let script = move |call: callboard_ports::tool::Call| match calls.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(ToolError::new("unavailable", "not now", true)),
            _ => Ok(call.arguments),
        };
        let spec = ScriptedTool::spec_named("echo");
        let backoff = spec.backoff;
        let world = World::with(Cast { tool: ScriptedTool::new(spec, script), ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        let failures = world.events("c1").into_iter().filter(|(kind, _)| kind == "ToolInvocationResulted");
        let failures: Vec<i64> = failures.map(|(_, record)| record.timestamp_ms).collect();
        let requests = world.log.records(Topic::ToolInvocationRequests);
        assert_eq!((failures.len(), requests.len()), (3, 3));
        for attempt in 1..=2 {
            let waited = requests[attempt as usize].timestamp_ms - failures[attempt as usize - 1];
            let wanted = delay_ms(backoff, attempt, &format!("c1:k1:1:s0#{attempt}")) as i64;
            assert!((wanted..wanted + 20).contains(&waited), "attempt {attempt}: {waited} of {wanted} ms");
        }
        world.audit("c1");
    });
}

#[test]
fn a_back_off_survives_a_crash() {
    story(|| async {
        let script = |_| Err(ToolError::new("unavailable", "not now", true));
        let mut spec = ScriptedTool::spec_named("echo");
        spec.backoff = callboard_domain::plan::Backoff { initial_ms: 20_000, max_ms: 20_000 };
        let world = World::with(Cast { tool: ScriptedTool::new(spec, script), ..Cast::default() });
        let _node = world.start();
        world.say("c1", "k1", "one").await;
        until("the first attempt failed", || world.count("c1", "ToolInvocationResulted") == 1).await;
        pass(1).await;
        world.crash().await;
        let node = world.start();
        pass(5).await;
        assert_eq!(world.requests("c1").len(), 1, "its back-off lasts 10 s at least");
        failed(&world, &node, "step_failed").await;
        assert_eq!(world.requests("c1").len(), 3);
    });
}

fn fleeting(after: Duration, flush_every: Duration) -> World {
    let limits = Limits { flush_every, passivate_after: after, ..Limits::default() };
    World::with(Cast { limits, ..Cast::default() })
}

#[test]
fn idle_conversations_leave_memory_and_come_back_as_they_were() {
    story(|| async {
        const MANY: usize = 500;
        let world = fleeting(Duration::from_secs(2), Duration::from_millis(50));
        let node = world.start();
        for i in 0..MANY {
            world.say(&format!("c{i}"), "k1", "one").await;
        }
        for i in 0..MANY {
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        let live = || metric(&node, "callboard_conversations_live", None);
        assert!(live() > 0.0);
        until("all have left", || live() == 0.0).await;
        // Back by a look…
        for i in (0..MANY).step_by(7) {
            world.equals_replay(&node, &format!("c{i}")).await;
        }
        // …and by a message, in the turn that comes next.
        for i in (0..MANY).step_by(11) {
            world.say(&format!("c{i}"), "k2", "two").await;
            let turn = world.ended(&node, &format!("c{i}"), "k2").await;
            assert_eq!((turn.status, turn.turn), ("answered", 2));
            world.audit(&format!("c{i}"));
        }
        until("all have left again", || live() == 0.0).await;
    });
}

#[test]
fn where_conversations_are_too_large_together_they_leave_before_their_time() {
    story(|| async {
        let (hour, often) = (Duration::from_secs(3_600), Duration::from_millis(50));
        let limits =
            Limits { passivate_after: hour, flush_every: often, live_snapshot_bytes: 1, ..Limits::default() };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start();
        for i in 0..20 {
            world.say(&format!("c{i}"), "k1", "one").await;
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        until("all have left", || metric(&node, "callboard_conversations_live", None) == 0.0).await;
        for i in 0..20 {
            world.equals_replay(&node, &format!("c{i}")).await;
        }
    });
}

#[test]
fn what_arrives_while_a_conversation_leaves_is_not_lost() {
    story(|| async {
        const MANY: usize = 10;
        const ROUNDS: usize = 60;
        let world = fleeting(Duration::from_millis(10), Duration::from_millis(20));
        // Whoever is asked to leave answers after this, so that messages find it at the door.
        world.identity_ms.store(15, Ordering::SeqCst);
        let node = world.start();
        for round in 0..ROUNDS {
            for of in 0..MANY {
                world.say(&format!("c{of}"), &format!("k{round}"), "one").await;
                tokio::time::sleep(Duration::from_millis((round + of) as u64 % 4)).await;
            }
            // Nobody asks the node, so that nothing but the message itself brings the conversation back.
            let answered = (MANY * (round + 1)) as f64;
            until("all are answered", || metric(&node, "callboard_turns", Some("answered")) >= answered)
                .await;
            tokio::time::sleep(Duration::from_millis(10 + round as u64 % 40)).await;
        }
        for of in 0..MANY {
            let of = format!("c{of}");
            let report = world.audit(&of);
            assert_eq!(
                (report.turns, report.answered, report.ignored),
                (ROUNDS as u32, ROUNDS as u32, 0),
                "{of}"
            );
            world.equals_replay(&node, &of).await;
        }
        let came_back = metric(&node, "callboard_conversations_loaded", None);
        assert!(came_back > 200.0, "only {came_back} messages met a conversation that had left");
    });
}
