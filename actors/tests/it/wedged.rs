//! Heartbeats: who does not move is replaced, who only waits is left alone, and what a replaced actor would have said late is
//! said by nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callboard_actors::{KillHow, Limits, Node, Ports};
use callboard_domain::State;
use callboard_domain::event::Author;
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use callboard_ports::fakes::{Gate, OneArbiter};
use callboard_ports::model::{Answer, AnswerSink, ModelError, Synthesizer};
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;
use futures_util::future::BoxFuture;

use crate::check::{find, find_in, metric};
use crate::world::{Cast, PARTITIONS, World, conversation, pass, story, until};

fn wedged(node: &Node) -> f64 {
    metric(node, "callboard_actor_endings", Some("wedged"))
}

/// Limits that no heartbeat is meant to meet.
fn patient() -> Limits {
    Limits { lease_margin: Duration::from_secs(600), ..Cast::default().limits }
}

#[test]
fn a_wedged_actor_is_replaced_within_six_heartbeats() {
    for path in [
        "/bridge-0",
        "/pool-default-0",
        "/pool-default-0/worker-7",
        "/bridge-0/planner",
        "/bridge-0/host-1",
        "/",
    ] {
        story(move || async move {
            let world = World::new();
            let node = world.start();
            until("the node is ready", || node.readiness().ready).await;
            let before = tokio::time::Instant::now();
            node.kill(path, KillHow::Wedge).await.unwrap();
            until("the wedged one is noticed", || wedged(&node) == 1.0).await;
            let noticed = before.elapsed();
            assert!((5..=7).contains(&noticed.as_secs()), "{path}: {noticed:?}");
            until("the node is ready again", || node.readiness().ready).await;
            assert!(before.elapsed() < noticed + Duration::from_millis(100), "{path}");
            world.say("c1", "k1", "one").await;
            world.answered(&node, "c1", "k1").await;
        });
    }
}

#[test]
fn a_wedged_conversation_holds_nobody_else_for_longer_than_its_heartbeat() {
    story(|| async {
        let world = World::with(Cast { limits: patient(), ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        let host = format!("/bridge-0/host-{}", partition_of(b"c1", PARTITIONS));
        node.kill(&format!("{host}/c1"), KillHow::Wedge).await.unwrap();
        // Its mailbox fills, and with it the lane: everybody else of the arbiter waits for it.
        world.slow_gate.open();
        for i in 0..300 {
            world.say("c1", &format!("m{i}"), "one").await;
        }
        world.say("c2", "k1", "one").await;
        let before = tokio::time::Instant::now();
        world.answered(&node, "c2", "k1").await;
        assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
        assert_eq!(world.ended(&node, "c1", "k1").await.status, "answered");
        assert_eq!(wedged(&node), 1.0);
        world.audit("c1");
        let tree = node.actors().await;
        let shown = find(&tree, &format!("{host}/c1")).unwrap();
        assert_eq!((shown.restarts, shown.endings.get("wedged")), (1, Some(&1)), "{shown:?}");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_wedged_idle_conversation_answers_whoever_asks_after_its_replacement() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        let host = format!("/bridge-0/host-{}", partition_of(b"c1", PARTITIONS));
        // Clean, so that no flush asks it for a snapshot.
        pass(5).await;
        node.kill(&format!("{host}/c1"), KillHow::Wedge).await.unwrap();
        pass(30).await;
        assert_eq!(wedged(&node), 0.0, "nobody has asked for it");
        let before = tokio::time::Instant::now();
        let turns = node.read(&conversation("c1"), |state: &State| state.turns).await.unwrap();
        assert_eq!(turns, 1);
        assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
        assert_eq!(wedged(&node), 1.0);
    });
}

#[test]
fn a_late_result_of_a_wedged_worker_is_nobodys() {
    story(|| async {
        // The conversation stays in memory, where what is ignored is counted.
        let limits = Limits { passivate_after: Duration::from_secs(600), ..patient() };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        let tree = node.actors().await;
        let path = find_in(&tree, "/pool-default-0/", "busy").unwrap().path.clone();
        node.kill(&path, KillHow::Wedge).await.unwrap();
        until("another worker runs it", || world.slow.calls() == 2).await;
        assert_eq!(wedged(&node), 1.0);
        // Both calls may return now: the first one's worker is gone.
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        pass(60).await;
        let report = world.audit("c1");
        assert_eq!((report.answered, report.duplicate_results), (1, 0));
        assert_eq!(world.count("c1", "ToolInvocationResulted"), 1);
        // A process that everybody took for dead says it all the same: the log has the first one already.
        let (_, result) =
            world.events("c1").into_iter().find(|(kind, _)| kind == "ToolInvocationResulted").unwrap();
        world.copy(&result, None).await;
        until("it is read", || metric(&node, "callboard_records_ignored", None) == 1.0).await;
        assert_eq!(world.audit("c1").duplicate_results, 1);
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn who_only_waits_is_not_wedged() {
    story(|| async {
        // A planner and a tool that take many heartbeats, a window of two commands, a flood of messages.
        let planner = Gate::closed();
        let heartbeat_every = Duration::from_millis(100);
        let limits = Limits { commands_in_flight: 2, heartbeat_every, ..patient() };
        let world = World::with(Cast { planner_gate: Some(planner.clone()), limits, ..Cast::default() });
        let node = world.start();
        for i in 0..40 {
            world.say(&format!("c{i}"), "k1", "slow one").await;
        }
        until("a planner is asked", || world.planner.calls() > 0).await;
        pass(4).await;
        planner.open();
        until("tools run", || world.slow.calls() > 0).await;
        pass(4).await;
        assert_eq!(wedged(&node), 0.0);
        world.slow_gate.open();
        for i in 0..40 {
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        assert_eq!(metric(&node, "callboard_actor_endings", None), 0.0);
        assert_eq!(world.log.records(Topic::DeadLetterQueue).len(), 0);
    });
}

#[test]
fn a_process_that_stood_still_replaces_nobody() {
    story(|| async {
        let world = World::with(Cast { limits: patient(), ..Cast::default() });
        let (node, stage) = world.start_on_stage(1, "node");
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        // SIGSTOP for 20 s: the whole tree stands still, clocks go on.
        stage.hold(0);
        pass(20).await;
        stage.go_on(0);
        pass(3).await;
        assert_eq!(metric(&node, "callboard_actor_endings", None), 0.0);
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        world.audit("c1");
    });
}

/// Never comes back from its first call, whatever timeout it is given.
#[derive(Default)]
struct Hangs(AtomicUsize);

impl Synthesizer for Hangs {
    fn write(
        &self,
        _: SynthesizeFinalAnswerRequested,
        _: u64,
        _: Arc<dyn AnswerSink>,
    ) -> BoxFuture<'_, Result<Answer, ModelError>> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            return Box::pin(std::future::pending());
        }
        let author =
            Author { provider: "builtin".into(), model: None, input_tokens: None, output_tokens: None };
        Box::pin(async move { Ok(Answer::new("done", author)) })
    }
}

#[test]
fn a_synthesizer_that_hangs_does_not_keep_its_worker() {
    story(|| async {
        let limits = Limits { synthesis_workers: 1, ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let hangs = Arc::new(Hangs::default());
        let ports =
            Ports { synthesizer: hangs.clone(), ..world.ports("node", Arc::new(OneArbiter::start())) };
        let node = callboard_actors::start(ports, World::roles(), world.limits.clone(), "node");
        world.say("c1", "k1", "one").await;
        until("it hangs", || hangs.0.load(Ordering::SeqCst) == 1).await;
        world.say("c2", "k1", "one").await;
        // Nobody can take the second request before the only worker is replaced.
        assert_ne!(world.ended(&node, "c1", "k1").await.status, "pending");
        until("the worker is replaced", || wedged(&node) == 1.0).await;
        world.say("c2", "k2", "two").await;
        world.answered(&node, "c2", "k2").await;
        world.audit("c1");
        world.audit("c2");
    });
}
