//! `InvocationSettleRequested`: a person says what came of a step in doubt.

use callboard_domain::EffectId;
use callboard_domain::command::{Command, InvocationSettleRequest};
use callboard_domain::event::{Event, Settlement};
use callboard_domain::limits::{MAX_ERROR_BYTES, MAX_PRINCIPAL_BYTES, MAX_RESULT_BYTES};
use callboard_domain::plan::EffectClass::{Pure, Unsafe};

use crate::world::hand::{Hand, cancelled, done, doubt, effect, id, ok, settled};
use crate::world::turn_id;

fn request(effect_id: EffectId, settlement: Settlement) -> InvocationSettleRequest {
    let (by, why) = ("anna".into(), Some("seen in the bank".into()));
    InvocationSettleRequest { effect_id, attempt: None, settlement, by, why }
}

fn settle(effect_id: EffectId, settlement: Settlement) -> Command {
    Command::InvocationSettleRequested(request(effect_id, settlement))
}

/// The code of a refusal and its sentence.
fn refusal(event: Option<Event>) -> (String, String) {
    let Some(Event::CommandRefused(refused)) = event else { panic!("{event:?}") };
    assert_eq!(&*refused.command_type, "InvocationSettleRequested");
    (refused.code.to_string(), refused.message.to_string())
}

#[test]
fn done_ends_the_step_with_the_result_that_was_named() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([doubt("a", 1)]);
    let Some(Event::InvocationSettled(event)) = hand.command("s1", settle(effect(0, "a"), done("7"))) else {
        panic!("it is in doubt")
    };
    assert_eq!((&*event.by, event.why.as_deref(), event.attempt), ("anna", Some("seen in the bank"), 1));
    assert_eq!(event.settle_command.unwrap().as_str(), "s1");
    assert_eq!(hand.stands("a"), "done 7 #1");
    assert_eq!(hand.due(), ["Synthesize"]);
    assert_eq!(hand.command("s1", settle(effect(0, "a"), Settlement::NotDone)), None, "the command is known");
}

#[test]
fn not_done_runs_it_again_while_the_turn_is_open_and_fails_it_afterwards() {
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Unsafe)]);
    hand.hears([doubt("a", 1), doubt("b", 1)]);
    hand.command("s1", settle(effect(0, "a"), Settlement::NotDone));
    assert_eq!(hand.due(), ["Invoke a #2"]);
    hand.hears([doubt("a", 2), cancelled()]);
    hand.command("s2", settle(effect(0, "a"), Settlement::NotDone));
    assert_eq!(hand.stands("a"), "failed not_done #2");
    hand.command("s3", settle(effect(0, "b"), done("1")));
    assert_eq!((hand.stands("b").as_str(), hand.state.loose), ("done 1 #1", 0));
    assert_eq!(hand.due(), Vec::<String>::new(), "nothing is run again for a turn that has ended");
}

#[test]
fn a_word_on_an_earlier_attempt_settles_nothing() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([doubt("a", 1)]);
    let word = |attempt| {
        let asked = InvocationSettleRequest {
            attempt: Some(attempt),
            ..request(effect(0, "a"), Settlement::NotDone)
        };
        Command::InvocationSettleRequested(asked)
    };
    hand.command("s1", word(1));
    assert_eq!(hand.due(), ["Invoke a #2"]);
    hand.hears([doubt("a", 2)]);
    let (code, words) = refusal(hand.command("s2", word(1)));
    assert_eq!(code, "another_attempt");
    assert!(words.contains("attempt 1 of") && words.contains("attempt 2 is"), "{words}");
    hand.command("s3", word(2));
    assert_eq!(hand.due(), ["Invoke a #3"]);
}

#[test]
fn what_is_not_in_doubt_is_refused_with_how_it_stands() {
    let mut hand = Hand::acting(&[("a", Unsafe), ("b", Pure)]);
    hand.hears([ok("b", 1, "1")]);
    let mut n = 0;
    let mut refused = |hand: &mut Hand, effect: EffectId| {
        n += 1;
        refusal(hand.command(&format!("s{n}"), settle(effect, Settlement::NotDone)))
    };
    for (step, stands) in [("a", "running"), ("b", "done")] {
        let (code, words) = refused(&mut hand, effect(0, step));
        assert_eq!(code, "not_in_doubt");
        assert!(words.contains(stands) && words.contains(&effect(0, step).to_string()), "{words}");
    }
    let elsewhere = EffectId { conversation: "other".parse().unwrap(), ..effect(0, "a") };
    for unknown in [
        effect(0, "c"),
        effect(1, "a"),
        EffectId { version: 2, ..effect(0, "a") },
        EffectId { version: 0, ..effect(0, "a") },
        elsewhere,
    ] {
        assert_eq!(refused(&mut hand, unknown).0, "unknown_effect");
    }
    hand.hears([doubt("a", 1)]);
    hand.command("settled", settle(effect(0, "a"), done("1")));
    assert_eq!(refused(&mut hand, effect(0, "a")).0, "not_in_doubt", "the first has settled it");
    assert!(hand.state.known("s1").is_some() && hand.state.known("settled").is_some());
}

#[test]
fn of_two_settlements_that_were_decided_at_once_the_first_in_the_log_wins() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([doubt("a", 1)]);
    let late = match settled("a", 1, Settlement::NotDone) {
        Event::InvocationSettled(mut body) => {
            body.settle_command = Some("late".parse().unwrap());
            Event::InvocationSettled(body)
        }
        other => other,
    };
    hand.hears([settled("a", 1, done("1"))]);
    hand.ignores(late, callboard_domain::conversation::Ignored::StepEnded);
    assert_eq!(hand.stands("a"), "done 1 #1");
    assert_eq!(hand.command("late", settle(effect(0, "a"), Settlement::NotDone)), None, "it has had its say");
}

#[test]
fn a_settlement_from_before_does_not_speak_of_the_next_attempt() {
    let mut hand = Hand::acting(&[("a", Unsafe)]);
    hand.hears([doubt("a", 1), settled("a", 1, Settlement::NotDone), doubt("a", 2)]);
    hand.ignores(settled("a", 1, done("1")), callboard_domain::conversation::Ignored::NotAwaited);
    assert_eq!(hand.stands("a"), "in doubt #2");
    assert_eq!(
        hand.state
            .doubts()
            .map(|(turn, command, version, step)| (turn, command.clone(), version, step.plan.id.clone()))
            .collect::<Vec<_>>(),
        [(1, turn_id(0), 1, id("a"))]
    );
}

#[test]
fn a_request_says_who_and_fits_its_bounds() {
    let with = |by: &str, why: Option<&str>, settlement| InvocationSettleRequest {
        by: by.into(),
        why: why.map(Into::into),
        ..request(effect(0, "a"), settlement)
    };
    let large = |bytes: usize| done(&format!("\"{}\"", "x".repeat(bytes - 2)));
    for (wrong, field) in [
        (with("", None, Settlement::NotDone), "by"),
        (with(" \n", None, Settlement::NotDone), "by"),
        (with(&"x".repeat(MAX_PRINCIPAL_BYTES + 1), None, Settlement::NotDone), "by"),
        (with("anna", Some(&"x".repeat(MAX_ERROR_BYTES + 1)), Settlement::NotDone), "why"),
        (with("anna", None, large(MAX_RESULT_BYTES + 1)), "settlement"),
    ] {
        assert_eq!(wrong.problem().unwrap().field, field);
    }
    assert_eq!(with("anna", Some(&"x".repeat(MAX_ERROR_BYTES)), large(MAX_RESULT_BYTES)).problem(), None);
}
