//! Writing down what a catch-up has folded: one after the other, as fast as the store takes it, and never in circles.

use callboard_actors::{KillHow, Limits};
use callboard_ports::fakes::Gate;
use callboard_ports::partition::partition_of;
use callboard_ports::snapshot::SnapshotStore;

use crate::world::{Cast, PARTITIONS, World, conversation, pass, story};

#[test]
fn a_host_does_not_spin_while_whoever_is_to_be_written_down_next_is_being_loaded() {
    story(|| async {
        let limits = Limits { flush_conversations: 1, ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let here = |id: &String| partition_of(id.as_bytes(), PARTITIONS) == 0;
        let ids: Vec<String> = (0..100).map(|i| format!("c{i}")).filter(here).take(3).collect();
        let node = world.start();
        for id in &ids {
            world.say(id, "k1", "one").await;
            world.answered(&node, id, "k1").await;
        }
        world.crash().await;
        world.snapshots.discard(0).await.unwrap();

        // The first of them is on its way into the store, the second comes into memory, and dies there.
        let (flushes, loads) = (Gate::closed(), Gate::closed());
        world.snapshots.hold_flushes_at(&flushes);
        let node = world.start();
        pass(1).await;
        world.answered(&node, &ids[1], "k1").await;
        world.snapshots.hold_loads_at(&loads);
        node.kill(&format!("/bridge-0/host-0/{}", ids[1]), KillHow::Abort).await.unwrap();
        flushes.open();
        // Virtual time: it stands still for a host that is never through.
        pass(5).await;
        loads.open();
        world.say(&ids[1], "k2", "one").await;
        world.answered(&node, &ids[1], "k2").await;
        pass(5).await;
        for id in &ids {
            let stored = world.snapshots.load(0, &conversation(id)).await.unwrap();
            assert!(stored.snapshot.is_some(), "{id} is written down");
        }
    });
}
