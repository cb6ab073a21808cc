//! Pools under load and across restarts: what is done is not done again, long calls hold nobody up, tools take turns, and two
//! attempts at one effect are never run at once.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{KillHow, Limits, Roles};
use callboard_domain::event::ToolError;
use callboard_domain::plan::EffectClass;
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;
use callboard_ports::tool::Tool;
use serde_json::Value;

use crate::check::metric;
use crate::deeds::{Deed, Play};
use crate::lag::lag;
use crate::world::{Cast, PARTITIONS, World, pass, story, until};

/// Conversations whose first step is requested in partition 0.
fn neighbours(many: usize) -> Vec<String> {
    let ids = (0..).map(|i| format!("n{i}"));
    ids.filter(|id| partition_of(format!("{id}:k1:1:s0").as_bytes(), PARTITIONS) == 0).take(many).collect()
}

fn world_with(deeds: &[&Arc<Deed>], limits: Limits) -> World {
    let others = deeds.iter().map(|deed| (*deed).clone() as Arc<dyn Tool>).collect();
    World::with(Cast { others, limits, ..Cast::default() })
}

#[test]
fn a_restart_repeats_little_of_what_was_done_behind_a_long_call() {
    for orderly in [false, true] {
        story(move || async move {
            let world = World::new();
            let ids = neighbours(41);
            let node = world.start();
            world.say(&ids[0], "k1", "slow one").await;
            until("the long call runs", || world.slow.calls() == 1).await;
            for id in &ids[1..] {
                world.say(id, "k1", "one").await;
                world.answered(&node, id, "k1").await;
            }
            assert_eq!(world.tool.calls(), 40);
            if orderly {
                node.stop(Duration::from_secs(10)).await;
            }
            world.crash().await;
            drop(node);
            let node = world.start();
            until("the long call runs again", || world.slow.calls() == 2).await;
            pass(1).await;
            let repeated = world.tool.calls() - 40;
            let most = if orderly { 0 } else { 15 };
            assert!(repeated <= most, "{repeated} of 40 were done again");
            world.slow_gate.open();
            for id in &ids {
                world.answered(&node, id, "k1").await;
                world.audit(id);
            }
        });
    }
}

#[test]
fn long_calls_never_block_short_ones() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        for i in 0..200 {
            world.say(&format!("long{i}"), "k1", "slow one").await;
        }
        until("as many run as may", || world.slow.calls() == 16).await;
        for i in 0..50 {
            let of = format!("short{i}");
            world.say(&of, "k1", "one").await;
            world.answered(&node, &of, "k1").await;
        }
        assert_eq!(world.slow.calls(), 16, "a tool's concurrency is its bound");
        world.slow_gate.open();
        for i in 0..200 {
            world.answered(&node, &format!("long{i}"), "k1").await;
        }
    });
}

#[test]
fn a_full_window_pauses_its_partition_and_is_counted() {
    story(|| async {
        let limits = Limits { requests_in_flight: 8, ..Cast::default().limits };
        let world = world_with(&[], limits);
        let node = world.start();
        let ids = neighbours(40);
        for id in &ids {
            world.say(id, "k1", "slow one").await;
        }
        until("it pauses", || metric(&node, "callboard_refusals", Some("requests_paused")) >= 1.0).await;
        pass(1).await;
        let tree = node.actors().await;
        let pool = crate::check::find(&tree, "/pool-default-0").unwrap();
        // What a batch brings above the bound is in hand already; the rest stays in the log.
        assert!(pool.work["under_way"].as_u64().unwrap() <= 40);
        world.slow_gate.open();
        for id in &ids {
            world.answered(&node, id, "k1").await;
        }
    });
}

#[test]
fn tools_take_turns_when_workers_are_few() {
    story(|| async {
        let (a, z) = (Deed::new("a", EffectClass::Pure), Deed::new("z", EffectClass::Pure));
        let limits = Limits { workers_per_pool: 1, ..Cast::default().limits };
        let world = world_with(&[&a, &z], limits);
        [&a, &z].into_iter().for_each(|deed| deed.before.close());
        let node = world.start();
        for i in 0..10 {
            world.say(&format!("a{i}"), "k1", "a one").await;
        }
        until("the only worker is busy", || a.begun() == 1).await;
        world.say("z", "k1", "z one").await;
        until("all wait", || world.requests("z").len() == 1 && world.requests("a9").len() == 1).await;
        pass(1).await;
        a.before.open();
        until("it is z's turn", || z.begun() == 1).await;
        assert!(a.begun() <= 2, "{} of a went first", a.begun());
        z.before.open();
        world.answered(&node, "z", "k1").await;
        for i in 0..10 {
            world.answered(&node, &format!("a{i}"), "k1").await;
        }
    });
}

#[test]
fn two_attempts_at_one_effect_are_never_run_at_once() {
    let refused = || Play::Fail(ToolError::new("refused", "no", false));
    for (effect, play, begun) in [
        (EffectClass::Pure, None, 1),
        (EffectClass::Pure, Some(refused()), 2),
        (EffectClass::Unsafe, None, 1),
        (EffectClass::Unsafe, Some(refused()), 2),
    ] {
        story(move || async move {
            let deed = Deed::new("deed", effect);
            let world = world_with(&[&deed], Cast::default().limits);
            deed.before.close();
            deed.plays(play);
            let node = world.start();
            world.say("c1", "k1", "deed one").await;
            until("the first attempt runs", || deed.begun() == 1).await;
            let request = world.log.records(Topic::ToolInvocationRequests)[0].clone();
            world.copy_changed(&request, |second| second["payload"]["attempt"] = 2.into()).await;
            world.copy(&request, None).await;
            pass(3).await;
            assert_eq!(deed.begun(), 1, "{effect:?}");
            deed.before.open();
            world.ended(&node, "c1", "k1").await;
            pass(60).await;
            assert_eq!(deed.begun(), begun, "{effect:?}");
            // An earlier attempt than the one that was answered is nobody's business.
            world.copy(&request, None).await;
            pass(60).await;
            assert_eq!((deed.begun(), deed.most() <= 1), (begun, true), "{effect:?}");
        });
    }
}

#[test]
fn of_later_attempts_at_what_its_workers_die_of_every_request_is_done_with() {
    for effect in [EffectClass::Pure, EffectClass::Unsafe] {
        story(move || async move {
            let deed = Deed::new("deed", effect);
            let limits = Limits { workers_per_pool: 1, ..Cast::default().limits };
            let world = world_with(&[&deed], limits);
            deed.before.close();
            let node = world.start();
            world.say("c1", "k1", "deed one").await;
            until("the first attempt runs", || deed.begun() == 1).await;
            let request = world.log.records(Topic::ToolInvocationRequests)[0].clone();
            let second = |envelope: &mut Value| envelope["payload"]["attempt"] = 2.into();
            // Behind the one that runs…
            world.copy_changed(&request, second).await;
            until("it waits", || metric(&node, "callboard_invocations_deduplicated", None) == 1.0).await;
            node.kill("/pool-default-0/worker-0", KillHow::Panic).await.unwrap();
            until("it waits again", || metric(&node, "callboard_actor_endings", Some("panicked")) == 1.0)
                .await;
            assert_eq!(deed.begun(), 1);
            // …and in the place of the one that waits for the next worker.
            world.copy_changed(&request, second).await;
            deed.before.open();
            world.ended(&node, "c1", "k1").await;
            pass(60).await;
            assert!(effect == EffectClass::Pure || deed.most() <= 1, "{effect:?}");
            let left = (0..PARTITIONS).map(|p| lag(&node, "callboard-pool-default", p));
            assert!(left.clone().all(|left| left == Some(0.0)), "{effect:?}: {:?}", left.collect::<Vec<_>>());
        });
    }
}

#[test]
fn requests_in_hand_of_a_partition_that_moves_are_not_started_here() {
    story(|| async {
        let deed = Deed::new("deed", EffectClass::Unsafe);
        let limits = Limits { workers_per_pool: 1, ..Cast::default().limits };
        let world = world_with(&[&deed], limits);
        deed.before.close();
        let host = world.start_named("host", Roles { pools: Vec::new(), ..World::roles() });
        let worker = || Roles { pools: vec!["default".into()], ..Roles::default() };
        let _first = world.start_named("first", worker());
        for i in 0..12 {
            world.say(&format!("c{i}"), "k1", "deed one").await;
        }
        until("one is called", || deed.begun() == 1).await;
        pass(1).await;
        let _second = world.start_named("second", worker());
        pass(5).await;
        assert_eq!(deed.begun(), 2, "each has one worker");
        deed.before.open();
        for i in 0..12 {
            world.answered(&host, &format!("c{i}"), "k1").await;
            world.audit(&format!("c{i}"));
        }
        assert_eq!((deed.done(), deed.most()), (12, 1));
    });
}
