//! An arbiter stops and never comes back, or comes back when everybody has forgotten it: what was on it goes on elsewhere, and
//! what it says late counts for nothing.

use callboard_actors::{Fatal, Node};
use callboard_ports::record::Topic;

use crate::check::metric;
use crate::stage::Seat;
use crate::world::{Cast, NAMELESS, PARTITIONS, World, pass, story, until};

/// Conversations on every partition.
const CONVERSATIONS: usize = 12;

fn names() -> impl Iterator<Item = String> {
    (0..CONVERSATIONS).map(|i| format!("c{i}"))
}

/// Everybody has a turn with a tool call under way, and then an arbiter stops.
async fn stopped(world: &World, process: &str, arbiter: usize) -> (Node, Seat) {
    let (node, stage) = world.start_on_stage(2, process);
    for of in names() {
        world.say(&of, "k1", "one; slow two").await;
    }
    until("the tools run", || world.slow.calls() == CONVERSATIONS).await;
    stage.hold(arbiter);
    // Whoever asks meanwhile is not answered, and not for ever.
    let asked = node.actors();
    pass(4).await;
    let seat = stage.abandon(arbiter);
    drop(asked);
    (node, seat)
}

async fn all_answered(world: &World, node: &Node, command: &str) {
    for of in names() {
        world.answered(node, &of, command).await;
    }
}

async fn all_is_well(world: &World, node: &Node, turns: u32) {
    for of in names() {
        let report = world.audit(&of);
        assert_eq!((report.turns, report.answered), (turns, turns), "{of}");
        world.equals_replay(node, &of).await;
    }
    assert_eq!(world.log.records(Topic::DeadLetterQueue).len(), 0);
    assert!(node.readiness().ready, "{:?}", node.readiness());
    // Every partition is known to whoever asks.
    let listed = node.conversations(None, 100).await.unwrap();
    assert_eq!(listed.len(), CONVERSATIONS, "{listed:?}");
}

#[test]
fn the_turns_of_an_arbiter_that_never_comes_back_go_on_elsewhere() {
    for (arbiter, process) in [(0, "node"), (1, "node"), (0, NAMELESS), (1, NAMELESS)] {
        story(move || async move {
            let world = World::new();
            let (node, seat) = stopped(&world, process, arbiter).await;
            world.slow_gate.open();
            all_answered(&world, &node, "k1").await;
            for of in names() {
                world.say(&of, "k2", "again").await;
            }
            all_answered(&world, &node, "k2").await;
            all_is_well(&world, &node, 2).await;
            assert_eq!(metric(&node, "callboard_arbiters_wedged", None), 1.0);
            let wedged = metric(&node, "callboard_actor_endings", Some("wedged"));
            // The guardian, or the three groups that had a lane there.
            assert_eq!(wedged, if arbiter == 0 { 1.0 } else { 3.0 });
            let tree = node.actors().await;
            let count = |views: &[callboard_actors::ActorView]| {
                views.iter().filter_map(|view| view.endings.get("wedged")).sum::<u32>()
            };
            // Both lanes of a group show the group's endings.
            let shown = if arbiter == 0 { tree.endings["wedged"] } else { count(&tree.children) };
            assert_eq!(shown, if arbiter == 0 { 1 } else { 6 });
            drop(seat);
        });
    }
}

#[test]
fn an_arbiter_that_comes_back_late_changes_nothing() {
    for arbiter in [0, 1] {
        for after_the_end in [false, true] {
            story(move || async move {
                let world = World::new();
                let (node, seat) = stopped(&world, "node", arbiter).await;
                if after_the_end {
                    world.slow_gate.open();
                    all_answered(&world, &node, "k1").await;
                    // Snapshots of the successor are written, which nothing older may replace.
                    pass(5).await;
                    seat.go_on();
                } else {
                    pass(1).await;
                    seat.go_on();
                    pass(1).await;
                    world.slow_gate.open();
                    all_answered(&world, &node, "k1").await;
                }
                // Much longer than the thread would be left alone.
                pass(10).await;
                seat.end();
                for of in names() {
                    world.say(&of, "k2", "again").await;
                }
                all_answered(&world, &node, "k2").await;
                all_is_well(&world, &node, 2).await;
                let fatal = tokio::time::timeout(std::time::Duration::from_secs(1), node.failed()).await;
                assert!(fatal.is_err(), "{fatal:?}");
                assert_eq!(metric(&node, "callboard_partitions_owned", None), f64::from(PARTITIONS));

                // What is on the disk is the log's, too.
                pass(5).await;
                drop(node);
                world.crash().await;
                let node = world.start();
                all_answered(&world, &node, "k1").await;
                all_is_well(&world, &node, 2).await;
                assert_eq!(metric(&node, "callboard_snapshots_unusable", None), 0.0);
            });
        }
    }
}

#[test]
fn a_second_arbiter_that_stops_ends_the_node() {
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        story(move || async move {
            let world = World::with(Cast::default());
            let (node, stage) = world.start_on_stage(2, "node");
            world.say("c1", "k1", "slow one").await;
            until("the tool runs", || world.slow.calls() == 1).await;
            stage.hold(first);
            let _first = stage.abandon(first);
            pass(1).await;
            assert!(node.readiness().ready, "{:?}", node.readiness());
            stage.hold(second);
            let _second = stage.abandon(second);
            let Fatal::Wedged(why) = node.failed().await else { panic!("another reason") };
            assert!(why.contains(&format!("arbiter {second}")), "{why}");
            assert!(!node.readiness().ready);
            // Its end is bounded, however much of it does not answer.
            let before = tokio::time::Instant::now();
            node.stop(std::time::Duration::from_secs(7)).await;
            assert!(before.elapsed().as_secs() <= 7);
            drop(node);
            world.crash().await;

            let node = world.start();
            world.slow_gate.open();
            world.answered(&node, "c1", "k1").await;
            world.audit("c1");
        });
    }
}
