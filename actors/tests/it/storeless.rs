//! A snapshot store that does not work: the partition goes on without, calmly and loudly, and takes it up again when it works.

use callboard_actors::{Limits, Node};
use callboard_domain::id::ConversationId;
use callboard_ports::snapshot::{SnapshotError, SnapshotStore};

use crate::check::metric;
use crate::world::{Cast, PARTITIONS, World, conversation, pass, story, until};

/// Enough for all partitions.
const MANY: usize = 16;

fn restarts(node: &Node) -> f64 {
    metric(node, "callboard_actor_endings", Some("partition_host"))
}

fn without(node: &Node) -> f64 {
    metric(node, "callboard_partitions_without_snapshots", None)
}

/// A turn in each of some conversations.
async fn talk(world: &World, node: &Node, round: usize) {
    for i in 0..MANY {
        let (of, id) = (format!("c{i}"), format!("k{round}"));
        world.say(&of, &id, "one").await;
        world.answered(node, &of, &id).await;
    }
}

#[test]
fn a_store_that_stays_corrupt_costs_two_starts_and_then_nothing() {
    story(|| async {
        let limits = Limits { passivate_after: std::time::Duration::from_secs(2), ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start();
        talk(&world, &node, 0).await;
        pass(1).await;
        world.snapshots.interrupt(Some(SnapshotError::Corrupt("torn".into())));
        for round in 1..30 {
            talk(&world, &node, round).await;
            pass(1).await;
        }
        assert!(restarts(&node) <= 2.0 * f64::from(PARTITIONS), "{}", restarts(&node));
        assert_eq!(without(&node), f64::from(PARTITIONS));
        let readiness = node.readiness();
        assert!(readiness.ready && readiness.notes[0].contains("without snapshots"), "{readiness:?}");
        let before = restarts(&node);
        // Passivated ones come back from the log, and everybody is still listed.
        until("all have left", || metric(&node, "callboard_conversations_live", None) == 0.0).await;
        for i in 0..MANY {
            world.equals_replay(&node, &format!("c{i}")).await;
        }
        let mut ids: Vec<ConversationId> = (0..MANY).map(|i| conversation(&format!("c{i}"))).collect();
        ids.sort();
        assert_eq!(node.conversations(None, 100).await.unwrap(), ids);
        assert_eq!(restarts(&node), before);

        // It works again: taken up by itself, and what was said meanwhile is snapshotted.
        world.snapshots.interrupt(None);
        pass(600).await;
        until("it is used again", || without(&node) == 0.0 && node.readiness().ready).await;
        assert_eq!(node.readiness().notes, Vec::<String>::new());
        talk(&world, &node, 30).await;
        pass(2).await;
        for i in 0..MANY {
            let id = format!("c{i}");
            let partition = callboard_ports::partition::partition_of(id.as_bytes(), PARTITIONS);
            assert!(world.snapshots.load(partition, &conversation(&id)).await.unwrap().snapshot.is_some());
            assert_eq!(world.audit(&id).answered, 31);
        }
    });
}

#[test]
fn a_start_without_a_working_store_reads_the_log_and_keeps_what_the_store_has() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        talk(&world, &node, 0).await;
        world.say("c0", "open", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        pass(1).await;
        world.crash().await;
        world.snapshots.interrupt(Some(SnapshotError::Failed("the disk does not answer".into())));
        let node = world.start();
        until("it serves", || node.readiness().ready).await;
        assert_eq!(without(&node), f64::from(PARTITIONS));
        world.slow_gate.open();
        talk(&world, &node, 1).await;
        world.answered(&node, "c0", "open").await;
        world.snapshots.interrupt(None);
        let kept = world.snapshots.checkpoint(0).await.unwrap();
        assert!(kept.is_some(), "what only did not answer is not thrown away");
        pass(120).await;
        until("it is used again", || without(&node) == 0.0 && node.readiness().ready).await;
        for i in 0..MANY {
            world.equals_replay(&node, &format!("c{i}")).await;
        }
    });
}

#[test]
fn a_long_catch_up_without_a_store_forgets_nobody() {
    story(|| async {
        let limits = Limits { catch_up_states: 3, ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start();
        for round in 0..3 {
            for i in 0..40 {
                let (of, id) = (format!("c{i}"), format!("k{round}"));
                let open = round == 2 && i % 5 == 0;
                world.say(&of, &id, if open { "slow one" } else { "one" }).await;
                if !open {
                    world.answered(&node, &of, &id).await;
                }
            }
        }
        until("the tools run", || world.slow.calls() == 8).await;
        world.crash().await;
        world.snapshots.interrupt(Some(SnapshotError::Corrupt("torn".into())));
        let node = world.start();
        until("it serves", || node.readiness().ready).await;
        world.slow_gate.open();
        for i in 0..40 {
            world.answered(&node, &format!("c{i}"), "k2").await;
            assert_eq!(world.audit(&format!("c{i}")).answered, 3);
            world.equals_replay(&node, &format!("c{i}")).await;
        }
    });
}
