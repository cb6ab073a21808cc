//! Calls and answers that kill whoever takes them in hand are given up after a few times: their turn hears of it, their request
//! is kept, and everybody else goes on. (Commands that do so are in `poison`.)

use std::sync::Arc;
use std::time::Duration;

use callboard_domain::plan::EffectClass;
use callboard_ports::fakes::Gate;
use callboard_ports::in_hand::InHand;
use callboard_ports::record::Topic;
use callboard_ports::tool::Tool;

use crate::check::envelope;
use crate::deeds::{Deed, Play};
use crate::world::{Cast, World, pass, story, until};

/// Reasons of the dead letters of a topic, each of which holds the bytes of a request of `c1`.
fn letters(world: &World, topic: Topic) -> Vec<String> {
    let requests = world.log.records(topic);
    for letter in world.log.records(Topic::DeadLetterQueue) {
        let request = requests.iter().find(|request| request.value == letter.value);
        assert_eq!(envelope(request.expect("the original bytes"))["conversation_id"], "c1");
    }
    world.dead_letters(topic)
}

async fn kept(world: &World, topic: Topic) {
    until("its request is kept", || !letters(world, topic).is_empty()).await;
    assert_eq!(letters(world, topic), ["poison"]);
}

/// Kills the process so many times, each time when `slow` runs.
async fn crashes(world: &World, times: usize) {
    for crash in 1..=times {
        let _node = world.start();
        if crash == 1 {
            world.say("c1", "k1", "slow one").await;
        }
        until("it runs", || world.slow.calls() == crash).await;
        world.crash().await;
    }
}

#[test]
fn a_call_that_takes_the_process_down_three_times_is_poison() {
    story(|| async {
        let world = World::new();
        crashes(&world, 3).await;
        let node = world.start();
        let turn = world.ended(&node, "c1", "k1").await;
        let error = turn.error.unwrap();
        assert_eq!((&*error.code, world.outcomes("c1")), ("step_failed", vec!["poison".to_owned()]));
        assert_eq!(world.slow.calls(), 3);
        kept(&world, Topic::ToolInvocationRequests).await;
        world.audit("c1");
        world.slow_gate.open();
        world.say("c2", "k1", "slow hello").await;
        world.answered(&node, "c2", "k1").await;
        // It is done: the next start does not look at it again.
        world.crash().await;
        let _node = world.start();
        pass(5).await;
        assert_eq!(world.slow.calls(), 4);
        kept(&world, Topic::ToolInvocationRequests).await;
    });
}

#[test]
fn an_orderly_stop_is_no_crash() {
    story(|| async {
        let world = World::new();
        for stop in 1..=4 {
            let node = world.start();
            if stop == 1 {
                world.say("c1", "k1", "slow one").await;
            }
            until("it runs", || world.slow.calls() == stop).await;
            node.stop(Duration::from_secs(10)).await;
            world.crash().await;
        }
        let node = world.start();
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
    });
}

#[test]
fn crashes_of_workers_count_with_those_of_the_process() {
    story(|| async {
        let deed = Deed::new("deed", EffectClass::Pure);
        let world = World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() });
        deed.before.close();
        let first = world.start();
        world.say("c1", "k1", "deed one").await;
        until("it runs", || deed.begun() == 1).await;
        world.crash().await;
        drop(first);
        deed.plays([Play::PanicBefore, Play::PanicBefore, Play::PanicBefore]);
        deed.before.open();
        let node = world.start();
        world.ended(&node, "c1", "k1").await;
        assert_eq!((deed.begun(), world.outcomes("c1")), (3, vec!["poison".to_owned()]));
        kept(&world, Topic::ToolInvocationRequests).await;
    });
}

#[test]
fn what_is_done_at_last_has_its_crashes_forgotten() {
    story(|| async {
        let world = World::new();
        crashes(&world, 2).await;
        assert_eq!(world.in_hand.begin("c1:k1:1:s0"), 2);
        let node = world.start();
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        assert_eq!(world.in_hand.begin("c1:k1:1:s0"), 0);
        assert_eq!(letters(&world, Topic::ToolInvocationRequests), Vec::<String>::new());
    });
}

#[test]
fn an_answer_that_takes_the_process_down_three_times_is_poison() {
    story(|| async {
        let gate = Gate::closed();
        let world = World::with(Cast { synthesis_gate: Some(gate.clone()), ..Cast::default() });
        for crash in 1..=3 {
            let _node = world.start();
            if crash == 1 {
                world.say("c1", "k1", "one").await;
            }
            until("it is being written", || world.synthesizer.calls() == crash).await;
            world.crash().await;
        }
        let node = world.start();
        let turn = world.ended(&node, "c1", "k1").await;
        let error = turn.error.unwrap();
        assert_eq!((&*error.code, error.message.contains("poison")), ("synthesis_failed", true), "{error:?}");
        kept(&world, Topic::SynthesisRequests).await;
        assert_eq!(world.synthesizer.calls(), 3);
        gate.open();
        world.say("c1", "k2", "two").await;
        world.answered(&node, "c1", "k2").await;
        world.audit("c1");
    });
}

#[test]
fn an_unsafe_step_that_never_came_to_its_call_is_poison_without_a_doubt() {
    story(|| async {
        let deed = Deed::new("deed", EffectClass::Unsafe);
        let world = World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() });
        world.refusing.lock().unwrap().insert(Topic::ToolEffects);
        for crash in 1..=3 {
            let _node = world.start();
            if crash == 1 {
                world.say("c1", "k1", "deed one").await;
            }
            // A worker tries to reserve it.
            pass(2).await;
            world.crash().await;
        }
        world.refusing.lock().unwrap().clear();
        let node = world.start();
        world.ended(&node, "c1", "k1").await;
        assert_eq!((deed.begun(), world.outcomes("c1")), (0, vec!["poison".to_owned()]));
        kept(&world, Topic::ToolInvocationRequests).await;
        world.audit("c1");
    });
}

#[test]
fn a_probe_that_kills_its_workers_leaves_a_doubt() {
    story(|| async {
        let deed = Deed::new("deed", EffectClass::Reconcilable);
        let world = World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() });
        deed.plays([Play::PanicAfter]);
        *deed.blind.lock().unwrap() = Some("panic");
        let node = world.start();
        world.say("c1", "k1", "deed one").await;
        until("it is in doubt", || world.count("c1", "ToolInvocationInDoubt") == 1).await;
        assert_eq!((deed.begun(), deed.probed(), world.outcomes("c1")), (1, 2, vec![]));
        kept(&world, Topic::ToolInvocationRequests).await;
        world.equals_replay(&node, "c1").await;
    });
}
