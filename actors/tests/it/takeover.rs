//! Two processes share the partitions: they move while turns are in flight, and every turn still ends once.

use std::time::Duration;

use callboard_actors::{Limits, Node};
use callboard_ports::fakes::Gate;

use crate::check::metric;
use crate::world::{Cast, World, pass, story, until};

const CONVERSATIONS: usize = 24;

fn answers(world: &World) -> usize {
    (0..CONVERSATIONS).map(|i| world.count(&format!("c{i}"), "FinalAnswerSynthesized")).sum()
}

async fn ask_everybody(world: &World, id: &str, message: &str) {
    for i in 0..CONVERSATIONS {
        world.say(&format!("c{i}"), id, message).await;
    }
}

fn owned(node: &Node) -> f64 {
    metric(node, "callboard_partitions_owned", None)
}

fn audit_everybody(world: &World, turns: u32) {
    for i in 0..CONVERSATIONS {
        let report = world.audit(&format!("c{i}"));
        assert_eq!((report.turns, report.answered), (turns, turns), "c{i}");
    }
}

#[test]
fn partitions_move_to_a_second_process_and_back_with_turns_in_flight() {
    story(|| async {
        let world = World::new();
        let first = world.start();
        ask_everybody(&world, "k1", "one; slow two").await;
        until("all tools run that may", || world.slow.calls() == 16).await;
        let second = world.start_named("second", World::roles());
        until("each has its share", || (owned(&first), owned(&second)) == (2.0, 2.0)).await;
        ask_everybody(&world, "k2", "three").await;
        pass(1).await;
        world.slow_gate.open();
        until("all turns are answered", || answers(&world) >= 2 * CONVERSATIONS).await;
        audit_everybody(&world, 2);

        world.slow_gate.close();
        ask_everybody(&world, "k3", "slow one").await;
        pass(1).await;
        first.stop(Duration::from_secs(30)).await;
        until("the second has everything", || owned(&second) == 4.0).await;
        world.slow_gate.open();
        until("all turns are answered", || answers(&world) >= 3 * CONVERSATIONS).await;
        pass(60).await;
        audit_everybody(&world, 3);
        for i in 0..CONVERSATIONS {
            world.equals_replay(&second, &format!("c{i}")).await;
        }
    });
}

#[test]
fn a_partition_that_takes_long_to_be_written_down_holds_no_other_back() {
    story(|| async {
        let limits = Limits { flush_every: Duration::from_secs(3_600), ..Limits::default() };
        let world = World::with(Cast { limits, ..Cast::default() });
        let first = world.start();
        ask_everybody(&world, "k1", "one").await;
        until("all turns are answered", || answers(&world) >= CONVERSATIONS).await;
        let store = Gate::closed();
        world.snapshots.hold_flushes_at(&store);
        let second = world.start_named("second", World::roles());
        until("it gives up its share", || owned(&first) == 2.0).await;
        ask_everybody(&world, "k2", "two").await;
        // Half of them are where they were, and need nothing of those that leave.
        pass(2).await;
        assert!(answers(&world) >= CONVERSATIONS + CONVERSATIONS / 4, "{}", answers(&world));
        store.open();
        until("all turns are answered", || answers(&world) >= 2 * CONVERSATIONS).await;
        assert_eq!((owned(&first), owned(&second)), (2.0, 2.0));
        audit_everybody(&world, 2);
    });
}

#[test]
fn the_same_identity_twice_fences_the_first() {
    story(|| async {
        let world = World::new();
        let first = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        let second = world.start();
        let fatal = first.failed().await;
        assert!(matches!(fatal, callboard_actors::Fatal::Fenced(_)), "{fatal}");
        world.slow_gate.open();
        world.answered(&second, "c1", "k1").await;
        assert_eq!(world.audit("c1").answered, 1);
        world.equals_replay(&second, "c1").await;
    });
}
