//! A person's word about a step in doubt: done with this result, or not done and to be run again. It goes the way of every
//! command, and whoever asked learns what it came to, a refusal too.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{Commanded, Node};
use callboard_domain::command::{Command, InvocationSettleRequest, RetryNowRequest};
use callboard_domain::event::{Event, Settlement};
use callboard_domain::id::EffectId;
use callboard_domain::json::RawJson;
use callboard_domain::plan::EffectClass;
use callboard_ports::tool::Tool;

use crate::deeds::{Deed, Play};
use crate::world::{Cast, World, command, conversation, pass, story, until};

pub const EFFECT: &str = "c1:k1:1:s0";

pub fn world_with_a_deed() -> (World, Arc<Deed>) {
    let deed = Deed::new("deed", EffectClass::Unsafe);
    (World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() }), deed)
}

pub fn effect(text: &str) -> EffectId {
    text.parse().unwrap()
}

impl World {
    pub async fn settle(&self, id: &str, of: &str, settlement: Settlement) {
        let effect_id = effect(of);
        let conversation = effect_id.conversation.to_string();
        let by = "anna".into();
        let request =
            InvocationSettleRequest { effect_id, attempt: None, settlement, by, why: Some("seen".into()) };
        self.command(&conversation, id, &Command::InvocationSettleRequested(request)).await;
    }

    pub async fn retry_now(&self, id: &str, of: &str) {
        let effect_id = effect(of);
        let conversation = effect_id.conversation.to_string();
        let request = RetryNowRequest { effect_id, by: None };
        self.command(&conversation, id, &Command::RetryNowRequested(request)).await;
    }

    /// What the command came to.
    pub async fn commanded(&self, node: &Node, of: &str, id: &str) -> Commanded {
        let (of, id) = (conversation(of), command(id));
        let commanded = tokio::time::timeout(Duration::from_secs(60), node.commanded(&of, &id)).await;
        commanded.unwrap_or_else(|_| panic!("{id} in {of} comes to something")).unwrap()
    }

    pub async fn refused(&self, node: &Node, id: &str) -> String {
        match self.commanded(node, "c1", id).await.event {
            Event::CommandRefused(refused) => refused.code.to_string(),
            event => panic!("{event:?}"),
        }
    }

    /// The step of `k1` gets in doubt: its deed is done, its answer lost.
    pub async fn in_doubt(&self, deed: &Deed) {
        deed.plays([Play::PanicAfter]);
        self.say("c1", "k1", "deed one").await;
        until("it is in doubt", || self.count("c1", "ToolInvocationInDoubt") == 1).await;
    }
}

fn done() -> Settlement {
    Settlement::Done(RawJson::parse(r#"{"by":"hand"}"#).unwrap())
}

#[test]
fn a_doubt_settled_as_done_ends_its_turn_and_says_so_to_whoever_asked() {
    story(|| async {
        let (world, deed) = world_with_a_deed();
        let node = world.start();
        world.in_doubt(&deed).await;
        let (of, id) = (conversation("c1"), command("x1"));
        // Asked before the command is in the log, as a gateway may.
        let waits = tokio::task::spawn_local({
            let node = node.clone();
            async move { node.commanded(&of, &id).await.unwrap() }
        });
        pass(1).await;
        world.settle("x1", EFFECT, done()).await;
        let commanded = waits.await.unwrap();
        let Event::InvocationSettled(settled) = &commanded.event else { panic!("{commanded:?}") };
        assert_eq!((&*settled.by, commanded.took_effect), ("anna", true));
        world.answered(&node, "c1", "k1").await;
        assert_eq!((deed.done(), world.audit("c1").answered), (1, 1));
        // Asked again later, by whoever repeats the request, and by another process.
        assert_eq!(world.commanded(&node, "c1", "x1").await, commanded);
        world.crash().await;
        let node = world.start();
        assert_eq!(world.commanded(&node, "c1", "x1").await, commanded);
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_doubt_settled_as_not_done_is_run_again() {
    story(|| async {
        let (world, deed) = world_with_a_deed();
        let node = world.start();
        deed.plays([Play::PanicBefore]);
        world.say("c1", "k1", "deed one").await;
        until("it is in doubt", || world.count("c1", "ToolInvocationInDoubt") == 1).await;
        pass(600 - 60).await;
        assert_eq!(deed.done(), 0, "nobody runs it again by himself");
        world.settle("x1", EFFECT, Settlement::NotDone).await;
        assert!(world.commanded(&node, "c1", "x1").await.took_effect);
        world.answered(&node, "c1", "k1").await;
        assert_eq!((deed.done(), deed.begun()), (1, 2));
        assert_eq!(world.requests("c1").last().unwrap().1, 2, "the next attempt");
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn what_is_not_in_doubt_is_not_settled_and_the_second_word_comes_too_late() {
    story(|| async {
        let (world, deed) = world_with_a_deed();
        let node = world.start();
        world.in_doubt(&deed).await;
        world.settle("x1", EFFECT, done()).await;
        world.settle("x2", EFFECT, Settlement::NotDone).await;
        world.settle("x3", "c1:k1:1:s9", done()).await;
        assert!(world.commanded(&node, "c1", "x1").await.took_effect);
        assert_eq!(world.refused(&node, "x2").await, "not_in_doubt");
        assert_eq!(world.refused(&node, "x3").await, "unknown_effect");
        world.answered(&node, "c1", "k1").await;
        assert_eq!(deed.done(), 1);
        world.audit("c1");
    });
}

#[test]
fn cancel_and_reset_say_what_they_came_to() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        world.cancel("c1", "x1", "k1").await;
        let cancelled = world.commanded(&node, "c1", "x1").await;
        assert!(matches!(cancelled.event, Event::PlanCancelled(_)) && cancelled.took_effect, "{cancelled:?}");
        world.cancel("c1", "x2", "k1").await;
        assert_eq!(world.refused(&node, "x2").await, "turn_not_open");
        world.reset("c1", "r1").await;
        let reset = world.commanded(&node, "c1", "r1").await;
        assert!(matches!(reset.event, Event::UserHistoryReset(_)), "{reset:?}");
        world.slow_gate.open();
    });
}
