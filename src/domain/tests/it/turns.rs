//! What the log says about whole turns: which of late, foreign or out-of-place events count.

use callboard_domain::conversation::{Applied, Ignored, Phase, State, TurnStatus};
use callboard_domain::event::{
    Event, FinalAnswerSynthesized, Outcome, PlanCancelled, PlanFailed, ToolError, TurnError,
};
use callboard_domain::limits::MAX_QUEUED_TURNS;
use callboard_domain::plan::PlanReason;
use callboard_domain::time::Millis;
use callboard_domain::{CommandId, RawJson, apply};

use crate::decide::{asked, carry_out, question};
use crate::plan_laws::{check, planned, resulted, step};
use crate::world::tools::author;
use crate::world::{START_MS, conversation, recorded, turn_id};

fn say(state: &mut State, command: &CommandId, event: Event) -> Applied {
    say_at(state, START_MS, command, event)
}

fn say_at(state: &mut State, at_ms: Millis, command: &CommandId, event: Event) -> Applied {
    apply(state, &recorded(state.next_offset, at_ms, Some(command), event))
}

fn answer(version: u32) -> Event {
    Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
        version,
        answer: format!("by plan {version}").into(),
        synthesizer: author(),
        worker: "w1".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        finished_at: "2026-01-01T00:00:00.000Z".into(),
        models: None,
    })
}

fn failed() -> Event {
    Event::PlanFailed(PlanFailed::of(TurnError::new("turn_timeout", "too late")))
}

fn cancelled() -> Event {
    Event::PlanCancelled(PlanCancelled { by: None, reason: None, cancel_command: None })
}

fn done(state: &State, i: usize) -> Event {
    resulted(&state.open[0].versions[0].steps[i], Outcome::Ok(RawJson::null()))
}

#[test]
fn the_first_ending_counts_and_later_ones_are_ignored() {
    for (first, status) in [
        (answer(1), TurnStatus::Answered),
        (failed(), TurnStatus::Failed),
        (cancelled(), TurnStatus::Cancelled),
    ] {
        let mut state = planned(Some(check(vec![]).unwrap()));
        assert_eq!(say(&mut state, &turn_id(0), first), Applied::Changed);
        for later in [answer(1), failed(), cancelled()] {
            assert_eq!(say(&mut state, &turn_id(0), later), Applied::Ignored(Ignored::TurnNotRunning));
        }
        let known = state.known("turn-0").unwrap();
        assert_eq!((known.status, known.terminal_offset, state.closed.len()), (status, Some(2), 1));
    }
}

#[test]
fn an_answer_to_another_plan_version_is_ignored() {
    let mut state = planned(Some(check(vec![]).unwrap()));
    for version in [0, 2] {
        assert_eq!(say(&mut state, &turn_id(0), answer(version)), Applied::Ignored(Ignored::OtherVersion));
    }
    assert_eq!(say(&mut state, &turn_id(0), answer(1)), Applied::Changed);
}

#[test]
fn events_without_a_turn_or_about_one_that_waits_are_ignored() {
    let mut state = planned(Some(check(vec![step("a", &[])]).unwrap()));
    carry_out(&mut state, &question("waiting")).unwrap();
    let waiting = CommandId::new("waiting").unwrap();
    let plan = Event::PlanGenerated(check(vec![]).unwrap());
    for event in [answer(1), plan, done(&state, 0)] {
        for about in [&waiting, &CommandId::new("stranger").unwrap()] {
            let ignored = Applied::Ignored(Ignored::TurnNotRunning);
            assert_eq!(say(&mut state, about, event.clone()), ignored, "{event:?} about {about}");
        }
        let nobody = recorded(state.next_offset, START_MS, None, event);
        assert_eq!(apply(&mut state, &nobody), Applied::Ignored(Ignored::TurnNotRunning));
    }
    assert_eq!(say(&mut state, &waiting, cancelled()), Applied::Changed, "but a waiting turn can be ended");
}

#[test]
fn a_turn_that_is_to_end_does_not_turn_back_when_its_last_result_comes() {
    let mut state = planned(Some(check(vec![step("a", &[])]).unwrap()));
    let reset = callboard_domain::command::HistoryReset::default();
    carry_out(&mut state, &asked("r1", callboard_domain::command::Command::UserHistoryReset(reset))).unwrap();
    let last = done(&state, 0);
    assert_eq!(say(&mut state, &turn_id(0), last), Applied::Changed, "the result itself is kept");
    assert_eq!(state.open[0].phase, Phase::Cancelling);

    let mut state = planned(Some(check(vec![step("a", &[]), step("b", &[])]).unwrap()));
    let error = Outcome::Error(ToolError::new("unavailable", "down", false));
    let broken = resulted(&state.open[0].versions[0].steps[0], error.clone());
    say(&mut state, &turn_id(0), broken);
    let Phase::Failing(cause) = state.open[0].phase.clone() else { panic!("a's failure fails the turn") };
    let since = state.open[0].phase_since_ms;
    let second = resulted(&state.open[0].versions[0].steps[1], error);
    say_at(&mut state, START_MS + 5_000, &turn_id(0), second);
    assert_eq!((&state.open[0].phase, state.open[0].phase_since_ms), (&Phase::Failing(cause), since));
}

#[test]
fn a_turn_that_is_to_end_does_not_start_when_the_one_before_it_closes() {
    let mut state = planned(None);
    carry_out(&mut state, &question("second")).unwrap();
    let reset = callboard_domain::command::HistoryReset::default();
    carry_out(&mut state, &asked("r1", callboard_domain::command::Command::UserHistoryReset(reset))).unwrap();
    say(&mut state, &turn_id(0), cancelled());
    assert_eq!(state.open[0].phase, Phase::Cancelling);

    let mut state = State::new(conversation());
    for i in 0..=MAX_QUEUED_TURNS + 1 {
        carry_out(&mut state, &question(&format!("q{i}"))).unwrap();
    }
    for i in 0..=MAX_QUEUED_TURNS {
        assert_eq!(state.open[0].phase, Phase::Planning(PlanReason::First));
        say(&mut state, &CommandId::new(&format!("q{i}")).unwrap(), failed());
    }
    assert!(matches!(&state.open[0].phase, Phase::Failing(error) if &*error.code == "queue_full"));
}

#[test]
fn a_turns_clock_starts_when_it_becomes_the_running_one() {
    let mut state = planned(None);
    carry_out(&mut state, &question("second")).unwrap();
    assert_eq!(state.open[1].started_ms, None);
    say_at(&mut state, START_MS + 90_000, &turn_id(0), failed());
    assert_eq!(
        (state.open[0].started_ms, state.open[0].phase_since_ms),
        (Some(START_MS + 90_000), START_MS + 90_000)
    );
    assert_eq!(state.open[0].received_ms, START_MS);
}

#[test]
fn the_folds_clock_never_goes_back() {
    let mut state = planned(None);
    assert_eq!(say_at(&mut state, START_MS - 3_600_000, &turn_id(0), failed()), Applied::Changed);
    assert_eq!((state.clock_ms, state.closed[0].closed_ms), (START_MS, START_MS));
}

#[test]
fn a_step_that_waits_for_others_has_no_result_whatever_a_record_says() {
    let mut state = planned(Some(check(vec![step("a", &[]), step("b", &["a"])]).unwrap()));
    for attempt in [0, 1] {
        for outcome in [Outcome::Ok(RawJson::null()), Outcome::Error(ToolError::new("timeout", "x", true))] {
            let Event::ToolInvocationResulted(mut early) =
                resulted(&state.open[0].versions[0].steps[1], outcome)
            else {
                unreachable!("resulted makes results")
            };
            early.attempt = attempt;
            let said = say(&mut state, &turn_id(0), Event::ToolInvocationResulted(early));
            assert_eq!(said, Applied::Ignored(Ignored::OtherAttempt), "attempt {attempt}");
        }
    }
}

#[test]
fn a_plan_that_was_first_in_the_log_makes_the_word_that_it_is_missing_void() {
    let missing = |version| {
        let error = TurnError::new("planning_timeout", "too late");
        Event::PlanFailed(PlanFailed { error, missing_version: Some(version) })
    };
    // The plan came first: the timer that had not read it yet declares nothing.
    let mut state = planned(Some(check(vec![step("a", &[])]).unwrap()));
    assert_eq!(say(&mut state, &turn_id(0), missing(1)), Applied::Ignored(Ignored::OtherVersion));
    assert_eq!(say(&mut state, &turn_id(0), missing(2)), Applied::Ignored(Ignored::OtherVersion));
    assert_eq!(state.open[0].phase, Phase::Acting);
    // Missing it is, and said of the version that is waited for.
    let mut state = planned(None);
    assert_eq!(say(&mut state, &turn_id(0), missing(2)), Applied::Ignored(Ignored::OtherVersion));
    assert_eq!(say(&mut state, &turn_id(0), missing(1)), Applied::Changed);
    assert_eq!(state.known("turn-0").unwrap().status, TurnStatus::Failed);
}
