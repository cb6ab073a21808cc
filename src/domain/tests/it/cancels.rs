//! Calling off what a closed turn left under way: listed for each step until somebody says what came of it, or until it may
//! not be started any more.

use callboard_domain::command::{Command, HistoryReset, PlanCancelRequest};
use callboard_domain::due::is_at_rest;
use callboard_domain::effect::{self, Effect};
use callboard_domain::event::Event;
use callboard_domain::plan::EffectClass::{Idempotent, Pure, Reconcilable, Unsafe};

use crate::world::hand::{Hand, cancelled, doubt, failed, id, ok, refused, unavailable};
use crate::world::turn_id;

const DEADLINE_MS: i64 = 8_000;

#[test]
fn what_is_under_way_is_called_off_whatever_ended_the_turn() {
    for end in [cancelled(), failed()] {
        let mut hand = Hand::acting(&[("a", Pure), ("b", Idempotent), ("c", Reconcilable), ("d", Unsafe)]);
        hand.hears([ok("b", 1, "1"), unavailable("c", 1)]).wait(20).hears([end]);
        // `b` has ended, and `c` waits for an attempt that was not asked for.
        assert_eq!(hand.due(), ["CancelInvocation a #1", "CancelInvocation d #1"]);
        assert_eq!(hand.wakes_in(), Some(DEADLINE_MS - 20));
    }
}

#[test]
fn a_word_about_a_step_ends_its_calling_off() {
    for word in [ok("a", 1, "1"), refused("a", 1), unavailable("a", 1), doubt("a", 1)] {
        let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
        hand.hears([cancelled(), word]);
        assert_eq!(hand.due(), ["CancelInvocation b #1"]);
        hand.hears([ok("b", 1, "1")]);
        assert_eq!(hand.due(), Vec::<String>::new());
        assert!(is_at_rest(&hand.state, hand.now));
    }
}

#[test]
fn at_its_deadline_an_unsafe_step_is_in_doubt_and_any_other_is_let_be() {
    let mut hand = Hand::acting(&[("a", Pure), ("b", Unsafe)]);
    hand.hears([cancelled()]).wait(DEADLINE_MS - 1);
    assert_eq!(hand.due(), ["CancelInvocation a #1", "CancelInvocation b #1"]);
    hand.wait(1);
    assert_eq!(hand.due(), ["ToolInvocationInDoubt b #1"]);
    hand.follow_due();
    assert_eq!((hand.stands("a").as_str(), hand.stands("b").as_str()), ("running #1", "in doubt #1"));
    assert!(is_at_rest(&hand.state, hand.now), "a doubt waits for whoever knows, without a clock");
    hand.wait(365 * 86_400_000);
    assert_eq!(hand.due(), Vec::<String>::new());
}

#[test]
fn a_reset_calls_off_every_open_turn() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    let asked = |text: &str| Command::UserQueryReceived(crate::world::query(text));
    hand.command(turn_id(1).as_str(), asked("question 1"));
    hand.command("reset", Command::UserHistoryReset(HistoryReset { by: None }));
    assert_eq!(hand.due(), ["PlanCancelled", "PlanCancelled"]);
    hand.follow_due();
    assert_eq!(hand.due(), ["CancelInvocation a #1"]);
}

#[test]
fn a_cancel_command_ends_the_turn_and_then_its_steps() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    let cancel = |turn: usize| {
        let turn_command_id = turn_id(turn);
        Command::PlanCancelRequested(PlanCancelRequest { turn_command_id, by: None, reason: None })
    };
    assert!(matches!(hand.command("x1", cancel(0)), Some(Event::PlanCancelled(_))));
    assert_eq!(hand.due(), ["CancelInvocation a #1"]);
    let Some(Event::CommandRefused(again)) = hand.command("x2", cancel(0)) else { panic!("it has ended") };
    assert_eq!(&*again.code, "turn_not_open");
    assert_eq!(hand.due(), ["CancelInvocation a #1"]);
}

#[test]
fn the_request_behind_a_calling_off_names_the_attempt_and_its_tool() {
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
    hand.hears([unavailable("a", 1)]).wait(2_000).hears([cancelled()]);
    let due = callboard_domain::due::due(&hand.state, hand.now);
    let Some(Effect::CancelInvocation { command, version, step, attempt, until_ms }) = due.effects.first()
    else {
        panic!("{due:?}")
    };
    assert_eq!((step, *attempt, *until_ms), (&id("a"), 2, hand.now - 2_000 + DEADLINE_MS));
    let wanted = effect::cancelled(&hand.state, command, *version, step).unwrap();
    assert_eq!((wanted.attempt, wanted.effect, &*wanted.tool, &*wanted.pool), (2, Unsafe, "echo", "default"));
    assert_eq!(wanted.effect_id, crate::world::hand::effect(0, "a"));
    // Its key is not the invocation's: one does not hide the other's lease.
    let invoke =
        Effect::Invoke { command: command.clone(), version: 1, step: id("a"), attempt: 2, until_ms: 0 };
    assert_ne!(invoke.key(), due.effects[0].key());
    hand.hears([ok("a", 2, "1")]);
    assert_eq!(effect::cancelled(&hand.state, &turn_id(0), 1, &id("a")), None, "the state has moved on");
    assert_eq!(effect::cancelled(&hand.state, &turn_id(0), 2, &id("b")), None);
    assert_eq!(
        effect::invocation(&hand.state, &turn_id(0), 1, &id("b")),
        None,
        "nothing is asked for any more"
    );
}
