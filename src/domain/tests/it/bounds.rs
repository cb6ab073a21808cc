//! The state of a conversation is bounded, however long it lives and whatever is written into it.

use callboard_domain::conversation::{Applied, Ignored, State};
use callboard_domain::due::due;
use callboard_domain::effect::Effect;
use callboard_domain::event::{Event, FinalAnswerSynthesized, TurnError};
use callboard_domain::limits::{
    MAX_CLOSED_BYTES, MAX_CLOSED_TURNS, MAX_ERROR_BYTES, MAX_KNOWN_COMMANDS, MAX_MESSAGE_BYTES,
};
use callboard_domain::plan::PlanReason;
use callboard_domain::{CommandId, RawJson, apply};

use crate::decide::{carry_out, question};
use crate::plan_laws::{check, resulted, step};
use crate::world::tools::author;
use crate::world::{START_MS, bytes, conversation, recorded};

/// One turn with three echo steps weighs about 2 kB in full and 80 bytes as a remembered command; 20 in full
/// and 1,024 remembered stay below this.
const SNAPSHOT_BYTES: usize = 160 * 1024;

/// Appends `event` about `command` one second after the last.
fn say(state: &mut State, command: &CommandId, event: Event) -> Applied {
    let at = state.clock_ms.max(START_MS) + 1_000;
    apply(state, &recorded(state.next_offset, at, Some(command), event))
}

fn answer(text: &str) -> Event {
    Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
        version: 1,
        answer: text.into(),
        synthesizer: author(),
        worker: "w1".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        finished_at: "2026-01-01T00:00:00.000Z".into(),
        models: None,
    })
}

/// A whole turn of three steps.
fn turn(state: &mut State, id: &str) {
    let (_, command) = carry_out(state, &question(id)).expect("a new question");
    let plan = check(vec![step("a", &[]), step("b", &[]), step("c", &["a", "b"])]).unwrap();
    assert_eq!(plan.reason, PlanReason::First);
    say(state, &command, Event::PlanGenerated(plan));
    for i in 0..3 {
        let done = resulted(&state.open[0].versions[0].steps[i], outcome());
        assert_eq!(say(state, &command, done), Applied::Changed);
    }
    assert_eq!(say(state, &command, answer("forty-two")), Applied::Changed);
}

fn outcome() -> callboard_domain::event::Outcome {
    callboard_domain::event::Outcome::Ok(RawJson::parse(r#"{"value":42}"#).unwrap())
}

#[test]
fn three_thousand_turns_weigh_no_more_than_fifteen_hundred() {
    let mut state = State::new(conversation());
    let mut sizes = Vec::new();
    for i in 0..3_000 {
        turn(&mut state, &format!("question-{i:05}"));
        assert!(
            state.known.len() <= MAX_KNOWN_COMMANDS
                && state.closed.len() <= MAX_CLOSED_TURNS
                && state.open.is_empty()
        );
        if i % 500 == 499 {
            sizes.push(bytes(&state).len());
        }
    }
    assert_eq!(
        (state.turns, state.known.len(), state.closed.len()),
        (3_000, MAX_KNOWN_COMMANDS, MAX_CLOSED_TURNS)
    );
    assert!(sizes.iter().all(|size| *size < SNAPSHOT_BYTES), "{sizes:?}");
    // Numbers take more digits as they grow, nothing else does: what a turn costs to fold, snapshot and look
    // up hangs on these sizes, so it does not grow with age either.
    let (half, whole) = (sizes[2], sizes[5]);
    assert!(whole < half + half / 50, "{sizes:?}");
}

#[test]
fn the_newest_thousand_commands_are_known_and_older_ones_are_not() {
    let mut state = State::new(conversation());
    for i in 0..=MAX_KNOWN_COMMANDS {
        turn(&mut state, &format!("q{i}"));
    }
    assert!(state.known("q0").is_none(), "beyond the reach of an idempotency key");
    assert!(state.known("q1").is_some());
    assert_eq!(state.known_turn(2).unwrap().command.as_str(), "q1");
}

#[test]
fn an_open_turn_is_not_forgotten_behind_a_thousand_other_commands() {
    let mut state = State::new(conversation());
    let (_, open) = carry_out(&mut state, &question("open")).unwrap();
    for i in 0..2 * MAX_KNOWN_COMMANDS {
        let refused = callboard_domain::event::CommandRefused {
            command_type: "PlanCancelRequested".into(),
            code: "unknown_turn".into(),
            message: "there is no such turn".into(),
        };
        say(&mut state, &CommandId::new(&format!("x{i}")).unwrap(), Event::CommandRefused(refused));
    }
    assert_eq!(state.known.len(), MAX_KNOWN_COMMANDS);
    assert!(state.known(open.as_str()).is_some());
    assert_eq!(
        carry_out(&mut state, &question("open")),
        None,
        "or it would become a second turn of the same id"
    );
}

#[test]
fn closed_turns_have_a_bound_in_bytes_too() {
    let mut state = State::new(conversation());
    for i in 0..30 {
        let mut asked = question(&format!("q{i}"));
        if let callboard_domain::command::Command::UserQueryReceived(query) = &mut asked.command {
            query.message = "x".repeat(MAX_MESSAGE_BYTES).into();
        }
        let (_, command) = carry_out(&mut state, &asked).unwrap();
        say(
            &mut state,
            &command,
            Event::PlanFailed(callboard_domain::event::PlanFailed::of(TurnError::new("no_plan", "x"))),
        );
    }
    let kept: usize = state.closed.iter().map(|turn| turn.size_bytes()).sum();
    assert!(kept <= MAX_CLOSED_BYTES && !state.closed.is_empty(), "{kept}");
    assert_eq!(state.closed.back().unwrap().number, 30, "the newest are the ones that stay");
}

#[test]
fn an_errors_words_are_bounded_whoever_wrote_them() {
    let mut state = State::new(conversation());
    let (_, command) = carry_out(&mut state, &question("q1")).unwrap();
    let error = TurnError { code: "no_plan".into(), message: "é".repeat(200_000).into() };
    say(&mut state, &command, Event::PlanFailed(callboard_domain::event::PlanFailed::of(error)));
    assert!(state.closed[0].error.as_ref().unwrap().message.len() <= MAX_ERROR_BYTES);
}

#[test]
fn refused_turns_leave_the_state_as_soon_as_their_refusal_is_read() {
    let mut state = State::new(conversation());
    for i in 0..500 {
        carry_out(&mut state, &question(&format!("q{i}"))).unwrap();
        for effect in due(&state, START_MS).effects {
            if let Effect::Append { command, event } = effect {
                let record = recorded(state.next_offset, START_MS, Some(&command), event);
                assert_ne!(apply(&mut state, &record), Applied::Ignored(Ignored::TurnNotRunning));
            }
        }
    }
    assert_eq!(state.open.len(), 65);
}
