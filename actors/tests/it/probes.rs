//! What became of a reconcilable deed is asked, not guessed: a probe that knows settles it, one that does not is asked again.

use callboard_domain::event::Settlement;
use callboard_domain::json::RawJson;
use callboard_domain::plan::EffectClass;

use crate::deeds::Play;
use crate::effects::{Point, world_with};
use crate::world::story;

#[test]
fn a_probe_tells_what_became_of_a_reconcilable_deed() {
    for (play, begun) in [(Play::PanicAfter, 1), (Play::PanicBefore, 2)] {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Reconcilable);
            deed.plays([play]);
            let node = world.start();
            world.say("c1", "k1", "deed pay").await;
            world.whole(&node).await;
            assert_eq!(
                (deed.begun(), deed.done(), world.count("c1", "ToolInvocationInDoubt")),
                (begun, 1, 0)
            );
            assert!(deed.probed() >= 1);
        });
    }
}

#[test]
fn a_probe_tells_the_next_process_too() {
    for point in [Point::Reserved, Point::Called, Point::Done, Point::BeforeCommitted, Point::BeforeResult] {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Reconcilable);
            point.crash(&world, &deed).await;
            let node = world.start();
            world.whole(&node).await;
            assert_eq!((deed.done(), world.count("c1", "ToolInvocationInDoubt")), (1, 0), "{point:?}");
        });
    }
}

#[test]
fn a_probe_that_cannot_tell_is_asked_once_an_attempt_and_then_a_person_is() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Reconcilable);
        deed.plays([Play::PanicAfter]);
        *deed.blind.lock().unwrap() = Some("the service does not keep keys that long");
        let node = world.start();
        world.say("c1", "k1", "deed pay").await;
        world.doubted().await;
        assert_eq!((deed.begun(), deed.probed(), world.requests("c1").len()), (1, 3, 3));
        world.settled(3, Settlement::Done(RawJson::null())).await;
        world.whole(&node).await;
        assert_eq!((deed.begun(), deed.done()), (1, 1));
    });
}
