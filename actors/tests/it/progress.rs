//! How soon things go on: after a supervisor's death the plan goes on within twice its back-off, the metrics say how long it
//! took, and whoever cannot be helped ends the node in order.

use std::time::Duration;

use callboard_actors::{Fatal, KillHow, Limits, Node};
use callboard_ports::fakes::Gate;
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;

use crate::check::{find, metric};
use crate::world::{Cast, PARTITIONS, World, pass, story, until};

/// The longest first pause of a supervisor.
const BACK_OFF: Duration = Duration::from_millis(20);

fn records(world: &World) -> usize {
    Topic::ALL.iter().map(|topic| world.log.records(*topic).len()).sum()
}

/// Kills `path` while the plan waits for `gate`, opens the gate, and measures until the plan's next record.
async fn next_progress(world: &World, node: &Node, path: &str, how: KillHow, gate: &Gate) -> Duration {
    let before = records(world);
    let killed = tokio::time::Instant::now();
    node.kill(path, how).await.unwrap();
    gate.open();
    while records(world) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(killed.elapsed() < Duration::from_secs(60), "{path}: the plan never goes on");
    }
    killed.elapsed()
}

#[test]
fn a_plan_goes_on_within_twice_the_back_off_of_a_killed_supervisor() {
    let host = format!("/bridge-0/host-{}", partition_of(b"c1", PARTITIONS));
    let supervisors = ["/", "/bridge-0", &*host, "/bridge-0/planner", "/pool-default-0", "/synthesis-0"];
    for path in supervisors.map(str::to_owned) {
        for how in [KillHow::Panic, KillHow::Stop, KillHow::Abort] {
            let path = path.clone();
            story(move || async move {
                let (planner, synthesis) = (Gate::closed(), Gate::closed());
                let world = World::with(Cast {
                    planner_gate: Some(planner.clone()),
                    synthesis_gate: Some(synthesis.clone()),
                    ..Cast::default()
                });
                let node = world.start();
                world.say("c1", "k1", "slow one").await;
                until("the planner is asked", || world.planner.calls() == 1).await;
                // As far as the killed one has something in hand.
                let mut gate = planner.clone();
                if !path.ends_with("planner") {
                    planner.open();
                    until("the tool runs", || world.slow.calls() == 1).await;
                    gate = world.slow_gate.clone();
                }
                if path.starts_with("/synthesis") {
                    world.slow_gate.open();
                    until("the answer is being written", || world.synthesizer.calls() == 1).await;
                    gate = synthesis.clone();
                }
                let took = next_progress(&world, &node, &path, how, &gate).await;
                assert!(took <= 2 * BACK_OFF, "{path} {how:?}: {took:?}");
                [&planner, &synthesis, &world.slow_gate].into_iter().for_each(Gate::open);
                world.answered(&node, "c1", "k1").await;
                world.audit("c1");
            });
        }
    }
}

#[test]
fn recoveries_are_counted_and_timed_by_what_was_lost() {
    for (path, what) in [
        ("/", "guardian"),
        ("/bridge-0", "bridge"),
        ("/bridge-0/host-2", "partition_host"),
        ("/pool-default-0", "tool_pool"),
        ("/synthesis-0", "synthesis_pool"),
    ] {
        story(move || async move {
            let world = World::new();
            let node = world.start();
            let recoveries = |of: &str| metric(&node, "callboard_recoveries", Some(of));
            until("the start is counted", || recoveries("node") == 1.0).await;
            node.kill(path, KillHow::Panic).await.unwrap();
            until("it is back", || recoveries(what) == 1.0).await;
            let seconds = metric(&node, "callboard_last_recovery_seconds", Some(what));
            assert!((0.010..0.040).contains(&seconds), "{path}: {seconds}");
            assert!(node.readiness().ready);
            assert_eq!(metric(&node, "callboard_recoveries", None), 2.0, "{path}: nothing else was lost");
            let kind = if what == "bridge" { "bridge" } else { what };
            assert_eq!(metric(&node, "callboard_actor_endings", Some(kind)), 1.0, "{path}");
        });
    }
}

/// Kills whoever is at `path` as soon as it is back, until the node gives up.
async fn until_the_node_gives_up(node: &Node, path: &str) -> Fatal {
    let kill = async {
        loop {
            let _ = node.kill(path, KillHow::Panic).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        biased;
        fatal = node.failed() => fatal,
        () = kill => unreachable!("it never ends"),
    }
}

#[test]
fn a_worker_that_cannot_live_takes_its_pool_then_its_group_then_the_node_down() {
    for (child, group) in [
        ("/pool-default-0/worker-3", "pool-default"),
        ("/bridge-0/planner", "bridge"),
        ("/bridge-0/host-1", "bridge"),
    ] {
        story(move || async move {
            let world = World::new();
            let node = world.start();
            until("the node is ready", || node.readiness().ready).await;
            world.say("c1", "k1", "slow one").await;
            until("the tool runs", || world.slow.calls() == 1).await;
            let before = tokio::time::Instant::now();
            let fatal = until_the_node_gives_up(&node, child).await;
            assert_eq!(fatal, Fatal::BudgetExhausted(group.to_owned()), "{child}");
            assert!(before.elapsed() < Duration::from_secs(90), "{child}: {:?}", before.elapsed());
            let escalated = metric(&node, "callboard_actor_endings", Some("escalated"));
            assert!(escalated >= 3.0, "{child}: {escalated}");
            assert!(node.readiness().waiting_for[0].contains("restart budget"));

            // An orderly end: what is left of the node hands over and writes down.
            node.stop(Duration::from_secs(7)).await;
            drop(node);
            world.crash().await;
            world.slow_gate.open();
            let node = world.start();
            // Answered, or failed because no worker lived long enough for its tool.
            world.ended(&node, "c1", "k1").await;
            world.say("c1", "k2", "again").await;
            world.answered(&node, "c1", "k2").await;
            world.audit("c1");
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn every_box_of_the_tree_shows_itself_with_its_endings() {
    story(|| async {
        let limits = Limits { lease_margin: Duration::from_secs(600), ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        let host = format!("/bridge-0/host-{}", partition_of(b"c1", PARTITIONS));
        let conversation = format!("{host}/c1");
        let boxes = [
            ("/", "guardian"),
            ("/bridge-0", "bridge"),
            (&*host, "partition_host"),
            (&*conversation, "conversation"),
            ("/bridge-0/planner", "planner_pool"),
            ("/pool-default-0", "tool_pool"),
            ("/pool-default-0/worker-0", "worker"),
            ("/synthesis-0", "synthesis_pool"),
            ("/synthesis-0/worker-0", "worker"),
        ];
        // From the leaves to the root: a parent takes its children's counts with it.
        for (path, kind) in boxes.into_iter().rev() {
            node.kill(path, KillHow::Abort).await.unwrap();
            pass(1).await;
            let tree = node.actors().await;
            let shown = find(&tree, path).unwrap_or_else(|| panic!("{path} is in the tree"));
            assert_eq!((shown.kind, &*shown.path), (kind, path));
            let ending = if path == "/" { "told_to_stop" } else { "killed" };
            assert_eq!((shown.restarts, shown.endings.get(ending)), (1, Some(&1)), "{path}: {shown:?}");
            assert!(shown.mailbox.capacity > 0, "{path}: {shown:?}");
            // By kind and ending, as a metric.
            let lines = node.metrics().snapshot();
            let counted = lines.iter().find(|line| {
                line.name == "callboard_actor_endings"
                    && line.labels.contains(&("kind", kind.to_owned()))
                    && line.labels.contains(&("ending", ending.to_owned()))
            });
            assert!(counted.is_some(), "{path}: {lines:?}");
        }
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        world.audit("c1");
    });
}
