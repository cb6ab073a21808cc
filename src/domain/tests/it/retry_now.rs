//! `RetryNowRequested`: a person ends a step's back-off.

use callboard_domain::command::{Command, RetryNowRequest};
use callboard_domain::conversation::Ignored;
use callboard_domain::event::Event;
use callboard_domain::plan::EffectClass::{Pure, Unsafe};

use crate::world::hand::{Hand, advanced, cancelled, doubt, effect, ok, unavailable};

fn retry(step: &str) -> Command {
    Command::RetryNowRequested(RetryNowRequest { effect_id: effect(0, step), by: Some("anna".into()) })
}

/// The code of a refusal.
fn refusal(event: Option<Event>) -> String {
    let Some(Event::CommandRefused(refused)) = event else { panic!("{event:?}") };
    assert_eq!(&*refused.command_type, "RetryNowRequested");
    refused.code.to_string()
}

/// `a` failed once and waits.
fn waiting() -> Hand {
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
    hand.hears([unavailable("a", 1), ok("b", 1, "1")]);
    assert_eq!(hand.due(), Vec::<String>::new());
    hand
}

#[test]
fn the_next_attempt_starts_now_and_keeps_its_number_and_deadline() {
    let mut hand = waiting();
    let deadline_ms = hand.step("a").deadline_ms();
    let Some(Event::RetryAdvanced(event)) = hand.command("r1", retry("a")) else {
        panic!("it is in back-off")
    };
    assert_eq!((event.attempt, event.by.as_deref()), (2, Some("anna")));
    assert_eq!(hand.due(), ["Invoke a #2"]);
    assert_eq!((hand.step("a").deadline_ms(), hand.step("a").attempt), (deadline_ms, 2));
    assert_eq!(hand.command("r1", retry("a")), None, "the command is known");
    assert_eq!(refusal(hand.command("r2", retry("a"))), "not_in_backoff", "it is running");
}

#[test]
fn what_is_not_in_back_off_is_refused() {
    let mut hand = waiting();
    assert_eq!(refusal(hand.command("r1", retry("b"))), "not_in_backoff");
    assert_eq!(refusal(hand.command("r2", retry("c"))), "unknown_effect");
    let mut over = hand.clone();
    over.wait(100);
    assert_eq!(refusal(over.command("r3", retry("a"))), "not_in_backoff", "its time has come by itself");
    let mut closed = hand.clone();
    closed.hears([cancelled()]);
    assert_eq!(refusal(closed.command("r4", retry("a"))), "not_in_backoff", "its turn has ended");
    hand.wait(100).hears([doubt("a", 2)]);
    assert_eq!(refusal(hand.command("r5", retry("a"))), "not_in_backoff", "a doubt is settled, not retried");
}

#[test]
fn an_advance_that_comes_late_or_twice_changes_nothing_and_its_command_is_known() {
    let mut hand = waiting();
    let late = |command: &str| match advanced("a", 2) {
        Event::RetryAdvanced(mut body) => {
            body.retry_command = Some(command.parse().unwrap());
            Event::RetryAdvanced(body)
        }
        other => other,
    };
    hand.ignores(advanced("a", 1), Ignored::NotAwaited).ignores(advanced("a", 3), Ignored::NotAwaited);
    hand.hears([late("r1")]).ignores(late("r2"), Ignored::NotAwaited);
    hand.hears([unavailable("a", 2)]).ignores(late("r3"), Ignored::NotAwaited);
    assert_eq!(hand.due(), Vec::<String>::new(), "an advance is of one attempt");
    hand.hears([cancelled()]).ignores(late("r4"), Ignored::TurnNotRunning);
    for command in ["r1", "r2", "r3", "r4"] {
        assert!(hand.state.known(command).is_some(), "{command}, or the host would decide it for ever");
    }
}

#[test]
fn a_host_whose_clock_is_behind_lets_the_logs_count() {
    let mut hand = waiting();
    hand.wait(100).hears([]);
    hand.ignores(advanced("a", 2), Ignored::NotAwaited);
    hand.wait(-90);
    assert_eq!(refusal(hand.command("r1", retry("a"))), "not_in_backoff");
}
