//! A host dies at any instant; another goes on from a snapshot or from the log alone. There is no resume
//! code: `due` says what is outstanding.

use callboard_domain::State;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::script::{Mood, Script, script};
use crate::world::{START_MS, World, bytes, conversation, gist, replay};

/// From what the next host starts.
#[derive(Debug, Clone)]
enum From {
    Genesis,
    /// The snapshot after that many of the records.
    Snapshot(Index),
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![Just(From::Genesis), any::<Index>().prop_map(From::Snapshot)]
}

/// Plays `script` with the host killed at each of `cuts` (milliseconds after the start).
fn with_crashes(script: Script, cuts: &[(i64, From, bool)]) -> World {
    let mut world = World::new(script, &[0]);
    for (at, from, losing) in cuts {
        while world.now < START_MS + at && world.instant() {}
        let snapshot: State = match from {
            From::Genesis => State::new(conversation()),
            From::Snapshot(index) => {
                let state = replay(&world.log[..index.index(world.log.len() + 1)]);
                postcard::from_bytes(&bytes(&state)).unwrap()
            }
        };
        world.take_over(snapshot, *losing);
    }
    world.run();
    world
}

fn cuts() -> impl Strategy<Value = Vec<(i64, From, bool)>> {
    prop::collection::vec((0_i64..4_000, from(), any::<bool>()), 1..4).prop_map(|mut cuts| {
        cuts.sort_by_key(|(at, ..)| *at);
        cuts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// With outsiders that answer in time, whatever is killed when, every turn ends as it would have.
    #[test]
    fn a_killed_host_leaves_no_trace(script in script(Mood::Calm), cuts in cuts()) {
        let calm = World::ran(script.clone(), &[0]);
        let hard = with_crashes(script, &cuts);
        prop_assert_eq!(&hard.audit().violations, &[]);
        prop_assert_eq!(gist(calm.state()), gist(hard.state()));
        prop_assert!(bytes(hard.state()) == bytes(&replay(&hard.log)));
    }

    /// With deadlines, cancels and doubt the ending may be another, but there is exactly one.
    #[test]
    fn whatever_is_killed_every_turn_ends_once(script in script(Mood::Wild), cuts in cuts()) {
        let world = with_crashes(script, &cuts);
        let report = world.audit();
        prop_assert_eq!(&report.violations, &[]);
        prop_assert_eq!((report.open, world.state().open.len()), (0, 0));
        prop_assert!(bytes(world.state()) == bytes(&replay(&world.log)));
    }
}
