//! The judgement of one question: pure, from what was expected and what was [`Observed`].
//!
//! Each part is a share between 0 and 1, or is not judged; a question's score is the mean of its judged parts.
//! `docs/eval.md` says the same for users. Neighbours: [`super::expected`] compares arguments, [`super::facts`] looks for
//! facts, [`super::report`] sums up.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::expression::{Evaluate, Lens};
use super::observed::{Observed, SeenPlan, SeenStep};
use super::suite::{ExpectedStep, Question};

/// The planner that is no model.
const BUILTIN: &str = "builtin";

/// What only makes sense when it is seen from outside of a question.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Who should plan; whoever does where nobody is named.
    pub provider: Option<&'a str>,
    /// Whether the services are the stubs that some facts speak of.
    pub stubs: bool,
    pub evaluate: Evaluate<'a>,
}

/// How a plan came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// At the first try.
    Valid,
    /// At a later try of the same planner.
    Repaired,
    /// Refused until another planner took over, or none did.
    Refused,
    /// The planner that should plan could not be asked; another did.
    Unavailable,
    /// There is no plan.
    Missing,
}

/// A question's judgement.
#[derive(Debug, Clone, Serialize)]
pub struct Score {
    pub plan: Planned,
    /// 1 where every plan was valid, if only after a repair.
    pub validity: f64,
    pub tools: Option<f64>,
    pub arguments: Option<f64>,
    pub facts: Option<f64>,
    pub rounds: Option<f64>,
    pub repairs: u32,
    /// The mean of the judged parts.
    pub score: f64,
    /// What cost points, a sentence each.
    pub lost: Vec<String>,
}

/// Judges.
pub fn score(question: &Question, seen: &Observed, rules: Rules<'_>) -> Score {
    let mut lost = Vec::new();
    let plan = planned(seen, rules.provider);
    let validity = if matches!(plan, Planned::Valid | Planned::Repaired) { 1.0 } else { 0.0 };
    if validity < 1.0 {
        lost.push(why_invalid(plan, seen));
    }
    let (tools, arguments) = match &question.plans {
        None => (None, None),
        Some(plans) => {
            let judged = plans.iter().map(|plan| steps(plan, seen, rules.evaluate));
            // The alternative that fits best; of equal ones the first.
            let best = judged.reduce(|best, other| if other.sum() > best.sum() { other } else { best });
            let best = best.expect("a suite has no empty list of plans");
            lost.extend(best.lost);
            (Some(best.tools), best.arguments)
        }
    };
    let facts = facts(question, seen, rules, &mut lost);
    let rounds = question.rounds.map(|wanted| {
        let found = u32::try_from(seen.plans.len()).unwrap_or(u32::MAX);
        if found < wanted {
            lost.push(format!("{found} plan versions instead of {wanted}"));
        }
        (f64::from(found) / f64::from(wanted.max(1))).min(1.0)
    });
    if let Some(problem) = &seen.problem {
        lost.insert(0, problem.clone());
    }
    let parts: Vec<f64> = [Some(validity), tools, arguments, facts, rounds].into_iter().flatten().collect();
    let repairs = seen.plans.iter().map(repairs).sum();
    Score { plan, validity, tools, arguments, facts, rounds, repairs, score: mean(&parts), lost }
}

/// The mean; 0 of nothing.
#[allow(clippy::cast_precision_loss, reason = "counts of questions")]
pub fn mean(parts: &[f64]) -> f64 {
    if parts.is_empty() { 0.0 } else { parts.iter().sum::<f64>() / parts.len() as f64 }
}

fn planned(seen: &Observed, provider: Option<&str>) -> Planned {
    let worst = |a: Planned, b: Planned| if (b as u8) > (a as u8) { b } else { a };
    seen.plans.iter().map(|plan| came_to_be(plan, provider)).reduce(worst).unwrap_or(Planned::Missing)
}

fn came_to_be(plan: &SeenPlan, provider: Option<&str>) -> Planned {
    let refused_by = |name: &str| {
        let failed = plan.models.iter().flat_map(|models| &models.failed);
        failed.into_iter().any(|call| &*call.provider == name && &*call.kind == "plan_refused")
    };
    match provider {
        Some(wanted) if plan.provider != wanted && refused_by(wanted) => Planned::Refused,
        Some(wanted) if plan.provider != wanted => Planned::Unavailable,
        _ if repairs(plan) > 0 => Planned::Repaired,
        _ => Planned::Valid,
    }
}

/// Calls beyond the first of each model that was asked: it was told what was wrong with its plan.
fn repairs(plan: &SeenPlan) -> u32 {
    let Some(models) = &plan.models else { return 0 };
    let refused = models.failed.iter().filter(|call| &*call.kind == "plan_refused").count();
    let firsts = refused + usize::from(plan.provider != BUILTIN);
    models.calls.saturating_sub(u32::try_from(firsts).unwrap_or(u32::MAX))
}

fn why_invalid(plan: Planned, seen: &Observed) -> String {
    let failed = seen.plans.iter().filter_map(|plan| plan.models.as_ref()).flat_map(|models| &models.failed);
    let failed: Vec<String> = failed.map(|call| format!("{}: {}", call.provider, call.kind)).collect();
    let failed = if failed.is_empty() { String::new() } else { format!(" ({})", failed.join(", ")) };
    match plan {
        Planned::Missing => format!("there is no plan{failed}"),
        Planned::Refused => format!("the plan was refused{failed}"),
        _ => format!("another planner took over{failed}"),
    }
}

fn facts(question: &Question, seen: &Observed, rules: Rules<'_>, lost: &mut Vec<String>) -> Option<f64> {
    let ended_as_expected = seen.status == question.status;
    let judged = !question.facts_need_stubs || rules.stubs;
    if !ended_as_expected {
        lost.push(format!("it ended {} instead of {}", seen.status, question.status));
        return Some(0.0);
    }
    let said: Vec<String> = question
        .forbidden
        .iter()
        .filter(|fact| fact.is_in(&seen.text))
        .map(|fact| format!("the answer says {fact}"))
        .collect();
    if !said.is_empty() {
        lost.extend(said);
        return Some(0.0);
    }
    if question.facts.is_empty() || !judged {
        return (!question.forbidden.is_empty()).then_some(1.0);
    }
    let found = |fact: &super::facts::Fact| {
        let found = fact.is_in(&seen.text);
        if !found {
            lost.push(format!("the answer lacks {fact}"));
        }
        if found { 1.0 } else { 0.0 }
    };
    Some(mean(&question.facts.iter().map(found).collect::<Vec<f64>>()))
}

/// How the steps fit one of the plans that would be right.
struct Fit {
    tools: f64,
    arguments: Option<f64>,
    lost: Vec<String>,
}

impl Fit {
    fn sum(&self) -> f64 {
        self.tools + self.arguments.unwrap_or(self.tools)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of steps")]
fn steps(expected: &[ExpectedStep], seen: &Observed, evaluate: Evaluate<'_>) -> Fit {
    let actual: Vec<&SeenStep> = seen.steps().collect();
    let pairs = pairs(expected, &actual, evaluate);
    let all = expected.len() + actual.len();
    // The harmonic mean of how much of the plan was expected and how much of the expected was planned.
    let tools = if all == 0 { 1.0 } else { 2.0 * pairs.len() as f64 / all as f64 };
    let mut lost: Vec<String> = Vec::new();
    let unmatched = actual.iter().enumerate().filter(|(at, _)| pairs.values().all(|pair| pair != at));
    lost.extend(unmatched.map(|(_, step)| format!("planned without need: {} {}", step.tool, step.arguments)));
    let names: BTreeMap<String, String> =
        pairs.iter().map(|(e, a)| (actual[*a].id.clone(), expected[*e].id.clone())).collect();
    let mut slots = Vec::new();
    for (at, wanted) in expected.iter().enumerate() {
        let found = pairs.get(&at).map(|at| actual[*at]);
        if found.is_none() {
            lost.push(format!("not planned: {} (step {})", wanted.tool, wanted.id));
        }
        let lens = lens(wanted, Some(&names), evaluate);
        for (name, value) in &wanted.arguments {
            let right = found.is_some_and(|step| value.is(argument(step, name), &lens));
            if let (false, Some(step)) = (right, found) {
                lost.push(format!("{} of step {}: {}", name, wanted.id, argument(step, name)));
            }
            slots.push(if right { 1.0 } else { 0.0 });
        }
        for before in &wanted.after {
            let earlier = expected.iter().position(|other| other.id == *before);
            let earlier = earlier.and_then(|at| pairs.get(&at)).map(|at| actual[*at]);
            let right = matches!((found, earlier), (Some(step), Some(earlier)) if comes_after(step, earlier, &actual));
            if !right {
                lost.push(format!("step {} does not come after {before}", wanted.id));
            }
            slots.push(if right { 1.0 } else { 0.0 });
        }
    }
    Fit { tools, arguments: (!slots.is_empty()).then(|| mean(&slots)), lost }
}

/// Which planned step is taken for which expected one: of the same tool, those whose arguments fit best first.
fn pairs(expected: &[ExpectedStep], actual: &[&SeenStep], evaluate: Evaluate<'_>) -> BTreeMap<usize, usize> {
    let mut candidates: Vec<(usize, usize, usize)> = Vec::new();
    for (e, wanted) in expected.iter().enumerate() {
        let lens = lens(wanted, None, evaluate);
        for (a, step) in actual.iter().enumerate().filter(|(_, step)| step.tool == wanted.tool) {
            let fits = wanted.arguments.iter().filter(|(name, value)| value.is(argument(step, name), &lens));
            candidates.push((fits.count(), e, a));
        }
    }
    // Most arguments first; of equal ones in the order of the plan.
    candidates.sort_by_key(|(fits, e, a)| (std::cmp::Reverse(*fits), *e, *a));
    let mut pairs: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, e, a) in candidates {
        if !pairs.contains_key(&e) && pairs.values().all(|taken| *taken != a) {
            pairs.insert(e, a);
        }
    }
    pairs
}

/// `math` takes expressions; everything else takes words.
fn lens<'a>(
    wanted: &ExpectedStep,
    steps: Option<&'a BTreeMap<String, String>>,
    evaluate: Evaluate<'a>,
) -> Lens<'a> {
    Lens { steps, evaluate: (wanted.tool == "math").then_some(evaluate) }
}

fn argument<'a>(step: &'a SeenStep, name: &str) -> &'a Value {
    step.arguments.get(name).unwrap_or(&Value::Null)
}

/// A later version runs when all earlier ones have ended; within one the dependencies tell.
fn comes_after(step: &SeenStep, earlier: &SeenStep, all: &[&SeenStep]) -> bool {
    if step.version != earlier.version {
        return step.version > earlier.version;
    }
    let mut open = vec![step];
    // A plan has no cycles; each step is looked at once per path, and there are 16 at most.
    while let Some(step) = open.pop() {
        if step.depends_on.contains(&earlier.id) {
            return true;
        }
        let before =
            all.iter().filter(|other| other.version == step.version && step.depends_on.contains(&other.id));
        open.extend(before.copied());
    }
    false
}

#[cfg(test)]
mod tests;
