//! What people do to conversations: cancel, reset, flood, and what the log does to appends. Nothing is lost, nothing twice.

use std::sync::atomic::Ordering;

use callboard_actors::{Asked, Limits, Node};
use callboard_domain::State;
use callboard_ports::fakes::Gate;
use callboard_ports::log::AppendError;
use callboard_ports::record::Topic;

use crate::check::{envelope, metric};
use crate::world::{Cast, World, command, conversation, pass, story, until};

async fn status(world: &World, node: &Node, id: &str) -> &'static str {
    world.ended(node, "c1", id).await.status
}

/// Codes of the refusals in the log.
fn refusals(world: &World) -> Vec<String> {
    let refused = world.events("c1").into_iter().filter(|(kind, _)| kind == "CommandRefused");
    refused.map(|(_, r)| envelope(&r)["payload"]["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_running_turn_is_cancelled_and_the_next_one_starts() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        world.say("c1", "k2", "two").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        world.cancel("c1", "x1", "k1").await;
        assert_eq!(status(&world, &node, "k1").await, "cancelled");
        assert_eq!(status(&world, &node, "k2").await, "answered");
        // The tool's late result changes nothing but its step.
        world.slow_gate.open();
        until("it is in the log", || world.count("c1", "ToolInvocationResulted") == 2).await;
        let report = world.audit("c1");
        assert_eq!((report.cancelled, report.answered, report.ignored), (1, 1, 0));
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_queued_turn_is_cancelled_without_touching_the_running_one() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        world.say("c1", "k2", "two").await;
        world.say("c1", "k3", "three").await;
        world.cancel("c1", "x1", "k2").await;
        assert_eq!(status(&world, &node, "k2").await, "cancelled");
        assert_eq!(world.planner.calls(), 1);
        world.slow_gate.open();
        assert_eq!(status(&world, &node, "k1").await, "answered");
        assert_eq!(status(&world, &node, "k3").await, "answered");
        assert_eq!(world.planner.calls(), 2, "nobody plans a cancelled turn");
        world.audit("c1");
    });
}

#[test]
fn a_cancel_that_comes_too_late_is_refused() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        assert_eq!(status(&world, &node, "k1").await, "answered");
        world.cancel("c1", "x1", "k1").await;
        world.cancel("c1", "x2", "k9").await;
        world.cancel("c1", "x1", "k1").await;
        until("both are refused", || refusals(&world).len() == 2).await;
        pass(1).await;
        assert_eq!(refusals(&world), ["turn_not_open", "unknown_turn"]);
        assert_eq!(world.audit("c1").answered, 1);
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_history_reset_cancels_what_is_open_and_clears_the_context() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        assert_eq!(status(&world, &node, "k1").await, "answered");
        world.say("c1", "k2", "slow two").await;
        world.say("c1", "k3", "three").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        world.reset("c1", "r1").await;
        world.say("c1", "k4", "four").await;
        assert_eq!(status(&world, &node, "k2").await, "cancelled");
        assert_eq!(status(&world, &node, "k3").await, "cancelled");
        let turn = world.ended(&node, "c1", "k4").await;
        assert_eq!((turn.status, turn.turn), ("answered", 4));
        let floor = node.read(&conversation("c1"), |state: &State| state.context_floor).await.unwrap();
        assert_eq!(floor, 3);
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn as_many_messages_wait_as_may_and_the_next_is_refused() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        for i in 0..65 {
            world.say("c1", &format!("k{i}"), "slow one").await;
        }
        until("one runs, 64 wait", || world.count("c1", "UserQueryReceived") == 65).await;
        pass(1).await;
        assert_eq!(node.ask(&conversation("c1"), &command("k65")).await.unwrap(), Asked::QueueFull);
        // Whoever does not ask first is accepted, and refused by an event.
        world.say("c1", "k65", "one").await;
        let turn = world.ended(&node, "c1", "k65").await;
        assert_eq!((turn.status, &*turn.error.unwrap().code), ("failed", "queue_full"));
        world.slow_gate.open();
        for i in 0..65 {
            assert_eq!(status(&world, &node, &format!("k{i}")).await, "answered");
        }
        let report = world.audit("c1");
        assert_eq!((report.turns, report.answered, report.failed), (66, 65, 1));
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn what_could_not_be_appended_is_decided_again_and_nothing_happens_twice() {
    // The interruption comes after each of the turn's nine records.
    for (cut, error) in (1..=9)
        .flat_map(|cut| [(cut, AppendError::Full), (cut, AppendError::Unknown("the broker is away".into()))])
    {
        story(move || async move {
            let world = World::new();
            let node = world.start();
            world.say("c1", "k1", "one; two").await;
            let records = || Topic::ALL.iter().map(|topic| world.log.records(*topic).len()).sum::<usize>();
            while records() < cut {
                tokio::task::yield_now().await;
            }
            world.log.interrupt(Some(error.clone()));
            pass(5).await;
            world.log.interrupt(None);
            world.answered(&node, "c1", "k1").await;
            // Longer than any lease or append.
            pass(40).await;
            let report = world.audit("c1");
            assert_eq!(
                (report.answered, report.ignored, report.duplicate_results),
                (1, 0, 0),
                "{error} {cut}"
            );
            assert_eq!(records(), 9, "{error} {cut}");
            assert_eq!(world.tool.calls(), 2, "{error} {cut}");
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn what_was_appended_and_reported_as_lost_counts_once() {
    for cut in 0..=9 {
        story(move || async move {
            let world = World::new();
            let node = world.start();
            world.lying.store(cut == 0, Ordering::SeqCst);
            world.say("c1", "k1", "one; two").await;
            world.say("c1", "k2", "three").await;
            let records = || Topic::ALL.iter().map(|topic| world.log.records(*topic).len()).sum::<usize>();
            while records() < cut {
                tokio::task::yield_now().await;
            }
            world.lying.store(true, Ordering::SeqCst);
            pass(5).await;
            world.lying.store(false, Ordering::SeqCst);
            world.answered(&node, "c1", "k1").await;
            world.answered(&node, "c1", "k2").await;
            pass(60).await;
            let report = world.audit("c1");
            assert_eq!((report.turns, report.answered), (2, 2), "{cut}");
            assert_eq!(world.tool.calls(), 3, "{cut}: no invocation runs twice");
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn a_follower_sees_the_past_and_the_present_without_gap_or_duplicate() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        world.say("c1", "k2", "slow two; three").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        let after = world.events("c1")[2].1.offset;
        let mut all = node.follow(&conversation("c1"), None).await.unwrap();
        let mut later = node.follow(&conversation("c1"), Some(after)).await.unwrap();
        world.slow_gate.open();
        world.answered(&node, "c1", "k2").await;
        world.say("c1", "k3", "four").await;
        world.answered(&node, "c1", "k3").await;
        let wanted: Vec<u64> = world.events("c1").iter().map(|(_, record)| record.offset).collect();
        for (follow, wanted) in [(&mut all, &wanted[..]), (&mut later, &wanted[3..])] {
            for offset in wanted {
                let (batch, at) = follow.recv().await.unwrap().unwrap();
                assert_eq!((batch.records[at].offset, &*batch.records[at].key), (*offset, &b"c1"[..]));
            }
        }
        assert!(all.try_recv().is_err() && later.try_recv().is_err());
    });
}

#[test]
fn records_and_conversations_are_listed() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        let mut ids: Vec<String> = (0..30).map(|i| format!("c{i}")).collect();
        for id in &ids {
            world.say(id, "k1", "one").await;
            world.answered(&node, id, "k1").await;
        }
        let mut batches = node.records(&conversation("c7")).await.unwrap();
        let mut read = Vec::new();
        while let Some(batch) = batches.recv().await {
            read.extend(batch.unwrap().records.iter().map(|record| record.offset));
        }
        let wanted: Vec<u64> = world.events("c7").iter().map(|(_, record)| record.offset).collect();
        assert_eq!(read, wanted);

        ids.sort();
        // Before and after everything has been written down.
        for _ in 0..2 {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = node.conversations(after, 7).await.unwrap();
                assert!(page.len() <= 7);
                after = page.last().cloned();
                if page.is_empty() {
                    break;
                }
                listed.extend(page.iter().map(ToString::to_string));
            }
            assert_eq!(listed, ids);
            pass(2).await;
        }
    });
}

#[test]
fn a_node_that_stops_in_order_leaves_nothing_to_replay() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        world.say("c1", "k2", "slow two").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        node.stop(std::time::Duration::from_secs(30)).await;
        assert!(!node.readiness().ready);
        drop(node);
        world.crash().await;
        world.say("c1", "k3", "three").await;
        world.slow_gate.open();

        let node = world.start();
        world.answered(&node, "c1", "k2").await;
        world.answered(&node, "c1", "k3").await;
        assert_eq!(metric(&node, "callboard_snapshots_unusable", None), 0.0);
        assert_eq!(world.audit("c1").answered, 3);
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_flood_is_answered_in_order_through_small_windows() {
    story(|| async {
        const CONVERSATIONS: usize = 50;
        const EACH: usize = 60;
        let limits = Limits { commands_in_flight: 16, ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start();
        for turn in 0..EACH {
            for of in 0..CONVERSATIONS {
                world.say(&format!("c{of}"), &format!("k{turn}"), "one").await;
            }
        }
        let answered = || metric(&node, "callboard_turns", Some("answered"));
        until("everything is answered", || answered() >= (CONVERSATIONS * EACH) as f64).await;
        for of in 0..CONVERSATIONS {
            let of = format!("c{of}");
            let commands_of = |kind: &str| -> Vec<String> {
                let events = world.events(&of).into_iter().filter(|(found, _)| found == kind);
                events.map(|(_, r)| envelope(&r)["command_id"].as_str().unwrap().to_owned()).collect()
            };
            let wanted: Vec<String> = (0..EACH).map(|turn| format!("k{turn}")).collect();
            assert_eq!(commands_of("UserQueryReceived"), wanted);
            assert_eq!(commands_of("FinalAnswerSynthesized"), wanted);
            assert_eq!(world.audit(&of).ignored, 0);
        }
    });
}

#[test]
fn whoever_writes_commands_past_the_gateway_is_held_by_the_open_turns_too() {
    story(|| async {
        let limits = Limits { open_turns: 10, commands_in_flight: 8, ..Cast::default().limits };
        // Nothing ends while there is no plan.
        let gate = Gate::closed();
        let world = World::with(Cast { limits, planner_gate: Some(gate.clone()), ..Cast::default() });
        let node = world.start();
        for i in 0..200 {
            world.say(&format!("c{i}"), "k1", "one").await;
            if i % 10 == 9 {
                pass(1).await;
            }
        }
        let open = || (0..200).map(|i| world.count(&format!("c{i}"), "UserQueryReceived")).sum::<usize>();
        // Each partition takes what it was handed when the bound was met, and no more.
        assert!((20..=20 + 4 * 10).contains(&open()), "{} turns were opened", open());
        assert!(metric(&node, "callboard_refusals", Some("commands_paused")) > 0.0);
        gate.open();
        for i in 0..200 {
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
    });
}
