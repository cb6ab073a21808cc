//! Every kind of actor is killed in every way while a turn is in flight: the turn ends once, the ending has its name, and
//! whoever keeps dying is given up by its supervisor.

use std::time::Duration;

use callboard_actors::{Fatal, KillHow, Node, NodeError};
use callboard_ports::fakes::Gate;
use callboard_ports::partition::partition_of;

use crate::check::{find, find_in, metric};
use crate::world::{Cast, PARTITIONS, World, pass, story, until};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Worker,
    Pool,
    SynthesisWorker,
    Synthesis,
    Planner,
    Conversation,
    Host,
    Bridge,
    Guardian,
}

const EVERYBODY: [Victim; 9] = [
    Victim::Worker,
    Victim::Pool,
    Victim::SynthesisWorker,
    Victim::Synthesis,
    Victim::Planner,
    Victim::Conversation,
    Victim::Host,
    Victim::Bridge,
    Victim::Guardian,
];

impl Victim {
    async fn path(self, node: &Node) -> String {
        let host = format!("/bridge-0/host-{}", partition_of(b"c1", PARTITIONS));
        match self {
            Self::Worker => busy(node, "/pool-default-0/").await,
            Self::SynthesisWorker => busy(node, "/synthesis-0/").await,
            Self::Pool => "/pool-default-0".into(),
            Self::Synthesis => "/synthesis-0".into(),
            Self::Planner => "/bridge-0/planner".into(),
            Self::Conversation => format!("{host}/c1"),
            Self::Host => host,
            Self::Bridge => "/bridge-0".into(),
            Self::Guardian => "/".into(),
        }
    }
}

/// The worker that has something in hand.
async fn busy(node: &Node, pool: &str) -> String {
    let tree = node.actors().await;
    find_in(&tree, pool, "busy").expect("a worker is busy").path.clone()
}

/// The name that the supervisor gives to an ending by `how`. The guardian has nobody above it that could abort its task, so
/// that it is stopped instead.
fn ending(victim: Victim, how: KillHow) -> &'static str {
    match how {
        KillHow::Panic => "panicked",
        KillHow::Wedge => "wedged",
        KillHow::Abort if victim != Victim::Guardian => "killed",
        KillHow::Abort | KillHow::Stop => "told_to_stop",
    }
}

async fn killed_in_flight(victim: Victim, how: KillHow) {
    let (planner, synthesis) = (Gate::closed(), Gate::closed());
    let world = World::with(Cast {
        planner_gate: Some(planner.clone()),
        synthesis_gate: Some(synthesis.clone()),
        ..Cast::default()
    });
    let node = world.start();
    world.say("c1", "k1", "one; slow two").await;
    if victim == Victim::Planner {
        until("the planner is asked", || world.planner.calls() == 1).await;
    } else {
        planner.open();
        until("a tool runs", || world.slow.calls() == 1).await;
    }
    if matches!(victim, Victim::Synthesis | Victim::SynthesisWorker) {
        world.slow_gate.open();
        until("the answer is being written", || world.synthesizer.calls() == 1).await;
    }
    let path = victim.path(&node).await;
    node.kill(&path, how).await.unwrap();
    // Longer than the first back-off, and than a wedged actor goes unnoticed.
    pass(if how == KillHow::Wedge { 10 } else { 1 }).await;

    [&planner, &synthesis, &world.slow_gate].into_iter().for_each(Gate::open);
    world.answered(&node, "c1", "k1").await;
    world.say("c1", "k2", "again").await;
    world.answered(&node, "c1", "k2").await;
    let report = world.audit("c1");
    assert_eq!((report.turns, report.answered), (2, 2), "{victim:?} {how:?}");
    world.equals_replay(&node, "c1").await;

    let gauges =
        ["callboard_conversations_live", "callboard_partitions_owned"].map(|name| metric(&node, name, None));
    assert_eq!(gauges, [1.0, f64::from(PARTITIONS)], "{victim:?} {how:?}: the dead are not counted");
    let name = ending(victim, how);
    assert_eq!(metric(&node, "callboard_actor_endings", Some(name)), 1.0, "{victim:?} {how:?}");
    let tree = node.actors().await;
    let shown = find(&tree, &path).expect("it is back");
    assert!(!["silent", "restarting", "loading"].contains(&&*shown.state), "{victim:?} {how:?}: {shown:?}");
    assert_eq!((shown.restarts, shown.endings.get(name)), (1, Some(&1)), "{victim:?} {how:?}: {shown:?}");
}

fn everybody_killed_by(how: KillHow) {
    for victim in EVERYBODY {
        story(move || killed_in_flight(victim, how));
    }
}

#[test]
fn a_panic_of_anybody_leaves_the_turn_whole() {
    everybody_killed_by(KillHow::Panic);
}

#[test]
fn a_stop_of_anybody_leaves_the_turn_whole() {
    everybody_killed_by(KillHow::Stop);
}

#[test]
fn an_abort_of_anybody_leaves_the_turn_whole() {
    everybody_killed_by(KillHow::Abort);
}

#[test]
fn a_wedge_of_anybody_is_noticed_and_leaves_the_turn_whole() {
    everybody_killed_by(KillHow::Wedge);
}

/// Kills whoever is at `path`, as often as told, each time when it is back.
async fn keep_killing(node: &Node, path: &str, times: usize) {
    for _ in 0..times {
        while find(&node.actors().await, path)
            .is_none_or(|shown| ["silent", "restarting", "loading"].contains(&&*shown.state))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        node.kill(path, KillHow::Panic).await.unwrap();
        // The ending reaches the supervisor.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_group_that_keeps_dying_is_fatal() {
    for (path, group) in [("/pool-default-0", "pool-default"), ("/bridge-0", "bridge")] {
        story(move || async move {
            let world = World::new();
            let node = world.start();
            pass(1).await;
            keep_killing(&node, path, 10).await;
            assert!(node.readiness().waiting_for.iter().all(|why| !why.contains("budget")), "{path}");
            keep_killing(&node, path, 1).await;
            assert_eq!(node.failed().await, Fatal::BudgetExhausted(group.to_owned()));
            assert!(!node.readiness().ready);
        });
    }
}

#[test]
fn a_guardian_that_keeps_dying_is_fatal() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        pass(1).await;
        keep_killing(&node, "/", 11).await;
        assert!(matches!(node.failed().await, Fatal::BudgetExhausted(_)));
    });
}

#[test]
fn a_child_that_keeps_dying_takes_its_supervisor_down_which_starts_anew() {
    for (child, parent) in [
        ("/pool-default-0/worker-3", "/pool-default-0"),
        ("/bridge-0/planner", "/bridge-0"),
        ("/bridge-0/host-2", "/bridge-0"),
    ] {
        story(move || async move {
            let world = World::new();
            let node = world.start();
            world.say("c1", "k1", "one; slow two").await;
            until("a tool runs", || world.slow.calls() == 1).await;
            keep_killing(&node, child, 11).await;
            pass(1).await;
            let tree = node.actors().await;
            let shown = find(&tree, parent).unwrap();
            assert_eq!(
                (shown.restarts, shown.endings.get("escalated")),
                (1, Some(&1)),
                "{parent}: {shown:?}"
            );
            world.slow_gate.open();
            world.answered(&node, "c1", "k1").await;
            world.audit("c1");
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn a_conversation_that_keeps_dying_rests_and_harms_nobody() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("a tool runs", || world.slow.calls() == 1).await;
        let path = Victim::Conversation.path(&node).await;
        keep_killing(&node, &path, 11).await;
        world.slow_gate.open();
        for other in 0..20 {
            let other = format!("other-{other}");
            world.say(&other, "k1", "hello").await;
            world.answered(&node, &other, "k1").await;
        }
        world.answered(&node, "c1", "k1").await;
        assert_eq!(metric(&node, "callboard_actor_endings", Some("panicked")), 11.0);
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn nobody_is_killed_where_nobody_is() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        pass(1).await;
        let nowhere = [
            ("/nobody", "/"),
            ("/bridge-0/host-9", "/bridge-0/host-0"),
            ("/pool-default-0/worker-0/child", "/pool-default-0/worker-0"),
            ("/bridge-0/host-0/c9", "/bridge-0/host-0"),
        ];
        for (path, nearest) in nowhere {
            for how in [KillHow::Panic, KillHow::Stop, KillHow::Abort, KillHow::Wedge] {
                let error = node.kill(path, how).await.unwrap_err();
                assert!(error.to_string().contains(path), "{error}");
                let NodeError::NoSuchActor { near, .. } = error else { panic!("{error}") };
                assert_eq!(near.first().map(String::as_str), Some(nearest), "{path}: {near:?}");
            }
        }
    });
}
