//! A tool that fails again and again is left alone for a while, and taken up again when it is well.

use std::sync::Arc;

use callboard_actors::Node;
use callboard_domain::event::ToolError;
use callboard_domain::plan::EffectClass;
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
            let world = World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() });
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
