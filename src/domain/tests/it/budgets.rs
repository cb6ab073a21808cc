//! A conversation's token budget: counted in the fold, refused before the call.

use callboard_domain::command::{Asked, Command};
use callboard_domain::conversation::State;
use callboard_domain::decide::{Decision, decide};
use callboard_domain::due::due;
use callboard_domain::effect::{Effect, planless};
use callboard_domain::event::{Author, Event, ModelCalls, PlanGenerated};
use callboard_domain::plan::EffectClass::Pure;
use callboard_domain::plan::{PlanReason, Then};
use callboard_domain::{apply, view};

use crate::plan_laws::planned;
use crate::story::step;
use crate::world::hand::{Hand, ok, plan, refused};
use crate::world::script::Script;
use crate::world::tools::Tools;
use crate::world::{START_MS, World, bytes, conversation, query, recorded, turn_id};

/// A conversation with a first question, on a budget.
fn asked(budget: Option<u64>) -> Hand {
    let mut hand = Hand { state: State::new(conversation()), now: START_MS };
    ask(&mut hand, 0, budget);
    hand
}

fn ask(hand: &mut Hand, turn: usize, token_budget: Option<u64>) {
    let tools = Tools { token_budget, ..Tools::default() };
    let question =
        Asked { id: turn_id(turn), command: Command::UserQueryReceived(query(&format!("question {turn}"))) };
    let Decision::Append { command, event } = decide(&hand.state, &question, &tools, hand.now) else {
        panic!("a new question")
    };
    let record = recorded(hand.state.next_offset, hand.now, Some(&command), event);
    apply(&mut hand.state, &record);
}

fn costing(event: Event, change: impl FnOnce(&mut PlanGenerated)) -> Event {
    let Event::PlanGenerated(mut plan) = event else { unreachable!("a plan") };
    change(&mut plan);
    Event::PlanGenerated(plan)
}

fn calls(input_tokens: u64, output_tokens: u64) -> Option<Box<ModelCalls>> {
    Some(Box::new(ModelCalls { calls: 1, input_tokens, output_tokens, ..ModelCalls::default() }))
}

#[test]
fn all_calls_count_and_where_they_are_not_listed_the_author_does() {
    let mut hand = asked(Some(1_000));
    let author = |input_tokens| Author {
        provider: "ollama".into(),
        model: Some("llama3".into()),
        input_tokens,
        output_tokens: Some(5),
    };
    hand.hears([costing(plan(1, &[("a", Pure)]), |plan| {
        plan.planner = author(Some(100));
        plan.then = Then::Continue;
    })]);
    assert_eq!(hand.state.tokens_used, 105);
    hand.hears([ok("a", 1, "1")]);
    let second = costing(plan(2, &[]), |plan| {
        plan.planner = author(Some(100));
        plan.reason = PlanReason::Continue;
        // Two calls: a repair, and what it repaired.
        plan.models = calls(300, 20);
    });
    hand.hears([second.clone()]);
    assert_eq!((hand.state.tokens_used, hand.state.tokens_left()), (425, Some(575)));
    hand.ignores(second, callboard_domain::conversation::Ignored::OtherVersion);
    assert_eq!(hand.state.tokens_used, 425, "what is ignored costs nothing twice");
    let shown = view::view(&hand.state);
    assert_eq!((shown.tokens_used, shown.token_budget), (425, Some(1_000)));
}

#[test]
fn a_spent_budget_refuses_before_the_call() {
    let mut hand = asked(Some(100));
    hand.hears([costing(plan(1, &[("a", Pure)]), |plan| {
        plan.then = Then::Continue;
        plan.models = calls(90, 10);
    })]);
    assert_eq!(hand.due(), ["Invoke a #1"], "tools cost no tokens");
    hand.hears([ok("a", 1, "1")]);
    assert_eq!(hand.due(), ["PlanFailed token_budget"]);
    let restored: State = postcard::from_bytes(&bytes(&hand.state)).unwrap();
    assert_eq!(due(&restored, hand.now), due(&hand.state, hand.now), "a crash refills nothing");
    hand.follow_due();
    let error = hand.state.closed[0].error.clone().unwrap();
    assert_eq!(&*error.message, "this conversation has used 100 tokens; its budget is 100");
    ask(&mut hand, 1, Some(100));
    assert_eq!(hand.due(), ["PlanFailed token_budget"], "the next question finds it spent");
    ask(&mut hand, 2, Some(500));
    assert_eq!(hand.due(), ["AskPlanner"], "whoever raises it lets the conversation go on");
}

#[test]
fn what_has_been_planned_is_answered_whatever_is_left() {
    let mut hand = asked(Some(100));
    hand.hears([costing(plan(1, &[("a", Pure)]), |plan| plan.models = calls(90, 40)), ok("a", 1, "1")]);
    assert_eq!((hand.due(), hand.state.tokens_left()), (vec!["Synthesize".to_owned()], Some(0)));
}

#[test]
fn without_a_budget_it_is_only_counted() {
    let mut hand = asked(None);
    hand.hears([costing(plan(1, &[]), |plan| plan.models = calls(u64::MAX, 40))]);
    assert_eq!((hand.state.tokens_used, hand.state.tokens_left()), (u64::MAX, None));
}

#[test]
fn a_budget_holds_through_a_simulated_life() {
    let mut script = Script::one(vec![step(&[], &[])]);
    script.token_budget = Some(25);
    script.acts = [script.acts.clone(), script.acts.clone(), script.acts].concat();
    for act in &mut script.acts {
        act.0 = 5_000;
    }
    let world = World::ran(script, &[0]);
    let ends: Vec<_> =
        world.state().closed.iter().map(|turn| turn.error.as_ref().map(|e| &*e.code)).collect();
    assert_eq!(ends, [None, None, Some("token_budget")], "fifteen a turn");
    assert_eq!(world.state().tokens_used, 30, "one call may go beyond it: nobody knows what it will cost");
}

/// A turn that waits for its second plan, with a result.
fn goes_on() -> Hand {
    let mut hand = Hand { state: planned(None), now: START_MS };
    hand.hears([
        costing(plan(1, &[("a", Pure), ("b", Pure)]), |plan| plan.then = Then::Continue),
        ok("a", 1, "1"),
        refused("b", 1),
    ]);
    hand
}

#[test]
fn a_further_plan_that_does_not_come_in_time_is_done_without() {
    let mut hand = goes_on();
    assert_eq!(hand.due(), ["AskPlanner"]);
    let turn = hand.state.running().unwrap();
    hand.now = turn.phase_since_ms + i64::try_from(turn.limits.planning_timeout_ms).unwrap();
    let Some(Effect::Append { event, .. }) = due(&hand.state, hand.now).effects.pop() else {
        panic!("something is recorded")
    };
    hand.hears([event]);
    assert_eq!(hand.due(), ["Synthesize"]);
    let last = hand.state.open[0].plan().unwrap();
    assert_eq!((last.version, last.steps.len()), (2, 0));
    assert!(last.guidance.as_deref().unwrap().contains("planning_timeout"));
}

#[test]
fn where_no_planner_has_a_plan_finished_results_are_kept() {
    let first = planned(None);
    assert!(matches!(planless(first.running(), 1, "they are down"), Event::PlanFailed(body)
        if &*body.error.code == "no_plan" && body.missing_version == Some(1)));
    let mut hand = goes_on();
    let version = planless(hand.state.running(), 2, "its plan was refused twice");
    hand.hears([version]);
    assert_eq!(hand.due(), ["Synthesize"]);
    let last = hand.state.open[0].plan().unwrap();
    assert_eq!((last.version, last.reason, last.steps.len()), (2, PlanReason::Continue, 0));
    assert!(last.guidance.as_deref().unwrap().contains("its plan was refused twice"));
    let Some(Effect::Synthesize { version, .. }) = due(&hand.state, hand.now).effects.pop() else {
        panic!("answered next")
    };
    assert_eq!(version, 2);
}
