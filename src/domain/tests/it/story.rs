//! Short stories of one conversation, step by step: what a turn comes to.

use callboard_domain::conversation::{Phase, TurnStatus};
use callboard_domain::plan::{EffectClass, OnFailure, Then};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::world::World;
use crate::world::script::{Act, Answering, Mood, PlanScript, Reply, Script, StepScript, script};

pub fn step(depends_on: &[usize], replies: &[Reply]) -> StepScript {
    StepScript {
        depends_on: depends_on.to_vec(),
        by_reference: !depends_on.is_empty(),
        effect: EffectClass::Pure,
        backoff_ms: 100,
        on_failure: OnFailure::Fail,
        max_attempts: 2,
        latency_ms: 100,
        replies: replies.to_vec(),
        approval: None,
    }
}

fn one_turn(script: Script) -> (World, TurnStatus, Option<String>) {
    let world = World::ran(script, &[0]);
    assert_eq!(world.audit().violations, []);
    let turn = &world.state().closed[0];
    let (status, code) = (turn.status, turn.error.as_ref().map(|error| error.code.to_string()));
    (world, status, code)
}

#[test]
fn a_turn_with_three_tools_is_six_events_in_the_log_of_events() {
    let (world, status, _) = one_turn(Script::one(vec![step(&[], &[]), step(&[], &[]), step(&[], &[])]));
    assert_eq!(status, TurnStatus::Answered);
    assert_eq!(world.log.len(), 6, "accepted, planned, three results, answered");
    assert_eq!(world.state().closed[0].answer.as_deref(), Some("the answer to turn-0 by plan 1"));
}

#[test]
fn a_reference_carries_the_earlier_result() {
    let (world, ..) = one_turn(Script::one(vec![step(&[], &[]), step(&[0], &[])]));
    let plan = &world.state().closed[0].versions[0];
    assert_eq!(plan.steps[1].arguments().to_value(), json!({ "text": "turn-0/1/s0" }));
    assert_eq!(plan.steps[1].plan.arguments.to_value(), json!({ "text": "${s0.of}" }));
}

#[test]
fn a_retryable_failure_is_tried_again_and_a_fatal_one_is_not() {
    let (world, status, _) = one_turn(Script::one(vec![step(&[], &[Reply::Retryable])]));
    assert_eq!((status, world.state().closed[0].versions[0].steps[0].attempt), (TurnStatus::Answered, 2));
    let (world, status, code) = one_turn(Script::one(vec![step(&[], &[Reply::Fatal])]));
    assert_eq!((status, code.as_deref()), (TurnStatus::Failed, Some("step_failed")));
    assert_eq!(world.state().closed[0].versions[0].steps[0].attempt, 1);
}

#[test]
fn attempts_run_out() {
    let (world, status, _) = one_turn(Script::one(vec![step(&[], &[Reply::Retryable, Reply::Retryable])]));
    assert_eq!((status, world.state().closed[0].versions[0].steps[0].attempt), (TurnStatus::Failed, 2));
}

#[test]
fn skip_leaves_out_what_depends_on_the_failed_step_and_goes_on() {
    let mut failing = step(&[], &[Reply::Fatal]);
    failing.on_failure = OnFailure::Skip;
    let (world, status, _) =
        one_turn(Script::one(vec![failing, step(&[0], &[]), step(&[1], &[]), step(&[], &[])]));
    assert_eq!(status, TurnStatus::Answered);
    let steps: Vec<_> =
        world.state().closed[0].versions[0].steps.iter().map(|s| crate::world::ended(&s.state)).collect();
    assert_eq!(steps[0], json!({ "failed": "unavailable" }));
    assert_eq!((&steps[1], &steps[2]), (&json!("skipped"), &json!("skipped")));
    assert!(steps[3].get("done").is_some());
}

#[test]
fn replan_asks_the_planner_again_with_what_is_known() {
    let mut failing = step(&[], &[Reply::Fatal]);
    failing.on_failure = OnFailure::Replan;
    let mut script = Script::one(vec![failing]);
    if let Act::Ask(turn) = &mut script.acts[0].1 {
        turn.rounds.push(PlanScript { steps: vec![step(&[], &[])], then: Then::Answer, backwards: false });
    }
    let (world, status, _) = one_turn(script);
    assert_eq!((status, world.state().closed[0].versions.len()), (TurnStatus::Answered, 2));
}

#[test]
fn continue_stops_at_the_turns_round_limit() {
    let mut script = Script::one(vec![]);
    if let Act::Ask(turn) = &mut script.acts[0].1 {
        let again = PlanScript { steps: vec![step(&[], &[])], then: Then::Continue, backwards: false };
        turn.rounds = vec![again; 6];
    }
    let (world, status, _) = one_turn(script);
    assert_eq!((status, world.state().closed[0].versions.len()), (TurnStatus::Answered, 4));
}

#[test]
fn a_silent_worker_ends_at_the_steps_deadline_as_no_worker() {
    let (world, status, _) = one_turn(Script::one(vec![step(&[], &[Reply::Silent])]));
    assert_eq!(status, TurnStatus::Failed);
    let failed = crate::world::ended(&world.state().closed[0].versions[0].steps[0].state);
    assert_eq!(failed, json!({ "failed": "no_worker" }));
}

#[test]
fn an_answer_beyond_its_bound_fails_the_turn_once() {
    let mut script = Script::one(vec![]);
    if let Act::Ask(turn) = &mut script.acts[0].1 {
        turn.answering = Answering::TooLarge;
    }
    let (world, status, code) = one_turn(script);
    assert_eq!((status, code.as_deref()), (TurnStatus::Failed, Some("answer_too_large")));
    assert_eq!((world.audit().failed, world.audit().answered), (1, 0));
}

#[test]
fn a_reset_cancels_what_is_open_and_hides_what_was() {
    let mut script = Script::one(vec![step(&[], &[])]);
    let again = script.acts[0].1.clone();
    script.acts.push((1_000, again.clone()));
    script.acts.push((50, Act::Reset));
    script.acts.push((10, again));
    let world = World::ran(script, &[0]);
    let statuses: Vec<_> = world.state().closed.iter().map(|turn| turn.status).collect();
    assert_eq!(statuses, [TurnStatus::Answered, TurnStatus::Cancelled, TurnStatus::Answered]);
    let context = callboard_domain::effect::history(world.state());
    assert_eq!(context.iter().map(|e| &*e.message).collect::<Vec<_>>(), ["question 2"]);
}

#[test]
fn a_message_sent_while_a_turn_runs_is_answered_after_it() {
    let mut script = Script::one(vec![step(&[], &[])]);
    let again = script.acts[0].1.clone();
    script.acts.push((10, again));
    let mut world = World::new(script, &[0]);
    while world.state().open.len() < 2 {
        assert!(world.instant());
    }
    assert_eq!(world.state().open[1].phase, Phase::Queued);
    world.run();
    assert_eq!(world.state().closed.iter().map(|turn| turn.number).collect::<Vec<_>>(), [1, 2]);
}

/// The laws are worth as much as the worlds that they are tried on: these must know every way to end.
#[test]
fn generated_worlds_know_every_ending() {
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..600 {
        let script = script(Mood::Wild).new_tree(&mut runner).unwrap().current();
        let world = World::ran(script, &[0, 900]);
        let mut state = callboard_domain::State::new(crate::world::conversation());
        for record in &world.log {
            let late = state.closed.iter().any(|turn| Some(&turn.command) == record.command.as_ref());
            match callboard_domain::apply(&mut state, record) {
                callboard_domain::Applied::Changed => {
                    let callboard_domain::wire::Readable::Event(event) = &record.body else { continue };
                    *seen.entry(event.name().to_owned()).or_default() += 1;
                    if late {
                        *seen.entry(format!("late {}", event.name())).or_default() += 1;
                    }
                }
                callboard_domain::Applied::Ignored(why) => {
                    *seen.entry(why.as_str().to_owned()).or_default() += 1
                }
            }
        }
        for turn in &state.closed {
            *seen.entry(format!("{} plans", turn.versions.len())).or_default() += 1;
            let code = turn.error.as_ref().map_or("no error", |error| &*error.code);
            *seen.entry(format!("{:?}, {code}", turn.status)).or_default() += 1;
        }
    }
    for ending in [
        "UserQueryReceived",
        "PlanGenerated",
        "ToolInvocationResulted",
        "ToolInvocationInDoubt",
        "InvocationSettled",
        "RetryAdvanced",
        "ApprovalRequested",
        "ApprovalRecorded",
        "late ToolInvocationResulted",
        "late ToolInvocationInDoubt",
        "late InvocationSettled",
        "DeadlineExpired",
        "PlanFailed",
        "PlanCancelled",
        "FinalAnswerSynthesized",
        "UserHistoryReset",
        "CommandRefused",
        "duplicate_command",
        "turn_not_running",
        "other_version",
        "step_ended",
        "other_attempt",
        "not_awaited",
        "1 plans",
        "2 plans",
        "3 plans",
        "Answered, no error",
        "Cancelled, no error",
        "Failed, step_failed",
        "Failed, planning_timeout",
        "Failed, synthesis_timeout",
        "Failed, turn_timeout",
        "Failed, answer_too_large",
        "Failed, token_budget",
    ] {
        assert!(seen.get(ending).is_some_and(|times| *times >= 3), "{ending} is too rare: {seen:#?}");
    }
}
