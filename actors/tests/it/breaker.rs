//! A tool that fails again and again is left alone for a while, and taken up again when it is well.

use std::sync::Arc;

use callboard_actors::Node;
use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::plan::{EffectClass, PlanReason};
use callboard_domain::view::{self, StepStatus};
use callboard_ports::tool::Tool;
use serde_json::Value;

use crate::check::{find, metric};
use crate::deeds::{Deed, Play};
use crate::world::{Cast, World, pass, story};

fn failing(times: usize) -> impl Iterator<Item = Play> {
    std::iter::repeat_n(Play::Fail(ToolError::new("unavailable", "connection refused", true)), times)
}

async fn shown(node: &Node) -> Value {
    let tree = node.actors().await;
    find(&tree, "/pool-default-0").unwrap().work["breakers"].clone()
}

#[test]
fn a_breaker_opens_half_opens_and_closes() {
    for effect in [EffectClass::Pure, EffectClass::Unsafe] {
        story(move || async move {
            let deed = Deed::new("deed", effect);
            // One plan a turn: what it comes to is the breaker's doing alone.
            let turn_limits = TurnLimits { max_rounds: 1, ..TurnLimits::default() };
            let others = vec![deed.clone() as Arc<dyn Tool>];
            let world = World::with(Cast { others, turn_limits, ..Cast::default() });
            let node = world.start();
            deed.plays(failing(6));
            // Three attempts fail, and two more: then it is open, and the next is answered without a call.
            world.say("c1", "k1", "deed one").await;
            world.ended(&node, "c1", "k1").await;
            world.say("c2", "k1", "deed two").await;
            world.ended(&node, "c2", "k1").await;
            assert_eq!(world.outcomes("c1"), ["unavailable"; 3]);
            assert_eq!(world.outcomes("c2"), ["unavailable", "unavailable", "breaker_open"]);
            assert_eq!(deed.begun(), 5);
            let open = shown(&node).await;
            assert_eq!(
                (&open["deed"]["state"], &open["deed"]["why"]),
                (&"open".into(), &"connection refused".into())
            );
            assert_eq!(metric(&node, "callboard_breaker_open", Some("deed")), 1.0);

            // Others are none the worse for it.
            world.say("c3", "k1", "one").await;
            world.answered(&node, "c3", "k1").await;

            // After its pause one call is let through, fails, and the pause is twice as long.
            pass(11).await;
            assert_eq!(shown(&node).await["deed"]["state"], "half_open");
            world.say("c4", "k1", "deed four").await;
            world.ended(&node, "c4", "k1").await;
            assert_eq!(world.outcomes("c4"), ["unavailable", "breaker_open", "breaker_open"]);
            pass(11).await;
            world.say("c5", "k1", "deed five").await;
            world.ended(&node, "c5", "k1").await;
            assert_eq!((world.outcomes("c5"), deed.begun()), (vec!["breaker_open".to_owned(); 3], 6));

            pass(11).await;
            world.say("c6", "k1", "deed six").await;
            world.answered(&node, "c6", "k1").await;
            assert_eq!((deed.begun(), deed.done(), shown(&node).await), (7, 1, serde_json::json!({})));
            assert_eq!(metric(&node, "callboard_breaker_open", Some("deed")), 0.0);
            for of in ["c1", "c2", "c4", "c5", "c6"] {
                world.audit(of);
            }
        });
    }
}

#[test]
fn an_answer_of_the_service_is_no_failure_of_it() {
    story(|| async {
        let deed = Deed::new("deed", EffectClass::Pure);
        let world = World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() });
        let node = world.start();
        deed.plays((0..12).map(|_| Play::Fail(ToolError::new("not_found", "no such place", false))));
        for turn in 0..12 {
            let of = format!("c{turn}");
            world.say(&of, "k1", "deed one").await;
            world.ended(&node, &of, "k1").await;
            assert_eq!(world.outcomes(&of), ["not_found"]);
        }
        assert_eq!(deed.begun(), 12);
    });
}

/// The tool's failure is not the turn's: what is done stays done, the planner is told, and its next version is recorded.
#[test]
fn a_tool_that_is_not_called_makes_its_turn_plan_again() {
    story(|| async {
        let deed = Deed::new("deed", EffectClass::Pure);
        let turn_limits = TurnLimits { max_rounds: 2, ..TurnLimits::default() };
        let others = vec![deed.clone() as Arc<dyn Tool>];
        let world = World::with(Cast { others, turn_limits, ..Cast::default() });
        let node = world.start();
        deed.plays(failing(6));
        for of in ["c1", "c2"] {
            world.say(of, "k1", "deed one").await;
            world.ended(&node, of, "k1").await;
        }
        world.say("c3", "k1", "deed two;one").await;
        let turn = world.ended(&node, "c3", "k1").await;
        assert_eq!(turn.status, "failed", "this planner asks for it again, and has two rounds");
        let of = crate::world::conversation("c3");
        let plans = node.read(&of, |state| view::plans(state, 1, state.clock_ms)).await.unwrap();
        let told: Vec<_> = plans
            .iter()
            .map(|plan| (plan.version, plan.reason, plan.steps.iter().map(|s| s.status).collect::<Vec<_>>()))
            .collect();
        let statuses = vec![StepStatus::Failed, StepStatus::Done];
        assert_eq!(
            told[..1],
            [(1, Some(PlanReason::First), statuses)],
            "the breaker was open when it was planned for the first time"
        );
        assert_eq!((told.len(), told[1].1), (2, Some(PlanReason::Failure)));
        world.audit("c3");
    });
}
