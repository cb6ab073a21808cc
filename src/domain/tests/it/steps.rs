//! What the log says about single steps: doubts, settlements, approvals, late results, sizes. Most are tables
//! of events about step `a` in its first attempt.

use callboard_domain::conversation::{Applied, Step, StepState};
use callboard_domain::event::{
    Approval, ApprovalRecorded, ApprovalRequested, DeadlineExpired, Event, InvocationSettled, Outcome,
    Settlement, ToolError, ToolInvocationInDoubt, ToolInvocationResulted,
};
use callboard_domain::limits::{MAX_ERROR_BYTES, MAX_RESULT_BYTES, MAX_TURN_RESULTS_BYTES};
use callboard_domain::{CommandId, RawJson, State, StepId, apply};

use crate::plan_laws::{check, planned, step};
use crate::world::{START_MS, recorded, turn_id};

fn a() -> StepId {
    StepId::new("a").unwrap()
}

fn json(text: &str) -> RawJson {
    RawJson::parse(text).unwrap()
}

fn of(attempt: u32, outcome: Outcome) -> Event {
    Event::ToolInvocationResulted(ToolInvocationResulted {
        version: 1,
        step: a(),
        attempt,
        outcome,
        worker: "w1".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        finished_at: "2026-01-01T00:00:00.000Z".into(),
    })
}

fn ok(attempt: u32) -> Event {
    of(attempt, Outcome::Ok(json("42")))
}

fn error(attempt: u32, retryable: bool) -> Event {
    of(attempt, Outcome::Error(ToolError::new("unavailable", "down", retryable)))
}

fn doubt(attempt: u32) -> Event {
    Event::ToolInvocationInDoubt(ToolInvocationInDoubt {
        version: 1,
        step: a(),
        attempt,
        reason: "lost".into(),
    })
}

fn settled(attempt: u32, settlement: Settlement, command: Option<&str>) -> Event {
    Event::InvocationSettled(InvocationSettled {
        version: 1,
        step: a(),
        attempt,
        settlement,
        by: "anna".into(),
        why: None,
        settle_command: command.map(|id| CommandId::new(id).unwrap()),
    })
}

fn expired(attempt: u32) -> Event {
    Event::DeadlineExpired(DeadlineExpired { version: 1, step: a(), attempt })
}

fn ask() -> Event {
    Event::ApprovalRequested(ApprovalRequested { version: 1, step: a(), timeout_ms: 1_000 })
}

fn approval(decision: Approval) -> Event {
    let approval_command = Some(CommandId::new("approve-1").unwrap());
    Event::ApprovalRecorded(ApprovalRecorded {
        version: 1,
        step: a(),
        decision,
        by: "anna".into(),
        reason: None,
        approval_command,
    })
}

fn start(needs_approval: bool) -> State {
    let mut plan = check(vec![step("a", &[]), step("b", &[])]).unwrap();
    plan.steps[0].policy.needs_approval = needs_approval;
    planned(Some(plan))
}

fn say(state: &mut State, event: Event) -> Applied {
    apply(state, &recorded(state.next_offset, START_MS, Some(&turn_id(0)), event))
}

fn step_a(state: &State) -> &Step {
    &state.open[0].versions[0].steps[0]
}

/// Plays `events`; what each came to and how the step stands after all of them.
fn play(needs_approval: bool, events: Vec<Event>) -> (Vec<String>, String) {
    let mut state = start(needs_approval);
    let said = |event| match say(&mut state, event) {
        Applied::Changed => "changed".to_owned(),
        Applied::Ignored(reason) => reason.as_str().to_owned(),
    };
    let answers = events.into_iter().map(said).collect();
    let found = step_a(&state);
    let name = match &found.state {
        StepState::Failed(error) => format!("failed {}", error.kind),
        StepState::Done(result) => format!("done {result:?}"),
        StepState::AwaitingApproval(_) => found.state.word().to_owned(),
        other => format!("{other:?}"),
    };
    (answers, format!("{name} at attempt {}", found.attempt))
}

#[test]
fn results_and_attempts() {
    for (events, answers, end) in [
        (vec![ok(1), ok(1)], vec!["changed", "step_ended"], "done 42 at attempt 1"),
        (vec![error(1, true), ok(1)], vec!["changed", "changed"], "done 42 at attempt 2"),
        (
            vec![error(1, true), error(1, true), error(2, true)],
            vec!["changed", "other_attempt", "changed"],
            "Ready at attempt 3",
        ),
        (
            vec![error(1, true), error(2, true), error(3, true)],
            vec!["changed"; 3],
            "failed unavailable at attempt 3",
        ),
        (vec![ok(2), ok(0)], vec!["other_attempt", "other_attempt"], "Ready at attempt 1"),
        (vec![error(1, false), ok(1)], vec!["changed", "step_ended"], "failed unavailable at attempt 1"),
        (
            vec![expired(2), expired(1), ok(1)],
            vec!["other_attempt", "changed", "step_ended"],
            "failed no_worker at attempt 1",
        ),
        (vec![error(1, true), expired(2)], vec!["changed", "changed"], "failed unavailable at attempt 2"),
    ] {
        let words = format!("{events:?}");
        assert_eq!(
            play(false, events),
            (answers.iter().map(ToString::to_string).collect(), end.to_owned()),
            "{words}"
        );
    }
}

#[test]
fn doubts_are_closed_by_a_late_result_or_a_settlement_whichever_is_first() {
    let done = || settled(1, Settlement::Done(json("7")), None);
    let not_done = || settled(1, Settlement::NotDone, None);
    for (events, answers, end) in [
        (vec![doubt(1), doubt(1)], vec!["changed", "other_attempt"], r#"InDoubt("lost") at attempt 1"#),
        (
            vec![doubt(1), error(1, true), expired(1)],
            vec!["changed", "other_attempt", "other_attempt"],
            r#"InDoubt("lost") at attempt 1"#,
        ),
        (vec![doubt(1), ok(1), done()], vec!["changed", "changed", "step_ended"], "done 42 at attempt 1"),
        (vec![doubt(1), done(), ok(1)], vec!["changed", "changed", "step_ended"], "done 7 at attempt 1"),
        (
            vec![doubt(1), not_done(), not_done(), doubt(1)],
            vec!["changed", "changed", "not_awaited", "other_attempt"],
            "Ready at attempt 2",
        ),
        (vec![done()], vec!["not_awaited"], "Ready at attempt 1"),
    ] {
        let words = format!("{events:?}");
        assert_eq!(
            play(false, events),
            (answers.iter().map(ToString::to_string).collect(), end.to_owned()),
            "{words}"
        );
    }
}

#[test]
fn approvals() {
    for (needed, events, answers, end) in [
        (false, vec![ask()], vec!["not_awaited"], "Ready at attempt 1"),
        (true, vec![approval(Approval::Approved)], vec!["not_awaited"], "Ready at attempt 0"),
        (true, vec![ask(), ask()], vec!["changed", "not_awaited"], "awaiting approval at attempt 0"),
        (
            true,
            vec![ok(1), error(0, true), doubt(0), ask(), ok(1), ok(0), error(0, false), doubt(0), expired(1)],
            [["other_attempt"; 3].to_vec(), vec!["changed"], ["other_attempt"; 5].to_vec()].concat(),
            "awaiting approval at attempt 0",
        ),
        (
            true,
            vec![ask(), expired(0), approval(Approval::Approved)],
            vec!["changed", "changed", "step_ended"],
            "failed approval_timeout at attempt 0",
        ),
        (
            true,
            vec![ask(), approval(Approval::Approved), expired(0), ok(1)],
            vec!["changed", "changed", "other_attempt", "changed"],
            "done 42 at attempt 1",
        ),
        (
            true,
            vec![ask(), approval(Approval::Approved), ask()],
            vec!["changed", "changed", "not_awaited"],
            "Ready at attempt 1",
        ),
        (
            true,
            vec![ask(), approval(Approval::Rejected)],
            vec!["changed", "changed"],
            "failed rejected at attempt 0",
        ),
    ] {
        let words = format!("{events:?}");
        assert_eq!(
            play(needed, events),
            (answers.iter().map(ToString::to_string).collect(), end.to_owned()),
            "{words}"
        );
    }
    let mut state = start(true);
    say(&mut state, ask());
    say(&mut state, approval(Approval::ApprovedWith(json(r#"{"text":"less"}"#))));
    assert_eq!(step_a(&state).arguments().as_str(), r#"{"text":"less"}"#);
}

#[test]
fn the_command_behind_a_settlement_is_known_even_where_it_came_too_late() {
    let mut state = start(false);
    say(&mut state, ok(1));
    let late = say(&mut state, settled(1, Settlement::NotDone, Some("settle-1")));
    assert!(matches!(late, Applied::Ignored(_)));
    assert!(state.known("settle-1").is_some(), "or the host would decide it for ever");
}

#[test]
fn an_oversized_result_is_an_error_of_its_own() {
    let sized = |bytes: usize| of(1, Outcome::Ok(RawJson::of(&"x".repeat(bytes - 2)).unwrap()));
    assert_eq!(play(false, vec![sized(MAX_RESULT_BYTES + 1)]).1, "failed result_too_large at attempt 1");
    let mut state = start(false);
    say(&mut state, sized(MAX_RESULT_BYTES));
    assert_eq!(state.open[0].results_bytes, MAX_RESULT_BYTES);
    let Event::ToolInvocationResulted(mut second) = sized(MAX_TURN_RESULTS_BYTES - MAX_RESULT_BYTES + 1)
    else {
        unreachable!("sized makes results")
    };
    second.step = StepId::new("b").unwrap();
    say(&mut state, Event::ToolInvocationResulted(second));
    let failed = crate::world::ended(&state.open[0].versions[0].steps[1].state);
    assert_eq!(
        failed,
        serde_json::json!({ "failed": "result_too_large" }),
        "the turn's results have a bound together"
    );
}

#[test]
fn a_foreign_workers_long_words_are_cut_short() {
    let words = "é".repeat(100_000);
    let raw = ToolError { kind: words.as_str().into(), message: words.as_str().into(), retryable: false };
    let mut state = start(false);
    say(&mut state, of(1, Outcome::Error(raw)));
    let StepState::Failed(kept) = &step_a(&state).state else { panic!("the step failed") };
    assert!(kept.message.len() <= MAX_ERROR_BYTES && kept.kind.len() <= MAX_ERROR_BYTES);
}

#[test]
fn an_escape_is_undone_in_a_step_without_dependencies_too() {
    let mut escaped = step("a", &[]);
    escaped.arguments = json(r#"{"text":"$${HOME}"}"#);
    let state = planned(Some(check(vec![escaped]).unwrap()));
    assert_eq!(step_a(&state).arguments().as_str(), r#"{"text":"${HOME}"}"#);
}

#[test]
fn a_reference_to_a_missing_field_fails_its_step_by_name() {
    let mut second = step("b", &[]);
    second.arguments = json(r#"{"text":"${a.nope}"}"#);
    let mut state = planned(Some(check(vec![step("a", &[]), second]).unwrap()));
    say(&mut state, ok(1));
    let StepState::Failed(error) = &state.open[0].versions[0].steps[1].state else { panic!("b failed") };
    assert_eq!(
        (&*error.kind, &*error.message),
        ("unresolved_reference", r#"${a.nope}: the result of "a" has no "nope""#)
    );
}
