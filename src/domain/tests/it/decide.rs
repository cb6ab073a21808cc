//! `decide`: a known command is known whatever its type; any other comes to exactly one event.

use callboard_domain::command::{Asked, Command, HistoryReset, PlanCancelRequest};
use callboard_domain::conversation::TurnStatus;
use callboard_domain::decide::{Decision, decide};
use callboard_domain::due::due;
use callboard_domain::effect::Effect;
use callboard_domain::event::Event;
use callboard_domain::limits::MAX_QUEUED_TURNS;
use callboard_domain::{CommandId, State, apply};

use crate::story::step;
use crate::world::script::Script;
use crate::world::tools::{Tools, limits};
use crate::world::{START_MS, World, conversation, query, recorded, turn_id};

pub fn asked(id: &str, command: Command) -> Asked {
    Asked { id: CommandId::new(id).unwrap(), command }
}

pub fn question(id: &str) -> Asked {
    asked(id, Command::UserQueryReceived(query(&format!("question of {id}"))))
}

fn cancel(id: &str, turn: &str) -> Asked {
    let turn_command_id = CommandId::new(turn).unwrap();
    asked(id, Command::PlanCancelRequested(PlanCancelRequest { turn_command_id, by: None, reason: None }))
}

fn reset(id: &str) -> Asked {
    asked(id, Command::UserHistoryReset(HistoryReset { by: None }))
}

/// Decides, appends and reads back; the event's name and the command that it is about.
pub fn carry_out(state: &mut State, asked: &Asked) -> Option<(&'static str, CommandId)> {
    match decide(state, asked, &Tools::default(), 0) {
        Decision::Known => None,
        Decision::Append { command, event } => {
            let name = event.name();
            apply(state, &recorded(state.next_offset, START_MS, Some(&command), event));
            Some((name, command))
        }
    }
}

#[test]
fn a_known_command_is_known_whatever_its_type() {
    let mut state = State::new(conversation());
    carry_out(&mut state, &question("q1")).unwrap();
    carry_out(&mut state, &cancel("x1", "q1")).unwrap();
    carry_out(&mut state, &cancel("x2", "q1")).unwrap();
    carry_out(&mut state, &reset("r1")).unwrap();
    for id in ["q1", "x1", "x2", "r1"] {
        for again in [question(id), cancel(id, "q1"), cancel(id, "never"), reset(id)] {
            assert_eq!(decide(&state, &again, &Tools::default(), 0), Decision::Known, "{again:?}");
        }
    }
}

#[test]
fn every_command_comes_to_one_event_and_is_then_known() {
    let mut state = State::new(conversation());
    for (asked, event, about) in [
        (question("q1"), "UserQueryReceived", "q1"),
        (cancel("x1", "nothing"), "CommandRefused", "x1"),
        (cancel("x2", "x1"), "CommandRefused", "x2"),
        (cancel("x3", "q1"), "PlanCancelled", "q1"),
        (cancel("x4", "q1"), "CommandRefused", "x4"),
        (reset("r1"), "UserHistoryReset", "r1"),
        (question("q2"), "UserQueryReceived", "q2"),
    ] {
        assert_eq!(carry_out(&mut state, &asked), Some((event, CommandId::new(about).unwrap())), "{asked:?}");
        assert_eq!(carry_out(&mut state, &asked), None, "{asked:?}");
    }
}

#[test]
fn refusals_say_why() {
    let mut state = State::new(conversation());
    carry_out(&mut state, &question("q1"));
    carry_out(&mut state, &cancel("x1", "q1"));
    for (turn, code) in [("q1", "turn_not_open"), ("q9", "unknown_turn")] {
        let Decision::Append { event: Event::CommandRefused(refused), .. } =
            decide(&state, &cancel("x2", turn), &Tools::default(), 0)
        else {
            panic!("cancelling {turn} is refused")
        };
        assert_eq!((&*refused.code, &*refused.command_type), (code, "PlanCancelRequested"));
        assert!(refused.message.contains(turn), "{}", refused.message);
    }
}

#[test]
fn a_question_carries_its_limits_and_hash_into_the_log() {
    let Decision::Append { event: Event::UserQueryReceived(accepted), .. } =
        decide(&State::new(conversation()), &question("q1"), &Tools::default(), 0)
    else {
        panic!("a question is accepted")
    };
    assert_eq!((accepted.limits, accepted.body_hash), (limits(), query("question of q1").body_hash()));
}

#[test]
fn sixty_four_wait_and_the_next_is_refused() {
    let mut state = State::new(conversation());
    for i in 0..=MAX_QUEUED_TURNS {
        carry_out(&mut state, &question(&format!("q{i}"))).unwrap();
    }
    let refusals = |state: &State| {
        let code = |effect: &Effect| match effect {
            Effect::Append { command, event: Event::PlanFailed(failed) } => {
                Some((command.to_string(), failed.error.code.to_string()))
            }
            _ => None,
        };
        due(state, START_MS).effects.iter().filter_map(code).collect::<Vec<_>>()
    };
    assert_eq!(refusals(&state), []);
    carry_out(&mut state, &question("late")).unwrap();
    assert_eq!(refusals(&state), [("late".to_owned(), "queue_full".to_owned())]);
    for effect in due(&state, START_MS).effects {
        if let Effect::Append { command, event } = effect {
            let record = recorded(state.next_offset, START_MS, Some(&command), event);
            apply(&mut state, &record);
        }
    }
    assert_eq!(state.known("late").unwrap().status, TurnStatus::Failed);
    assert_eq!(carry_out(&mut state, &question("late")), None, "refused once is refused for good");
    assert_eq!(state.open.len(), MAX_QUEUED_TURNS + 1);
}

#[test]
fn messages_are_answered_in_the_order_in_which_they_were_accepted() {
    let mut script = Script::one(vec![step(&[], &[])]);
    let again = script.acts[0].1.clone();
    script.acts.extend((0..20).map(|i| (i % 3 * 40, again.clone())));
    let world = World::ran(script, &[0]);
    let answered = world.log.iter().filter_map(|record| match &record.body {
        callboard_domain::wire::Readable::Event(Event::FinalAnswerSynthesized(_)) => record.command.clone(),
        _ => None,
    });
    assert_eq!(answered.collect::<Vec<_>>(), (0..21).map(turn_id).collect::<Vec<_>>());
}
