//! Two owners at once: both read one log, each into its own fold and late, both decide every command and
//! issue all work. The log arbitrates.

use callboard_domain::conversation::TurnStatus;
use proptest::prelude::*;

use crate::story::step;
use crate::world::script::{Mood, Script, script};
use crate::world::{World, bytes, gist, replay};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn two_owners_give_each_turn_one_ending(
        script in script(Mood::Wild),
        lags in (0_i64..3_000, 0_i64..12_000),
    ) {
        let world = World::ran(script, &[lags.0, lags.1]);
        let report = world.audit();
        prop_assert_eq!(&report.violations, &[]);
        prop_assert_eq!(report.open, 0);
        prop_assert_eq!(report.turns, report.answered + report.failed + report.cancelled);
        let [one, other] = &world.hosts[..] else { unreachable!("two lags") };
        prop_assert!(bytes(&one.state) == bytes(&other.state), "the owners disagree");
        prop_assert!(bytes(&one.state) == bytes(&replay(&world.log)));
    }

    /// Where nobody is silent and nobody interferes, the second owner adds records and changes nothing.
    #[test]
    fn a_second_owner_is_invisible_in_calm(script in script(Mood::Calm), lag in 0_i64..2_000) {
        let alone = World::ran(script.clone(), &[0]);
        let both = World::ran(script, &[0, lag]);
        prop_assert_eq!(gist(alone.state()), gist(both.state()));
    }
}

#[test]
fn work_done_twice_is_counted_by_the_audit_and_used_once() {
    // Neither sees the other's records before it has issued the same work itself.
    let world = World::ran(Script::one(vec![step(&[], &[]), step(&[], &[])]), &[50, 50]);
    let report = world.audit();
    assert_eq!((report.turns, report.answered, report.duplicate_results), (1, 1, 2));
    assert!(report.ignored >= 4, "the second turn, plan, results and answer: {report:?}");
    assert_eq!(report.violations, []);
    assert_eq!(world.state().closed[0].status, TurnStatus::Answered);
}
