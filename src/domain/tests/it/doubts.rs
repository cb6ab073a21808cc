//! Unsafe effects and doubts: when a step is in doubt, what resolves it, what waits for it, and how many there may be.

use callboard_domain::RawJson;
use callboard_domain::conversation::{Applied, Ignored, Phase, StepState};
use callboard_domain::event::{Event, PlanGenerated, Settlement};
use callboard_domain::limits::{MAX_ATTEMPTS, MAX_CLOSED_TURNS, MAX_DOUBTS};
use callboard_domain::plan::EffectClass::{Idempotent, Pure, Reconcilable, Unsafe};
use callboard_domain::plan::{OnFailure, PlanReason};
use proptest::prelude::*;

use crate::plan_laws::planned;
use crate::world::hand::{
    Hand, advanced, cancelled, done, doubt, expired, failed, id, ok, plan, refused, settled, unavailable,
};
use crate::world::script::{Mood, script};
use crate::world::{START_MS, World, bytes};

const DEADLINE_MS: i64 = 8_000;

#[test]
fn an_unsafe_step_at_its_deadline_is_in_doubt_and_any_other_has_no_worker() {
    let mut hand =
        Hand::acting(&[("pay", Unsafe), ("read", Pure), ("put", Idempotent), ("look", Reconcilable)]);
    hand.wait(DEADLINE_MS - 1);
    assert_eq!(hand.due(), ["Invoke pay #1", "Invoke read #1", "Invoke put #1", "Invoke look #1"]);
    hand.wait(1);
    let ended = [
        "ToolInvocationInDoubt pay #1",
        "DeadlineExpired read #1",
        "DeadlineExpired put #1",
        "DeadlineExpired look #1",
    ];
    assert_eq!(hand.due(), ended);
    hand.follow_due();
    assert_eq!(hand.stands("pay"), "in doubt #1");
    for other in ["read", "put", "look"] {
        assert_eq!(hand.stands(other), "failed no_worker #1");
    }
    // The turn waits for whoever knows, as long as it may.
    assert_eq!((hand.due(), hand.wakes_in()), (vec![], Some(600_000 - DEADLINE_MS)));
}

#[test]
fn a_back_off_that_reaches_beyond_the_deadline_fails_with_the_last_error() {
    let mut hand = Hand::acting(&[("pay", Unsafe)]);
    hand.wait(DEADLINE_MS - 10).hears([unavailable("pay", 1)]);
    assert!(hand.step("pay").not_before_ms > hand.now + 10, "its next attempt would come too late");
    hand.wait(10);
    assert_eq!(hand.due(), ["DeadlineExpired pay #2"], "nothing was sent, so there is nothing to doubt");
    hand.follow_due();
    assert_eq!(hand.stands("pay"), "failed unavailable #2");
}

#[test]
fn an_attempt_that_may_have_been_requested_is_never_simply_expired() {
    // A person ended the back-off, which a second owner has not read yet: to it the deadline has nothing to doubt.
    let mut hand = Hand::acting(&[("pay", Unsafe)]);
    hand.wait(DEADLINE_MS - 10).hears([unavailable("pay", 1)]);
    hand.wait(1).hears([advanced("pay", 2)]);
    assert_eq!(hand.due(), ["Invoke pay #2"]);
    hand.wait(9).hears([expired("pay", 2)]);
    assert_eq!(hand.stands("pay"), "in doubt #2");
}

#[test]
fn the_first_that_knows_closes_a_doubt() {
    for (events, stands) in [
        (vec![ok("a", 1, "1"), settled("a", 1, Settlement::NotDone), refused("a", 1)], "done 1 #1"),
        (vec![refused("a", 1), ok("a", 1, "1"), settled("a", 1, done("2"))], "failed refused #1"),
        (vec![settled("a", 1, done("2")), ok("a", 1, "1"), refused("a", 1)], "done 2 #1"),
    ] {
        let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
        hand.hears([doubt("a", 1)]);
        let mut events = events.into_iter();
        hand.hears(events.next());
        let settled = hand.clone();
        for late in events {
            hand.ignores(late, Ignored::StepEnded);
        }
        assert_eq!(hand.stands("a"), stands);
        assert_eq!(hand.state.open, settled.state.open, "whatever comes second changes nothing");
    }
}

#[test]
fn an_error_that_only_wishes_to_be_retried_leaves_the_doubt() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([doubt("a", 1)]).ignores(unavailable("a", 1), Ignored::OtherAttempt);
    assert_eq!(hand.stands("a"), "in doubt #1");
    hand.ignores(doubt("a", 1), Ignored::OtherAttempt).ignores(expired("a", 1), Ignored::OtherAttempt);
    assert_eq!(hand.due(), Vec::<String>::new());
}

#[test]
fn not_done_is_run_again_under_the_next_attempt_with_a_deadline_of_its_own() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    for attempt in 1..MAX_ATTEMPTS {
        hand.wait(7_000)
            .hears([doubt("a", attempt)])
            .ignores(settled("a", attempt + 1, Settlement::NotDone), Ignored::NotAwaited);
        hand.wait(7_000).hears([settled("a", attempt, Settlement::NotDone)]);
        assert_eq!(hand.due(), [format!("Invoke a #{}", attempt + 1)]);
        assert_eq!(hand.step("a").deadline_ms(), hand.now + DEADLINE_MS);
        hand.ignores(settled("a", attempt, Settlement::NotDone), Ignored::NotAwaited);
    }
    hand.hears([doubt("a", MAX_ATTEMPTS), settled("a", MAX_ATTEMPTS, Settlement::NotDone)]);
    assert_eq!(hand.stands("a"), format!("failed not_done #{MAX_ATTEMPTS}"));
}

#[test]
fn no_plan_version_is_added_while_an_effect_is_in_doubt() {
    let edit = || match plan(2, &[("c", Pure)]) {
        Event::PlanGenerated(plan) => {
            Event::PlanGenerated(PlanGenerated { reason: PlanReason::Edit, ..plan })
        }
        other => other,
    };
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
    hand.hears([doubt("a", 1)]).ignores(edit(), Ignored::InDoubt);
    hand.hears([ok("b", 1, "1")]);
    assert_eq!(hand.state.open[0].phase, Phase::Acting);
    hand.ignores(edit(), Ignored::InDoubt).hears([settled("a", 1, done("1"))]);
    assert_eq!(hand.due(), ["Synthesize"]);
}

/// `a` is unsafe, and the turn fails with `b`.
fn decided_by_b() -> Hand {
    let Event::PlanGenerated(mut plan) = plan(1, &[("a", Unsafe), ("b", Pure)]) else {
        unreachable!("a plan")
    };
    plan.steps[1].policy.on_failure = OnFailure::Fail;
    Hand { state: planned(Some(plan)), now: START_MS }
}

#[test]
fn of_a_turn_that_is_about_to_fail_nothing_is_run_again() {
    for (word, stands) in [
        (settled("a", 1, Settlement::NotDone), "failed not_done #1"),
        (settled("a", 1, done("1")), "done 1 #1"),
        (refused("a", 1), "failed refused #1"),
    ] {
        let mut hand = decided_by_b();
        hand.hears([doubt("a", 1), refused("b", 1), word]);
        assert_eq!(hand.due(), ["PlanFailed step_failed"]);
        hand.follow_due();
        assert_eq!((hand.stands("a").as_str(), hand.state.loose), (stands, 0), "and nobody waits for it");
    }
    // An attempt that nobody will make is not in doubt afterwards.
    let mut hand = decided_by_b();
    hand.hears([refused("b", 1), unavailable("a", 1)]);
    hand.wait(2_000).follow_due().wait(DEADLINE_MS).follow_due();
    assert_eq!(hand.stands("a"), "failed unavailable #1");
    assert_eq!(hand.state.doubts().count(), 0);
}

#[test]
fn a_step_that_becomes_ready_as_its_turn_fails_is_never_in_doubt() {
    // `pay` and `tell` wait for `first`; what `tell` refers to is not in its result, which fails the turn at once.
    let Event::PlanGenerated(mut plan) = plan(1, &[("first", Pure), ("pay", Unsafe), ("tell", Pure)]) else {
        unreachable!("a plan")
    };
    for step in &mut plan.steps[1..] {
        step.depends_on = vec![id("first")];
        step.policy.on_failure = OnFailure::Fail;
    }
    plan.steps[2].arguments = RawJson::parse(r#"{"text":"${first.nothing}"}"#).unwrap();
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.hears([Event::PlanGenerated(plan), ok("first", 1, "{}")]);
    assert_eq!(hand.due(), ["PlanFailed step_failed"]);
    hand.follow_due().wait(DEADLINE_MS);
    assert_eq!(hand.due(), Vec::<String>::new(), "nobody was ever asked to pay");
    assert_eq!((hand.state.loose, hand.stands("pay").as_str()), (0, "waiting #0"));
}

/// A plan whose every step is in doubt when its turn has closed.
fn doubtful(hand: &mut Hand, turn: usize, steps: usize) {
    let names: Vec<String> = (0..steps).map(|i| format!("s{i}")).collect();
    let plan: Vec<_> = names.iter().map(|name| (name.as_str(), Unsafe)).collect();
    hand.turn(turn, &plan);
    for name in &names {
        hand.say(turn, doubt(name, 1));
    }
    hand.say(turn, failed());
}

#[test]
fn there_is_room_for_sixty_four_doubts_and_a_plan_that_might_bring_more_is_not_begun() {
    let mut hand = Hand::new();
    for turn in 0..12 {
        doubtful(&mut hand, turn, 5);
    }
    assert_eq!(hand.state.doubts().count(), 60);
    hand.turn(12, &[("a", Unsafe), ("b", Reconcilable), ("c", Unsafe), ("d", Unsafe), ("e", Pure)]);
    assert_eq!(hand.due().len(), 5, "four more fit");
    hand.say(12, failed());
    hand.wait(DEADLINE_MS).follow_due();
    assert_eq!(hand.state.doubts().count(), 63, "the reconcilable one was not in doubt");

    hand.turn(13, &[("a", Unsafe), ("b", Reconcilable)]);
    assert_eq!(hand.due(), ["PlanFailed too_many_doubts"]);
    hand.follow_due();
    assert!(hand.state.open.is_empty());
    hand.wait(DEADLINE_MS);
    assert_eq!(hand.due(), Vec::<String>::new(), "what was not begun is not in doubt later");
    hand.follow_due();
    assert_eq!(hand.state.doubts().count(), 63);
    // Settling one makes room again.
    assert_eq!(hand.say(0, settled("s0", 1, done("1"))), Applied::Changed);
    hand.turn(14, &[("a", Unsafe), ("b", Unsafe)]);
    assert_eq!(hand.due(), ["Invoke a #1", "Invoke b #1"]);
}

#[test]
fn beyond_sixty_four_a_doubt_is_a_failure() {
    let mut hand = Hand::new();
    for turn in 0..3 {
        // Foreign workers may be in doubt about tools of any class.
        let names: Vec<String> = (0..30).map(|i| format!("s{i}")).collect();
        hand.turn(turn, &names.iter().map(|name| (name.as_str(), Pure)).collect::<Vec<_>>());
        for name in &names {
            assert_eq!(hand.say(turn, doubt(name, 1)), Applied::Changed);
        }
        hand.say(turn, failed());
    }
    assert_eq!(hand.state.doubts().count(), MAX_DOUBTS);
    let StepState::Failed(error) = &hand.of(2, "s29").state else { panic!("{:?}", hand.of(2, "s29").state) };
    assert_eq!(&*error.kind, "too_many_doubts");
    assert!(error.message.contains("the connection was lost"), "{}", error.message);
}

#[test]
fn a_turn_in_doubt_is_held_and_others_make_room() {
    let mut hand = Hand::new();
    doubtful(&mut hand, 0, 1);
    for turn in 1..100 {
        hand.turn(turn, &[("a", Pure)]);
        hand.say(turn, ok("a", 1, "1"));
        hand.say(turn, failed());
    }
    assert_eq!(hand.state.closed.len(), MAX_CLOSED_TURNS);
    assert_eq!(hand.state.closed[0].number, 1, "the one that is held");
    assert_eq!(hand.state.doubts().count(), 1);
    assert_eq!(hand.say(0, settled("s0", 1, Settlement::NotDone)), Applied::Changed);
    hand.turn(100, &[]);
    hand.say(100, failed());
    assert_eq!((hand.state.closed[0].number, hand.state.loose), (82, 0), "settled, it goes like any other");
}

#[test]
fn what_may_yet_be_in_doubt_is_bounded_too() {
    // Cancelled one after the other before anybody answers, each might come to be in doubt.
    let mut hand = Hand::new();
    for turn in 0..200 {
        hand.wait(1).turn(turn, &[("a", Unsafe)]);
        hand.say(turn, cancelled());
        hand.follow_due();
    }
    assert!(
        hand.state.closed.len() <= MAX_CLOSED_TURNS + MAX_DOUBTS,
        "{} turns are held",
        hand.state.closed.len()
    );
    hand.wait(DEADLINE_MS).follow_due();
    assert_eq!(hand.state.doubts().count(), MAX_DOUBTS);
    let restored = postcard::from_bytes(&bytes(&hand.state)).unwrap();
    assert_eq!(hand.state, restored);
}

#[derive(Debug, Clone)]
enum Said {
    Ok(u32),
    Unavailable(u32),
    Refused(u32),
    Doubt(u32),
    Done(u32),
    NotDone(u32),
    Expired(u32),
    Advanced(u32),
    Closed,
    Later(i64),
}

fn said() -> impl Strategy<Value = Said> {
    let attempt = || 1_u32..4;
    prop_oneof![
        1 => attempt().prop_map(Said::Ok),
        3 => attempt().prop_map(Said::Unavailable),
        1 => attempt().prop_map(Said::Refused),
        3 => attempt().prop_map(Said::Doubt),
        1 => attempt().prop_map(Said::Done),
        2 => attempt().prop_map(Said::NotDone),
        1 => attempt().prop_map(Said::Expired),
        1 => attempt().prop_map(Said::Advanced),
        1 => Just(Said::Closed),
        3 => (0_i64..3_000).prop_map(Said::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    /// Whatever is said of an unsafe step in whatever order: it never ends twice, a new attempt needs somebody's word that
    /// the last one did nothing, and a doubt is left only by somebody who knows.
    #[test]
    fn an_unsafe_step_is_never_run_again_on_a_guess(words in prop::collection::vec(said(), 1..40)) {
        let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
        for word in words {
            let before = hand.step("a").clone();
            let (event, knows, did_nothing) = match word {
                Said::Ok(n) => (ok("a", n, "1"), true, false),
                Said::Unavailable(n) => (unavailable("a", n), false, true),
                Said::Refused(n) => (refused("a", n), true, false),
                Said::Doubt(n) => (doubt("a", n), false, false),
                Said::Done(n) => (settled("a", n, done("2")), true, false),
                Said::NotDone(n) => (settled("a", n, Settlement::NotDone), true, true),
                Said::Expired(n) => (expired("a", n), false, false),
                Said::Advanced(n) => (advanced("a", n), false, false),
                Said::Closed => (failed(), false, false),
                Said::Later(ms) => {
                    hand.wait(ms);
                    continue;
                }
            };
            let may_have_run = before.may_run(hand.now);
            let applied = hand.say(0, event);
            let after = hand.step("a");
            if before.state.has_ended() {
                prop_assert_eq!(&before, after, "it has ended");
            }
            if matches!(applied, Applied::Ignored(_)) {
                prop_assert_eq!(&before, after);
            }
            prop_assert!(after.attempt >= before.attempt && after.attempt <= before.attempt + 1);
            prop_assert!(after.attempt == before.attempt || did_nothing, "{:?} to {:?}", before.state, after.state);
            if matches!(before.state, StepState::InDoubt(_)) && before != *after {
                prop_assert!(knows, "{:?} to {:?}", before.state, after.state);
            }
            if let StepState::Failed(error) = &after.state {
                prop_assert!(&*error.kind != "no_worker" || !may_have_run);
            }
        }
    }

    /// However owners lag behind each other and whoever is silent: an unsafe step is never said to have had no worker.
    #[test]
    fn no_unsafe_step_is_without_a_worker(script in script(Mood::Wild), lags in (0_i64..3_000, 0_i64..12_000)) {
        let world = World::ran(script, &[lags.0, lags.1]);
        let plans = world.state().closed.iter().flat_map(|turn| &turn.versions);
        for step in plans.flat_map(|plan| &plan.steps).filter(|step| step.plan.policy.effect == Unsafe) {
            if let StepState::Failed(error) = &step.state {
                prop_assert!(&*error.kind != "no_worker", "{step:?}");
            }
        }
        prop_assert!(world.state().doubts().count() <= MAX_DOUBTS);
    }
}
