//! What is heard of a step after its turn has closed: it changes the step, never the turn's end.

use callboard_domain::conversation::{Applied, ClosedTurn, Ignored, State, TurnStatus};
use callboard_domain::event::{Event, FinalAnswerSynthesized, Settlement};
use callboard_domain::limits::MAX_CLOSED_TURNS;
use callboard_domain::plan::EffectClass::{Idempotent, Pure, Reconcilable, Unsafe};
use proptest::prelude::*;

use crate::world::hand::{
    Hand, cancelled, done, doubt, expired, failed, ok, plan, refused, settled, unavailable,
};
use crate::world::tools::author;
use crate::world::{START_MS, bytes, turn_id};

fn answered() -> Event {
    Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
        version: 1,
        answer: "whatever".into(),
        synthesizer: author(),
        worker: "w1".into(),
        started_at: "".into(),
        finished_at: "".into(),
        models: None,
    })
}

fn closed(hand: &Hand) -> &ClosedTurn {
    hand.state.closed.back().expect("a turn has closed")
}

#[test]
fn a_late_word_changes_the_step_and_not_the_end() {
    for (close, status) in [
        (cancelled(), TurnStatus::Cancelled),
        (failed(), TurnStatus::Failed),
        (answered(), TurnStatus::Answered),
    ] {
        for (words, stands, loose) in [
            (vec![ok("a", 1, "1")], "done 1 #1", 0),
            (vec![refused("a", 1)], "failed refused #1", 0),
            (vec![unavailable("a", 1)], "failed unavailable #1", 0),
            (vec![doubt("a", 1)], "in doubt #1", 1),
            (vec![doubt("a", 1), ok("a", 1, "1")], "done 1 #1", 0),
            (vec![doubt("a", 1), refused("a", 1)], "failed refused #1", 0),
            (vec![doubt("a", 1), settled("a", 1, done("2"))], "done 2 #1", 0),
            (vec![doubt("a", 1), settled("a", 1, Settlement::NotDone)], "failed not_done #1", 0),
        ] {
            let mut hand = Hand::acting(&[("a", Unsafe)]);
            hand.hears([close.clone()]);
            assert_eq!((hand.state.loose, closed(&hand).status), (1, status));
            let ended = closed(&hand).clone();
            hand.wait(500).hears(words);
            assert_eq!((hand.stands("a").as_str(), hand.state.loose), (stands, loose));
            let now = closed(&hand);
            assert_eq!((now.status, now.terminal_offset), (status, ended.terminal_offset));
            assert_eq!(
                (now.closed_ms, &now.answer, &now.error),
                (ended.closed_ms, &ended.answer, &ended.error)
            );
            assert_eq!(now.loose, loose == 1);
        }
    }
}

#[test]
fn the_first_late_word_wins() {
    let words = || {
        [
            ok("a", 1, "1"),
            refused("a", 1),
            doubt("a", 1),
            settled("a", 1, done("2")),
            expired("a", 1),
            failed(),
            answered(),
        ]
    };
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Unsafe)]);
    hand.hears([cancelled(), ok("a", 1, "3")]);
    for word in words() {
        let before = hand.state.closed.clone();
        assert!(matches!(hand.say(0, word.clone()), Applied::Ignored(_)), "{word:?}");
        assert_eq!(hand.state.closed, before, "{word:?}");
    }
    assert_eq!((hand.stands("a").as_str(), hand.state.loose), ("done 3 #1", 1), "b is still out");
}

#[test]
fn what_was_never_asked_for_is_not_awaited() {
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
    hand.hears([unavailable("a", 1)]);
    assert!(hand.step("a").not_before_ms > hand.now, "its second attempt is in back-off");
    hand.hears([cancelled()]);
    for word in [ok("a", 2, "1"), doubt("a", 2), refused("a", 2), ok("a", 1, "1")] {
        hand.ignores(word, Ignored::NotAwaited);
    }
    hand.ignores(ok("c", 1, "1"), Ignored::UnknownStep);
    assert_eq!(hand.say(7, ok("b", 1, "1")), Applied::Ignored(Ignored::TurnNotRunning));
    hand.ignores(ok("b", 2, "1"), Ignored::OtherAttempt).hears([ok("b", 1, "1")]);
    hand.ignores(ok("b", 1, "1"), Ignored::TurnNotRunning);
    assert_eq!(hand.state.loose, 0);
}

#[test]
fn a_late_doubt_is_about_the_attempt_that_was_under_way() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([unavailable("a", 1)]).wait(2_000).hears([cancelled()]);
    hand.ignores(doubt("a", 1), Ignored::OtherAttempt)
        .ignores(settled("a", 2, done("1")), Ignored::NotAwaited);
    hand.hears([doubt("a", 2)]).ignores(unavailable("a", 2), Ignored::OtherAttempt);
    hand.ignores(settled("a", 1, done("1")), Ignored::NotAwaited);
    hand.hears([ok("a", 1, "1")]);
    assert_eq!(hand.stands("a"), "done 1 #2", "a late success is as good as any");
}

#[test]
fn a_late_result_that_is_too_large_is_an_error() {
    let large = format!("\"{}\"", "x".repeat(callboard_domain::limits::MAX_RESULT_BYTES));
    for words in [vec![ok("a", 1, &large)], vec![doubt("a", 1), settled("a", 1, done(&large))]] {
        let mut hand = Hand::acting(&[("a", Unsafe)]);
        hand.hears([cancelled()]).hears(words);
        assert_eq!((hand.stands("a").as_str(), hand.state.loose), ("failed result_too_large #1", 0));
    }
}

#[test]
fn the_next_turn_is_not_disturbed_by_the_last() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([cancelled()]);
    hand.turn(1, &[("a", Unsafe)]);
    let running = hand.state.open.clone();
    hand.hears([doubt("a", 1)]);
    assert_eq!(hand.state.open, running);
    assert_eq!(hand.say(1, ok("a", 1, "2")), Applied::Changed);
    assert_eq!(hand.due(), ["Synthesize"]);
    hand.hears([settled("a", 1, done("1"))]);
    assert_eq!((hand.stands("a"), hand.of(1, "a").state.word()), ("done 1 #1".to_owned(), "done"));
    hand.ignores(plan(2, &[]), Ignored::TurnNotRunning);
}

#[test]
fn turns_that_only_wait_for_harmless_steps_make_room() {
    let mut hand = Hand::new();
    for turn in 0..60 {
        hand.turn(turn, &[("a", [Pure, Idempotent, Reconcilable][turn % 3])]);
        hand.say(turn, cancelled());
    }
    assert_eq!(hand.state.closed.len(), MAX_CLOSED_TURNS);
    assert_eq!(hand.state.loose as usize, MAX_CLOSED_TURNS);
    assert_eq!(hand.say(0, ok("a", 1, "1")), Applied::Ignored(Ignored::TurnNotRunning), "it is forgotten");
    let counted = hand.state.closed.iter().filter(|turn| turn.loose).count();
    assert_eq!(hand.state.loose as usize, counted);
}

#[derive(Debug, Clone)]
enum Move {
    Turn(u8),
    Close(u8),
    Word(u8, u8, u8),
    Wait(i64),
    Due,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        2 => any::<u8>().prop_map(Move::Turn),
        2 => any::<u8>().prop_map(Move::Close),
        6 => any::<(u8, u8, u8)>().prop_map(|(turn, step, word)| Move::Word(turn, step, word)),
        1 => (0_i64..9_000).prop_map(Move::Wait),
        1 => Just(Move::Due),
    ];
    prop::collection::vec(one, 1..120)
}

/// Plays `moves`, and checks after each of them what must hold of every state.
fn played(moves: &[Move]) -> State {
    const STEPS: [&str; 3] = ["a", "b", "c"];
    let mut hand = Hand::new();
    let mut turns = 0;
    for one in moves {
        match *one {
            Move::Turn(classes) if hand.state.open.is_empty() => {
                let class = |bit: u8| if classes & (1 << bit) == 0 { Pure } else { Unsafe };
                hand.turn(turns, &[("a", class(0)), ("b", class(1)), ("c", class(2))]);
                turns += 1;
            }
            Move::Turn(_) => {}
            Move::Close(how) if turns > 0 => {
                let end = [cancelled(), failed(), answered()][usize::from(how) % 3].clone();
                hand.say(turns - 1, end);
            }
            Move::Word(turn, step, word) if turns > 0 => {
                let step = STEPS[usize::from(step) % 3];
                let attempt = 1 + u32::from(word / 64);
                let event = match word % 6 {
                    0 => ok(step, attempt, "1"),
                    1 => refused(step, attempt),
                    2 => unavailable(step, attempt),
                    3 => doubt(step, attempt),
                    4 => settled(step, attempt, done("2")),
                    _ => settled(step, attempt, Settlement::NotDone),
                };
                // Mostly about recent turns.
                let back = usize::from(turn % 8).min(turns - 1);
                hand.say(turns - 1 - back, event);
            }
            Move::Close(_) | Move::Word(..) => {}
            Move::Wait(ms) => drop(hand.wait(ms)),
            Move::Due => drop(hand.follow_due()),
        }
        // Looks at what is due, which has laws of its own.
        let _ = hand.due();
        let state = &hand.state;
        let loose = |turn: &&ClosedTurn| turn.loose;
        assert_eq!(state.loose as usize, state.closed.iter().filter(loose).count());
        assert!(state.closed.iter().all(|turn| turn.loose == turn.loose_steps().next().is_some()));
        assert!(state.closed.iter().zip(state.closed.iter().skip(1)).all(|(a, b)| a.number < b.number));
    }
    hand.state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// States with loose turns go into snapshots and come back as they were, and the count of them is always right.
    #[test]
    fn loose_turns_survive_snapshots(moves in moves()) {
        let state = played(&moves);
        let restored: State = postcard::from_bytes(&bytes(&state)).unwrap();
        prop_assert_eq!(&restored, &state);
        let json: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        prop_assert_eq!(json, restored);
    }

    /// Every turn that ever closed ended once: its end is where it was first read, whatever is heard of its steps.
    #[test]
    fn no_late_word_moves_an_end(moves in moves()) {
        let state = played(&moves);
        for turn in &state.closed {
            let known = state.known(turn.command.as_str()).unwrap();
            prop_assert_eq!((known.status, known.terminal_offset), (turn.status, Some(turn.terminal_offset)));
            prop_assert!(turn.closed_ms >= START_MS && turn.command == turn_id(turn.number as usize - 1));
        }
    }
}
