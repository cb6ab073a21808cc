//! What a closed turn leaves behind: it is called off, at last it is in doubt, and it stays on record until somebody knows, in
//! memory or not, whatever is restarted. Nobody is woken for nothing.

use std::time::Duration;

use callboard_actors::{Limits, Node, OpenFilter, Roles};
use callboard_domain::State;
use callboard_domain::event::Settlement;
use callboard_domain::open_turns::OpenStatus;
use callboard_domain::plan::EffectClass;
use callboard_ports::record::Topic;
use callboard_ports::tool::Tool;

use crate::check::{envelope, metric};
use crate::deeds::Deed;
use crate::settle::EFFECT;
use crate::world::{Cast, World, conversation, pass, story, until};

fn fleeting(deed: &std::sync::Arc<Deed>) -> World {
    let limits = Limits { passivate_after: Duration::from_secs(5), ..Cast::default().limits };
    World::with(Cast { others: vec![deed.clone() as std::sync::Arc<dyn Tool>], limits, ..Cast::default() })
}

fn no_pool() -> Roles {
    Roles { pools: Vec::new(), ..World::roles() }
}

fn cancels(world: &World) -> usize {
    let records = world.log.records(Topic::ToolInvocationRequests).into_iter();
    records.filter(|record| envelope(record)["type"] == "ToolInvocationCancelled").count()
}

async fn doubts(node: &Node) -> Vec<(String, bool)> {
    let filter = OpenFilter { status: Some(OpenStatus::InDoubt), ..OpenFilter::default() };
    let page = node.open_turns(&filter, None, 10).await.unwrap();
    page.turns.into_iter().map(|turn| (turn.in_doubt[0].to_string(), turn.ended)).collect()
}

#[test]
fn a_cancelled_unsafe_step_that_nobody_answers_is_called_off_then_in_doubt_then_settled() {
    story(|| async {
        let deed = Deed::new("deed", EffectClass::Unsafe);
        let world = fleeting(&deed);
        let node = world.start_as(no_pool());
        world.say("c1", "k1", "deed one").await;
        until("it is requested", || world.requests("c1").len() == 1).await;
        world.cancel("c1", "x1", "k1").await;
        assert_eq!(world.ended(&node, "c1", "k1").await.status, "cancelled");
        until("it is called off", || cancels(&world) == 1).await;
        // Told again a few times, until its deadline says that nobody will answer.
        pass(70).await;
        assert!((2..=8).contains(&cancels(&world)), "{}", cancels(&world));
        assert_eq!(world.count("c1", "ToolInvocationInDoubt"), 1);
        // Nothing is due any more: the conversation leaves, and nobody wakes it.
        let live = || metric(&node, "callboard_conversations_live", None);
        until("it has left", || live() == 0.0).await;
        let (told, loaded) = (cancels(&world), metric(&node, "callboard_conversations_loaded", None));
        pass(3_600).await;
        assert_eq!((cancels(&world), live()), (told, 0.0));
        assert_eq!(metric(&node, "callboard_conversations_loaded", None), loaded, "woken for nothing");
        // It is known all the same, here and after a restart, which loads nothing for it.
        assert_eq!(doubts(&node).await, [(EFFECT.to_owned(), true)]);
        until("the gauge says so", || metric(&node, "callboard_effects_in_doubt", None) == 1.0).await;
        world.crash().await;
        let node = world.start_as(no_pool());
        until("it is ready", || node.readiness().ready).await;
        assert_eq!(doubts(&node).await, [(EFFECT.to_owned(), true)]);
        assert_eq!(metric(&node, "callboard_conversations_loaded", None), 0.0);
        until("the gauge says so", || metric(&node, "callboard_effects_in_doubt", None) == 1.0).await;

        world.settle("x2", EFFECT, Settlement::NotDone).await;
        assert!(world.commanded(&node, "c1", "x2").await.took_effect);
        assert_eq!(doubts(&node).await, []);
        until("the gauge says so", || metric(&node, "callboard_effects_in_doubt", None) == 0.0).await;
        assert_eq!(
            (deed.begun(), world.requests("c1").iter().filter(|(_, attempt)| *attempt > 1).count()),
            (0, 0)
        );
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_closed_turn_in_doubt_survives_every_loss_of_the_snapshots() {
    for lose_everything in [false, true] {
        story(move || async move {
            let (world, deed) = crate::settle::world_with_a_deed();
            let node = world.start();
            world.in_doubt(&deed).await;
            world.cancel("c1", "x1", "k1").await;
            assert_eq!(world.ended(&node, "c1", "k1").await.status, "cancelled");
            pass(1).await;
            world.crash().await;
            if lose_everything {
                use callboard_ports::snapshot::SnapshotStore;
                for partition in 0..crate::world::PARTITIONS {
                    world.snapshots.discard(partition).await.unwrap();
                }
            }
            let node = world.start();
            until("it is ready", || node.readiness().ready).await;
            assert_eq!(doubts(&node).await, [(EFFECT.to_owned(), true)]);
            let held = node.read(&conversation("c1"), |state: &State| state.doubts().count()).await.unwrap();
            assert_eq!((held, deed.done()), (1, 1));
        });
    }
}

#[test]
fn a_late_result_after_the_turn_closed_settles_the_step_and_the_host_lets_go() {
    story(|| async {
        let world = World::with(Cast {
            limits: Limits { passivate_after: Duration::from_secs(5), ..Cast::default().limits },
            ..Cast::default()
        });
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        world.cancel("c1", "x1", "k1").await;
        assert_eq!(world.ended(&node, "c1", "k1").await.status, "cancelled");
        world.slow_gate.open();
        until("it is answered", || world.count("c1", "ToolInvocationResulted") == 1).await;
        let told = cancels(&world);
        until("it has left", || metric(&node, "callboard_conversations_live", None) == 0.0).await;
        pass(600).await;
        assert_eq!((cancels(&world), world.count("c1", "ToolInvocationInDoubt")), (told, 0));
        world.audit("c1");
    });
}
