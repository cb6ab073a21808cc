//! Steps that a person has to let in: asked once, waited for as long as it takes, let in or turned away once. Nothing runs
//! before, the others run on, and no clock runs meanwhile.

use callboard_domain::command::{ApprovalDecision, Command, PlanCancelRequest};
use callboard_domain::conversation::{Ignored, Phase};
use callboard_domain::due::{due, is_at_rest};
use callboard_domain::effect::{Effect, invocation};
use callboard_domain::event::{Approval, ApprovalTimeout, Event};
use callboard_domain::limits::{MAX_APPROVAL_TIMEOUT_MS, MAX_ARGUMENTS_BYTES};
use callboard_domain::plan::EffectClass::{self, Pure, Unsafe};
use callboard_domain::plan::OnFailure;
use callboard_domain::view::{StepStatus, plans};
use callboard_domain::{RawJson, audit};
use serde_json::json;

use crate::plan_laws::planned;
use crate::story::step;
use crate::world::hand::{Hand, cancelled, effect, expired, failed, id, ok, plan, refused};
use crate::world::script::{Act, Script, Word};
use crate::world::{APPROVAL_MS, START_MS, World, conversation, query, turn_id};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// What a step's attempts may take together in these stories, and a turn.
const STEP_MS: i64 = 8_000;
const TURN_MS: i64 = 600_000;

/// A plan of which the first `waiting` steps need approval within a day.
fn plan_with(waiting: usize, steps: &[(&str, EffectClass)]) -> Event {
    let Event::PlanGenerated(mut plan) = plan(1, steps) else { unreachable!("a plan") };
    for step in plan.steps.iter_mut().take(waiting) {
        step.policy.needs_approval = true;
        plan.approvals.push(ApprovalTimeout { step: step.id.clone(), timeout_ms: DAY as u64 });
    }
    Event::PlanGenerated(plan)
}

/// A turn that has asked for the approval of its first `waiting` steps.
fn asking(waiting: usize, steps: &[(&str, EffectClass)]) -> Hand {
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.hears([plan_with(waiting, steps)]).follow_due();
    hand
}

fn given(step: &str, decision: Approval) -> Command {
    let (by, reason) = ("anna".into(), Some("seen".into()));
    Command::ApprovalGiven(ApprovalDecision { effect_id: effect(0, step), decision, by, reason })
}

fn with(arguments: &str) -> Approval {
    Approval::ApprovedWith(RawJson::parse(arguments).unwrap())
}

/// The code of a refusal.
fn refusal(event: Option<Event>) -> String {
    let Some(Event::CommandRefused(refused)) = event else { panic!("{event:?}") };
    assert_eq!(&*refused.command_type, "ApprovalGiven");
    refused.code.to_string()
}

#[test]
fn it_is_asked_once_and_runs_when_somebody_has_said_yes() {
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.hears([plan_with(1, &[("a", Unsafe), ("b", Pure)])]);
    assert_eq!(hand.due(), ["ApprovalRequested", "Invoke b #1"]);
    hand.follow_due();
    assert_eq!(hand.due(), ["Invoke b #1"], "the others run on");
    assert_eq!(hand.stands("a"), "awaiting approval #0");
    let Some(Event::ApprovalRecorded(event)) = hand.command("y", given("a", Approval::Approved)) else {
        panic!("it is awaited")
    };
    assert_eq!((&*event.by, event.reason.as_deref()), ("anna", Some("seen")));
    assert_eq!(hand.due(), ["Invoke a #1", "Invoke b #1"]);
    assert_eq!(hand.step("a").approved_by.as_deref(), Some("anna"));
    assert_eq!(hand.command("y", given("a", Approval::Approved)), None, "the command is known");
    assert_eq!(refusal(hand.command("n", given("a", Approval::Rejected))), "not_awaiting_approval");
}

#[test]
fn days_pass_and_no_clock_has_run() {
    let mut hand = asking(1, &[("a", Unsafe), ("b", Pure)]);
    hand.wait(1_000).hears([ok("b", 1, "1")]);
    hand.wait(20 * HOUR);
    assert_eq!(hand.due(), Vec::<String>::new());
    assert_eq!(hand.wakes_in(), Some(4 * HOUR - 1_000), "only the approval's own end");
    assert!(!is_at_rest(&hand.state, hand.now), "it comes back by itself");
    hand.command("y", given("a", Approval::Approved));
    assert_eq!(hand.due(), ["Invoke a #1"]);
    hand.wait(STEP_MS - 1);
    assert_eq!(hand.due(), ["Invoke a #1"], "its deadline counts from the approval");
    let mut late = hand.clone();
    late.wait(1);
    assert_eq!(late.due(), ["ToolInvocationInDoubt a #1"]);
    hand.hears([ok("a", 1, "1")]);
    assert_eq!(hand.due(), ["Synthesize"]);
    let left = hand.state.open[0].deadline_ms(hand.now) - hand.now;
    assert_eq!(left, TURN_MS - (STEP_MS - 1), "of the turn's time nothing was lost by waiting");
}

#[test]
fn the_turns_clock_stands_still_as_long_as_any_step_waits() {
    let mut hand = asking(2, &[("a", Pure), ("b", Pure)]);
    hand.wait(3 * HOUR).command("y", given("a", Approval::Approved));
    hand.wait(1_000).hears([ok("a", 1, "1")]);
    hand.wait(2 * HOUR);
    assert_eq!(hand.due(), Vec::<String>::new());
    hand.command("z", given("b", Approval::Approved));
    assert_eq!(hand.state.open[0].waited_ms as i64, 5 * HOUR + 1_000);
    assert_eq!((hand.state.open[0].waiting_since_ms, hand.due()), (None, vec!["Invoke b #1".to_owned()]));
    hand.hears([ok("b", 1, "1")]).wait(5_000);
    assert_eq!(hand.due(), ["PlanFailed synthesis_timeout"], "and then every clock runs");
}

#[test]
fn what_runs_beside_it_keeps_its_own_deadline() {
    let mut hand = asking(1, &[("a", Pure), ("b", Pure)]);
    let Some(Effect::Invoke { until_ms, .. }) = due(&hand.state, hand.now).effects.pop() else {
        panic!("b is invoked")
    };
    assert_eq!(until_ms, hand.now + STEP_MS);
    hand.wait(STEP_MS);
    assert_eq!(hand.due(), ["DeadlineExpired b #1"]);
    hand.follow_due();
    assert_eq!((hand.stands("b"), hand.due().len()), ("failed no_worker #1".into(), 0), "a goes on waiting");
}

#[test]
fn nobody_answers() {
    let mut hand = asking(1, &[("a", Unsafe), ("b", Pure)]);
    hand.hears([ok("b", 1, "1")]).wait(DAY - 1);
    assert_eq!(hand.due(), Vec::<String>::new());
    hand.wait(1);
    assert_eq!(hand.due(), ["DeadlineExpired a #0"]);
    assert_eq!(refusal(hand.command("y", given("a", Approval::Approved))), "not_awaiting_approval");
    hand.follow_due();
    assert_eq!(hand.stands("a"), "failed approval_timeout #0", "nothing was run, so nothing is in doubt");
    assert_eq!(hand.due(), ["Synthesize"], "its policy says skip");
}

#[test]
fn first_in_the_log_wins_between_a_word_and_the_end_of_the_waiting() {
    let mut hand = asking(1, &[("a", Unsafe)]);
    let mut other = hand.clone();
    hand.wait(DAY);
    let end = expired("a", 0);
    let Some(word @ Event::ApprovalRecorded(_)) = other.command("y", given("a", Approval::Approved)) else {
        panic!("it is awaited")
    };
    hand.hears([word.clone()]).ignores(end.clone(), Ignored::OtherAttempt);
    assert_eq!(hand.due(), ["Invoke a #1"], "an end that came too late is no end of the attempt");
    let mut hand = asking(1, &[("a", Unsafe)]);
    hand.hears([end]).ignores(word, Ignored::StepEnded);
    assert_eq!(hand.stands("a"), "failed approval_timeout #0");
}

#[test]
fn what_runs_is_what_was_approved() {
    let mut hand = asking(1, &[("a", Unsafe)]);
    hand.command("y", given("a", with(r#"{"text":"less"}"#)));
    let called = invocation(&hand.state, &turn_id(0), 1, &id("a")).unwrap();
    assert_eq!((called.arguments.as_str(), called.effect_id), (r#"{"text":"less"}"#, effect(0, "a")));
    hand.hears([crate::world::hand::unavailable("a", 1)]).wait(5_000);
    assert_eq!(hand.due(), ["Invoke a #2"], "the next attempt is not asked for again");
    let again = invocation(&hand.state, &turn_id(0), 1, &id("a")).unwrap();
    assert_eq!(again.arguments, called.arguments);
}

#[test]
fn changed_arguments_are_held_to_the_schema() {
    let Event::PlanGenerated(mut plan) = plan_with(1, &[("a", Unsafe)]) else { unreachable!("a plan") };
    plan.steps[0].tool = "strict".into();
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.hears([Event::PlanGenerated(plan)]).follow_due();
    let Some(Event::CommandRefused(no)) = hand.command("1", given("a", with("{}"))) else {
        panic!("no text")
    };
    assert_eq!(
        (&*no.code, &*no.message),
        ("invalid_arguments", r#"the arguments of tool "strict" are wrong: "text" is required"#)
    );
    let reference = given("a", with(r#"{"text":"${b.of}"}"#));
    assert_eq!(refusal(hand.command("2", reference)), "invalid_arguments", "a reference is none any more");
    assert_eq!(hand.stands("a"), "awaiting approval #0");
    assert!(matches!(
        hand.command("3", given("a", with(r#"{"text":"x"}"#))),
        Some(Event::ApprovalRecorded(_))
    ));
}

#[test]
fn a_no_is_a_failure_by_the_steps_policy() {
    for (policy, then) in [
        (OnFailure::Skip, "Synthesize"),
        (OnFailure::Fail, "PlanFailed step_failed"),
        (OnFailure::Replan, "AskPlanner"),
    ] {
        let Event::PlanGenerated(mut plan) = plan_with(1, &[("a", Unsafe)]) else { unreachable!("a plan") };
        plan.steps[0].policy.on_failure = policy;
        let mut hand = Hand { state: planned(None), now: START_MS };
        hand.hears([Event::PlanGenerated(plan)]).follow_due();
        hand.command("n", given("a", Approval::Rejected));
        assert_eq!(hand.stands("a"), "failed rejected #0");
        assert_eq!(hand.due(), [then], "{policy:?}");
    }
}

#[test]
fn a_turn_that_ends_waits_for_nobody() {
    let mut hand = asking(1, &[("a", Unsafe), ("b", Unsafe)]);
    let cancel = PlanCancelRequest { turn_command_id: turn_id(0), by: None, reason: None };
    hand.command("c", Command::PlanCancelRequested(cancel));
    assert_eq!(hand.due(), ["CancelInvocation b #1"], "what was never asked for needs no calling off");
    assert_eq!(refusal(hand.command("y", given("a", Approval::Approved))), "not_awaiting_approval");
    let shown = plans(&hand.state, 1, hand.now).remove(0);
    assert_eq!((shown.steps[0].status, shown.steps[0].attempts), (StepStatus::Cancelled, 0));

    // The turn is about to fail, because of another step.
    let Event::PlanGenerated(mut plan) = plan_with(1, &[("a", Unsafe), ("b", Pure)]) else {
        unreachable!("a plan")
    };
    plan.steps[1].policy.on_failure = OnFailure::Fail;
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.hears([Event::PlanGenerated(plan)]).follow_due();
    let yes = hand.clone().command("y", given("a", Approval::Approved)).unwrap();
    hand.hears([refused("b", 1)]);
    assert!(matches!(hand.state.open[0].phase, Phase::Failing(_)));
    assert_eq!(refusal(hand.command("z", given("a", Approval::Approved))), "not_awaiting_approval");
    hand.ignores(yes, Ignored::NotAwaited);
    hand.hears([failed()]);
    assert_eq!(hand.state.loose, 0, "nothing was begun");
}

#[test]
fn a_message_that_waits_behind_it_starts_its_own_clock_later() {
    let mut hand = asking(1, &[("a", Pure)]);
    hand.command(turn_id(1).as_str(), Command::UserQueryReceived(query("another")));
    hand.wait(20 * HOUR);
    assert_eq!(hand.due(), Vec::<String>::new());
    hand.hears([cancelled()]);
    assert_eq!(hand.due(), ["AskPlanner"]);
    assert_eq!(hand.wakes_in(), Some(5_000));
}

#[test]
fn people_see_what_is_awaited_and_who_said_yes() {
    let mut hand = asking(1, &[("a", Pure), ("b", Pure)]);
    let shown = |hand: &Hand| plans(&hand.state, 1, hand.now).remove(0).steps.remove(0);
    let waiting = shown(&hand);
    assert_eq!((waiting.status, waiting.attempts), (StepStatus::AwaitingApproval, 0));
    assert!(waiting.approval_until.is_some() && waiting.approved_by.is_none());
    hand.command("y", given("a", Approval::Approved));
    let running = shown(&hand);
    assert_eq!((running.status, running.attempts), (StepStatus::Running, 1));
    assert_eq!((running.approval_until, running.approved_by.as_deref()), (None, Some("anna")));
    assert_eq!(hand.state.approvals().count(), 0);
}

#[test]
fn refusals_name_what_was_wrong() {
    let mut hand = asking(1, &[("a", Pure), ("b", Pure)]);
    assert_eq!(refusal(hand.command("1", given("b", Approval::Approved))), "not_awaiting_approval");
    assert_eq!(refusal(hand.command("2", given("c", Approval::Approved))), "unknown_effect");
    let decided = |by: &str, decision: Approval| ApprovalDecision {
        effect_id: effect(0, "a"),
        decision,
        by: by.into(),
        reason: None,
    };
    let big = format!(r#"{{"text":"{}"}}"#, "x".repeat(MAX_ARGUMENTS_BYTES));
    for (decision, field) in [
        (decided(" ", Approval::Approved), "by"),
        (decided("anna", with("[]")), "arguments"),
        (decided("anna", with(&big)), "arguments"),
    ] {
        assert_eq!(decision.problem().unwrap().field, field);
    }
    assert_eq!(decided("anna", Approval::Rejected).problem(), None);
}

#[test]
fn a_foreign_record_cannot_make_it_wait_for_ever() {
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.hears([plan_with(1, &[("a", Pure)])]);
    hand.hears([Event::ApprovalRequested(callboard_domain::event::ApprovalRequested {
        version: 1,
        step: id("a"),
        timeout_ms: u64::MAX,
    })]);
    assert_eq!(hand.wakes_in(), Some(MAX_APPROVAL_TIMEOUT_MS as i64));
}

#[test]
fn the_audit_hears_what_ran_without_a_word() {
    let word = |word| {
        let mut waiting = step(&[], &[]);
        waiting.approval = Some(word);
        Script::one(vec![waiting])
    };
    let world = World::ran(word(Word::Approve(50)), &[0]);
    assert_eq!(world.audit().violations, []);
    let without: Vec<_> = world
        .log
        .iter()
        .filter(|record| {
            !matches!(&record.body, callboard_domain::wire::Readable::Event(Event::ApprovalRecorded(_)))
        })
        .cloned()
        .collect();
    let found = audit::conversation(&conversation(), &without, false).violations;
    assert_eq!(
        found.iter().map(|violation| violation.invariant).collect::<Vec<_>>(),
        ["approved_before_run"]
    );
    let world = World::ran(word(Word::Never), &[0]);
    assert_eq!(world.audit().violations, []);
    let turn = &world.state().closed[0];
    assert_eq!(turn.closed_ms - turn.received_ms, 30 + APPROVAL_MS as i64, "planned, then waited for");
    assert_eq!(
        crate::world::ended(&turn.versions[0].steps[0].state),
        json!({ "failed": "approval_timeout" })
    );
}

#[test]
fn a_command_may_give_it_too() {
    let mut waiting = step(&[], &[]);
    waiting.approval = Some(Word::Never);
    let mut script = Script::one(vec![waiting]);
    script.acts.push((5_000, Act::Decide { turn: 0, step: 0, word: Word::Change(0) }));
    let world = World::ran(script, &[0]);
    let step = &world.state().closed[0].versions[0].steps[0];
    assert_eq!(step.arguments().to_value(), json!({ "text": "as a person wants it" }));
    assert!(world.state().closed[0].answer.is_some());
}
