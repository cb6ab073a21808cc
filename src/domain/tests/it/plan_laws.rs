//! Laws of plans: what `validate` lets in ends, what it refuses it names by code.

use callboard_domain::conversation::{Applied, Phase, StepState};
use callboard_domain::event::{Event, Outcome, PlanGenerated, ToolError, ToolInvocationResulted};
use callboard_domain::limits::{MAX_ARGUMENTS_BYTES, MAX_STEPS, MAX_VERSIONS};
use callboard_domain::plan::{
    OnFailure, PlanProblem, PlanReason, Proposal, ProposedStep, Then, structure_problem, validate,
};
use callboard_domain::{RawJson, State, apply};
use proptest::prelude::*;

use crate::world::tools::{Tools, author};
use crate::world::{START_MS, conversation, received, recorded, turn_id};

pub fn step(id: &str, depends_on: &[&str]) -> ProposedStep {
    ProposedStep {
        id: id.into(),
        tool: "echo".into(),
        arguments: RawJson::parse(r#"{"text":"hi"}"#).unwrap(),
        depends_on: depends_on.iter().map(|id| (*id).to_owned()).collect(),
        on_failure: None,
    }
}

fn proposal(steps: Vec<ProposedStep>) -> Proposal {
    Proposal { steps, ..Proposal::default() }
}

pub fn check(steps: Vec<ProposedStep>) -> Result<PlanGenerated, Vec<PlanProblem>> {
    validate(&proposal(steps), &Tools::default(), author(), 1, PlanReason::First)
}

/// Codes and sentences of a refusal.
fn refused(steps: Vec<ProposedStep>) -> Vec<(&'static str, String)> {
    check(steps).unwrap_err().into_iter().map(|problem| (problem.code, problem.message)).collect()
}

#[test]
fn a_cycle_is_refused() {
    for steps in [
        vec![step("a", &["a"])],
        vec![step("a", &["b"]), step("b", &["a"])],
        vec![step("x", &[]), step("a", &["c", "x"]), step("b", &["a"]), step("c", &["b"])],
    ] {
        let [(code, words)] = &refused(steps)[..] else { panic!("one problem") };
        assert_eq!(*code, "structure");
        assert!(words.ends_with("waits for itself through its dependencies"), "{words}");
    }
    let mut own = step("a", &[]);
    own.arguments = RawJson::parse(r#"{"text":"${a}"}"#).unwrap();
    assert_eq!(refused(vec![own])[0].0, "structure", "a reference is a dependency");
}

#[test]
fn an_unknown_dependency_and_a_repeated_id_are_refused() {
    assert_eq!(
        refused(vec![step("a", &["nope"])]),
        [("structure", r#"step "a" depends on "nope", which is no step"#.to_owned())]
    );
    assert_eq!(
        refused(vec![step("a", &[]), step("a", &[])]),
        [("structure", r#"step id "a" is used twice"#.to_owned())]
    );
}

#[test]
fn a_tool_or_argument_that_does_not_exist_is_refused_by_name() {
    let (mut unknown, mut wrong) = (step("a", &[]), step("b", &[]));
    unknown.tool = "teleport".into();
    wrong.tool = "strict".into();
    wrong.arguments = RawJson::parse("{}").unwrap();
    assert_eq!(
        refused(vec![unknown, wrong]),
        [
            ("unknown_tool", r#"step "a": there is no tool "teleport"; there are: echo, strict"#.to_owned()),
            (
                "arguments",
                r#"step "b": the arguments of tool "strict" are wrong: "text" is required"#.to_owned()
            ),
        ],
        "all of them at once"
    );
}

#[test]
fn a_bad_step_id_is_refused() {
    for bad in ["", "a.b", "a b", &"x".repeat(65)] {
        assert_eq!(refused(vec![step(bad, &[])])[0].0, "step_id", "{bad:?}");
        assert_eq!(refused(vec![step("a", &[bad])])[0].0, "step_id", "as a dependency {bad:?}");
    }
}

#[test]
fn too_many_steps_and_too_long_arguments_are_refused() {
    let many = |n: usize| (0..n).map(|i| step(&format!("s{i}"), &[])).collect::<Vec<_>>();
    assert!(check(many(MAX_STEPS)).is_ok());
    assert_eq!(refused(many(MAX_STEPS + 1))[0].0, "too_many_steps");
    let mut long = step("a", &[]);
    long.arguments = RawJson::of(&"x".repeat(MAX_ARGUMENTS_BYTES)).unwrap();
    assert_eq!(refused(vec![long])[0].0, "structure");
}

#[test]
fn references_become_dependencies_once_and_guidance_is_cut_short() {
    let mut second = step("b", &["a", "a"]);
    second.arguments = RawJson::parse(r#"{"text":"${a.x} ${c}"}"#).unwrap();
    let plan = check(vec![step("a", &[]), second, step("c", &[])]).unwrap();
    assert_eq!(plan.steps[1].depends_on.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    let wordy = Proposal { guidance: Some("é".repeat(4_000).into()), ..Proposal::default() };
    let plan = validate(&wordy, &Tools::default(), author(), 1, PlanReason::First).unwrap();
    assert_eq!(plan.guidance.unwrap().len(), 4_096);
    let silent = Proposal { guidance: Some("".into()), ..Proposal::default() };
    assert_eq!(validate(&silent, &Tools::default(), author(), 1, PlanReason::First).unwrap().guidance, None);
}

#[test]
fn the_fold_refuses_what_breaks_the_structure_whoever_wrote_it() {
    let good = check(vec![step("a", &[])]).unwrap();
    let mut twice = good.clone();
    twice.steps.push(good.steps[0].clone());
    let mut late = good.clone();
    late.version = 2;
    for (plan, reason) in [(twice, "InvalidPlan"), (late, "OtherVersion")] {
        let mut state = planned(None);
        let record = recorded(1, START_MS, Some(&turn_id(0)), Event::PlanGenerated(plan));
        assert_eq!(format!("{:?}", apply(&mut state, &record)), format!("Ignored({reason})"));
        assert!(matches!(state.open[0].phase, Phase::Planning(_)));
    }
}

#[test]
fn edits_stop_at_the_bound_of_versions() {
    let mut plan = check(vec![step("a", &[])]).unwrap();
    let mut state = planned(Some(plan.clone()));
    plan.reason = PlanReason::Edit;
    for version in 2..=MAX_VERSIONS + 3 {
        plan.version = version;
        let record =
            recorded(state.next_offset, START_MS, Some(&turn_id(0)), Event::PlanGenerated(plan.clone()));
        let changed = apply(&mut state, &record) == Applied::Changed;
        assert_eq!(changed, version <= MAX_VERSIONS);
    }
    assert_eq!(state.open[0].versions.len(), MAX_VERSIONS as usize);
}

/// A state with question 0 and perhaps its plan.
pub fn planned(plan: Option<PlanGenerated>) -> State {
    let mut state = State::new(conversation());
    let events = [Some(received(&Tools::default())), plan.map(Event::PlanGenerated)];
    for (offset, event) in (0..).zip(events.into_iter().flatten()) {
        assert_eq!(
            apply(&mut state, &recorded(offset, START_MS, Some(&turn_id(0)), event)),
            Applied::Changed
        );
    }
    state
}

/// Proposals as a bad model writes them: most of them broken somewhere.
fn any_proposal() -> impl Strategy<Value = Proposal> {
    let one = (0_u8..8, prop::collection::vec(0_u8..8, 0..3), any::<bool>(), 0_u8..12);
    prop::collection::vec(one, 0..8).prop_map(|steps| {
        let on_failure = [None, Some(OnFailure::Fail), Some(OnFailure::Skip), Some(OnFailure::Replan)];
        let of = |(id, deps, referring, dice): (u8, Vec<u8>, bool, u8)| {
            let names: Vec<String> = deps.iter().map(|d| format!("s{d}")).collect();
            let text = names.iter().map(|n| format!("${{{n}.v}} ")).collect::<String>();
            ProposedStep {
                id: format!("s{id}"),
                tool: if dice == 0 { "teleport".into() } else { "echo".into() },
                arguments: RawJson::of(&serde_json::json!({ "text": if referring { &text } else { "" } }))
                    .unwrap(),
                depends_on: if referring { Vec::new() } else { names },
                on_failure: on_failure[usize::from(dice % 4)],
            }
        };
        Proposal { steps: steps.into_iter().map(of).collect(), then: Then::Answer, guidance: None }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is let in has no structural problem and ends, whatever its steps come to; some results lack the
    /// field that others refer to.
    #[test]
    fn what_is_let_in_ends(proposal in any_proposal(), outcomes in prop::collection::vec(0_u8..4, 8)) {
        let validated = validate(&proposal, &Tools::default(), author(), 1, PlanReason::First);
        let Ok(plan) = validated else { return Ok(()) };
        prop_assert_eq!(structure_problem(&plan.steps), None);
        let mut state = planned(Some(plan.clone()));
        for _ in 0..100 {
            let turn = &state.open[0];
            let steps = turn.versions[0].steps.iter();
            let found = steps.zip(&outcomes).find(|(step, _)| step.state == StepState::Ready);
            let Some((step, outcome)) = found else { break };
            let outcome = match outcome {
                0 => Outcome::Error(ToolError::new("unavailable", "down", true)),
                1 => Outcome::Ok(RawJson::null()),
                _ => Outcome::Ok(RawJson::parse(r#"{"v":1}"#).unwrap()),
            };
            let event = resulted(step, outcome);
            let record = recorded(state.next_offset, START_MS, Some(&turn_id(0)), event);
            prop_assert_eq!(apply(&mut state, &record), Applied::Changed);
        }
        let turn = &state.open[0];
        prop_assert!(turn.phase != Phase::Acting, "{:?}", turn);
        let ended = turn.versions[0].steps.iter().all(|step| step.state.has_ended());
        prop_assert!(ended || matches!(turn.phase, Phase::Failing(_)), "{:?}", turn);
    }
}

pub fn resulted(step: &callboard_domain::conversation::Step, outcome: Outcome) -> Event {
    Event::ToolInvocationResulted(ToolInvocationResulted {
        version: 1,
        step: step.plan.id.clone(),
        attempt: step.attempt,
        outcome,
        worker: "w1".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        finished_at: "2026-01-01T00:00:00.000Z".into(),
    })
}
