//! Laws of `due`: there is always something to do or a time to wake for, deadlines come first, and time alone
//! ends every turn.

use std::collections::BTreeSet;

use callboard_domain::apply;
use callboard_domain::conversation::{Phase, State};
use callboard_domain::due::{Due, due};
use callboard_domain::effect::Effect;
use callboard_domain::event::Event;
use callboard_domain::time::Millis;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::decide::{carry_out, question};
use crate::fold_laws::with_duplicate;
use crate::plan_laws::planned;
use crate::story::step;
use crate::world::script::{Mood, Reply, Script, script};
use crate::world::{START_MS, World, bytes, recorded, replay};

/// What holds of `due` in every state and at every time; simulated hosts check it each time they look.
pub fn assert_sane(state: &State, due: &Due, now: Millis) {
    let keys: BTreeSet<_> = due.effects.iter().map(Effect::key).collect();
    assert_eq!(keys.len(), due.effects.len(), "two effects with one key: {:?}", due.effects);
    let busy = !state.open.is_empty() && state.blocked.is_none();
    let idle = due.effects.is_empty() && due.wake_at_ms.is_none();
    let loose = state.loose > 0 && state.blocked.is_none();
    assert!(busy != idle || (loose && !busy), "open turns and nothing due, or the reverse: {state:?}");
    assert!(due.wake_at_ms.is_none_or(|at| at > now.max(state.clock_ms)), "a wake time that has passed");
    for turn in &state.open {
        let ending = matches!(turn.phase, Phase::Failing(_) | Phase::Cancelling);
        let own = |effect: &&Effect| match effect {
            Effect::Append { command, event } => *command == turn.command && event.is_terminal(),
            _ => false,
        };
        assert!(
            !ending || due.effects.iter().filter(own).count() == 1,
            "a turn that should be ended: {turn:?}"
        );
    }
}

/// Lets time alone act on `state`: appends what `due` wants appended, nothing else ever answers.
fn alone(state: &mut State, mut now: Millis) -> usize {
    for rounds in 0..2_000 {
        if state.open.is_empty() && due(state, now).wake_at_ms.is_none() {
            return rounds;
        }
        let found = due(state, now);
        assert_sane(state, &found, now);
        let before = bytes(state);
        for effect in &found.effects {
            if let Effect::Append { command, event } = effect {
                apply(state, &recorded(state.next_offset, now, Some(command), event.clone()));
            }
        }
        if bytes(state) == before {
            now = found.wake_at_ms.expect("nothing to append, so there is a time to wait for");
        }
    }
    panic!("time alone does not end {state:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn time_alone_ends_every_turn(
        script in script(Mood::Wild),
        cuts in prop::collection::vec(any::<Index>(), 6),
    ) {
        let world = World::ran(script, &[0]);
        for cut in cuts {
            let mut state = replay(&world.log[..cut.index(world.log.len())]);
            let (open, loose) = (state.open.len(), state.loose as usize);
            let now = state.clock_ms;
            let rounds = alone(&mut state, now);
            // A turn: its planning, six steps' approvals and deadlines, replanning without an answer, its end.
            // A closed turn: a deadline for each of six steps that it left under way.
            prop_assert!(rounds <= 2 + open * 44 + loose * 7, "{rounds} rounds for {open} and {loose} turns");
        }
    }

    /// However late the host looks, the deadlines are all that it sees.
    #[test]
    fn a_host_that_comes_back_late_only_ends_things(script in script(Mood::Wild), cut in any::<Index>()) {
        let world = World::ran(script, &[0]);
        let state = replay(&world.log[..cut.index(world.log.len())]);
        let found = due(&state, state.clock_ms + 100 * 86_400_000);
        // A turn whose clock stands still has not ended; its steps have, and those that may still ask for approval do.
        let waits = state.running().is_some_and(|turn| turn.waiting_since_ms.is_some());
        let ends = |e: &Event| match e {
            Event::DeadlineExpired(_) | Event::ApprovalRequested(_) => waits,
            e => e.is_terminal() || matches!(e, Event::ToolInvocationInDoubt(_)),
        };
        let endings = |e: &Effect| matches!(e, Effect::Append { event, .. } if ends(event));
        prop_assert!(found.effects.iter().all(endings), "{:?}", found.effects);
    }

    /// What is due depends on what the log says, not on how often it says it, nor on snapshots in between.
    #[test]
    fn what_is_due_is_the_same_with_duplicates_and_after_a_snapshot(
        script in script(Mood::Wild),
        cuts in prop::collection::vec(any::<(Index, Index, Index)>(), 6),
        later in prop_oneof![Just(0), 0_i64..20_000],
    ) {
        let world = World::ran(script, &[0]);
        for (cut, source, at) in cuts {
            let log = &world.log[..1 + cut.index(world.log.len())];
            let source = source.index(log.len());
            let at = source + at.index(log.len() - source);
            let state = replay(log);
            let now = state.clock_ms + later;
            let again = replay(&with_duplicate(log, source, at));
            prop_assert_eq!(due(&again, now), due(&state, now), "record {} again behind {}", source, at);
            let restored: State = postcard::from_bytes(&bytes(&replay(&log[..at]))).unwrap();
            let resumed = log[at..].iter().fold(restored, |mut state, record| {
                apply(&mut state, record);
                state
            });
            prop_assert_eq!(due(&resumed, now), due(&state, now), "with a snapshot at {}", at);
        }
    }

    /// `due` never looks back: a clock behind the log's is the log's.
    #[test]
    fn a_clock_behind_the_log_is_the_logs(
        script in script(Mood::Wild),
        cut in any::<Index>(),
        behind in 0_i64..1_000_000,
    ) {
        let world = World::ran(script, &[0]);
        let state = replay(&world.log[..cut.index(world.log.len())]);
        prop_assert_eq!(due(&state, state.clock_ms - behind), due(&state, state.clock_ms));
    }
}

fn codes(due: &Due) -> Vec<String> {
    let code = |effect: &Effect| match effect {
        Effect::Append { event: Event::PlanFailed(body), .. } => body.error.code.to_string(),
        Effect::Append { event, .. } => event.name().to_owned(),
        other => format!("{other:?}").split(' ').next().unwrap().to_owned(),
    };
    due.effects.iter().map(code).collect()
}

#[test]
fn each_phase_ends_at_its_own_deadline() {
    let silent = Script::one(vec![step(&[], &[Reply::Silent]), step(&[], &[Reply::Doubt])]);
    let world = World::ran(silent, &[0]);
    let planning = replay(&world.log[..1]);
    let at = planning.clock_ms;
    assert_eq!(codes(&due(&planning, at + 4_999)), ["AskPlanner"]);
    assert_eq!(codes(&due(&planning, at + 5_000)), ["planning_timeout"]);
    let acting = replay(&world.log[..2]);
    let at = acting.clock_ms;
    assert_eq!(codes(&due(&acting, at + 7_999)), ["Invoke", "Invoke"]);
    assert_eq!(codes(&due(&acting, at + 8_000)), ["DeadlineExpired", "DeadlineExpired"]);
    assert_eq!(codes(&due(&acting, at + 600_000)), ["turn_timeout"], "the turn's deadline hides its steps'");
}

#[test]
fn a_step_in_back_off_is_not_due_before_its_time() {
    let world = World::ran(Script::one(vec![step(&[], &[Reply::Retryable])]), &[0]);
    let failed_once = replay(&world.log[..3]);
    let retry_at = failed_once.open[0].versions[0].steps[0].not_before_ms;
    assert!((50..=100).contains(&(retry_at - failed_once.clock_ms)), "half to all of the 100 ms back-off");
    let waiting = due(&failed_once, retry_at - 1);
    assert_eq!((waiting.effects, waiting.wake_at_ms), (vec![], Some(retry_at)));
    assert_eq!(codes(&due(&failed_once, retry_at)), ["Invoke"]);
}

#[test]
fn a_waiting_turn_has_no_deadline_of_its_own() {
    let mut state = planned(None);
    carry_out(&mut state, &question("second")).unwrap();
    assert_eq!(codes(&due(&state, START_MS + 4_000)), ["AskPlanner"]);
    assert_eq!(
        codes(&due(&state, START_MS + 600_000)),
        ["planning_timeout"],
        "one, that of the running turn"
    );
}
