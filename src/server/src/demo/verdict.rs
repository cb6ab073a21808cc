//! The verdict of a demo: a pure function of what the log says, what the outside counter says, and what was killed.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::citations::Citations;

/// What is known when a demo is over.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Steps that the plan must have.
    pub steps_expected: usize,
    pub turn_status: String,
    pub turns: usize,
    pub steps: Vec<StepFact>,
    /// Executions by idempotency key, as the service outside counted them.
    pub executions: BTreeMap<String, u64>,
    /// Terminal events of the conversation in the log.
    pub answers: usize,
    /// Whether the folded log equals the live state; `None` where it could not be asked.
    pub replay_equal: Option<bool>,
    /// What was killed or repeated on purpose, in order.
    pub done_to_it: Vec<String>,
    pub done_expected: usize,
    /// Of the documents, where something was looked up.
    pub citations: Option<Citations>,
}

/// A step at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StepFact {
    pub id: String,
    pub status: String,
    pub effect_id: String,
    /// The outside counter counts its executions; a look-up changes nothing, and nobody counts.
    pub counted: bool,
}

/// Good, or what is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub faults: Vec<String>,
    pub facts: Facts,
}

impl Verdict {
    #[must_use]
    pub fn good(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (facts, steps) = (&self.facts, self.facts.steps_expected);
        if self.good() {
            let answers = facts.answers;
            if let Some(citations) = &facts.citations {
                let cited = citations.right.len();
                return write!(
                    f,
                    "VERDICT: GOOD — the plan went on: {steps} of {steps} steps, each deposit executed once by the \
                     outside counter, {answers} answer with {cited} citations that stand where it says, replay equals live"
                );
            }
            return write!(
                f,
                "VERDICT: GOOD — the plan went on: {steps} of {steps} steps, each executed once by the outside \
                 counter, {answers} answer, replay equals live"
            );
        }
        write!(f, "VERDICT: BAD — {}", self.faults.join("; "))
    }
}

/// Judges. Every fault is a sentence that says what was found and what would be right.
#[must_use]
pub fn judge(facts: Facts) -> Verdict {
    let mut faults = Vec::new();
    if facts.turn_status != "answered" {
        faults.push(format!("the turn is {}, not answered", facts.turn_status));
    }
    if facts.turns != 1 {
        faults.push(format!("the conversation has {} turns, not 1", facts.turns));
    }
    let done = facts.steps.iter().filter(|step| step.status == "done").count();
    if done != facts.steps_expected || facts.steps.len() != facts.steps_expected {
        let (n, of) = (facts.steps_expected, facts.steps.len());
        faults.push(format!("{done} of {of} steps are done, not {n} of {n}"));
    }
    for step in facts.steps.iter().filter(|step| step.counted) {
        let times = facts.executions.get(&step.effect_id).copied().unwrap_or(0);
        if times != 1 {
            faults.push(format!("{} was executed {times} times by the outside counter, not once", step.id));
        }
    }
    let known = |key: &str| facts.steps.iter().any(|step| step.effect_id == key);
    for key in facts.executions.keys().filter(|key| !known(key)) {
        faults.push(format!("the outside counter has an effect {key} that no step of the plan asked for"));
    }
    if facts.answers != 1 {
        faults.push(format!("the log has {} terminal events of the turn, not 1", facts.answers));
    }
    if let Some(citations) = &facts.citations {
        let (n, of) = (citations.right.len(), citations.expected);
        if n != of || !citations.wrong.is_empty() {
            let wrong = citations.wrong.join(", ");
            faults.push(format!(
                "{n} citations for {of} look-ups stand where the answer says; not so: [{wrong}]"
            ));
        }
    }
    match facts.replay_equal {
        Some(true) => {}
        Some(false) => faults.push("the folded log differs from the live state".to_owned()),
        None => faults.push("nobody could compare the folded log with the live state".to_owned()),
    }
    if facts.done_to_it.len() < facts.done_expected {
        let (n, of) = (facts.done_to_it.len(), facts.done_expected);
        faults.push(format!(
            "only {n} of {of} blows were struck while the plan ran, so this run shows nothing"
        ));
    }
    Verdict { faults, facts }
}

#[cfg(test)]
mod tests {
    use super::{Citations, Facts, StepFact, judge};

    fn good() -> Facts {
        let step = |n: usize| StepFact {
            id: format!("deposit-{n}"),
            status: "done".into(),
            effect_id: format!("c:k:1:deposit-{n}"),
            counted: true,
        };
        let steps: Vec<StepFact> = (1..=5).map(step).collect();
        Facts {
            steps_expected: 5,
            turn_status: "answered".into(),
            turns: 1,
            executions: steps.iter().map(|step| (step.effect_id.clone(), 1)).collect(),
            steps,
            answers: 1,
            replay_equal: Some(true),
            done_to_it: vec!["SIGKILL".into()],
            done_expected: 1,
            citations: None,
        }
    }

    fn with_look_ups() -> Facts {
        let mut facts = good();
        facts.steps[0].counted = false;
        facts.executions.pop_first();
        facts.citations =
            Some(Citations { expected: 1, right: vec!["warranty.md:7".into()], wrong: Vec::new() });
        facts
    }

    #[test]
    fn all_in_order_is_good() {
        let verdict = judge(good());
        assert!(verdict.good(), "{verdict}");
        assert_eq!(
            verdict.to_string(),
            "VERDICT: GOOD — the plan went on: 5 of 5 steps, each executed once by the outside counter, 1 answer, \
             replay equals live"
        );
    }

    #[test]
    fn a_look_up_counts_by_what_it_cites() {
        let verdict = judge(with_look_ups());
        assert!(verdict.good(), "{verdict}");
        assert!(
            verdict.to_string().contains("1 answer with 1 citations that stand where it says"),
            "{verdict}"
        );
        let mut facts = with_look_ups();
        facts.citations = Some(Citations { expected: 1, right: Vec::new(), wrong: vec!["x.md:1".into()] });
        let text = judge(facts).to_string();
        assert!(text.contains("0 citations for 1 look-ups") && text.contains("[x.md:1]"), "{text}");
    }

    /// Breaks one fact, and wants the words that name it.
    fn bad(words: &str, change: impl FnOnce(&mut Facts)) {
        let mut facts = good();
        change(&mut facts);
        let verdict = judge(facts);
        assert!(!verdict.good(), "{words}");
        let text = verdict.to_string();
        assert!(text.starts_with("VERDICT: BAD — ") && text.contains(words), "{text}");
    }

    #[test]
    fn each_thing_that_may_be_wrong_is_named() {
        bad("the turn is pending", |facts| facts.turn_status = "pending".into());
        bad("2 turns", |facts| facts.turns = 2);
        bad("4 of 5 steps", |facts| facts.steps[2].status = "running".into());
        bad("4 of 4 steps", |facts| drop(facts.steps.pop()));
        bad("deposit-1 was executed 2 times", |facts| *facts.executions.values_mut().next().unwrap() = 2);
        bad("deposit-1 was executed 0 times", |facts| drop(facts.executions.pop_first()));
        bad("no step of the plan asked for", |facts| {
            facts.executions.insert("x".into(), 1);
        });
        bad("2 terminal events", |facts| facts.answers = 2);
        bad("differs from the live state", |facts| facts.replay_equal = Some(false));
        bad("nobody could compare", |facts| facts.replay_equal = None);
        bad("0 of 1 blows", |facts| facts.done_to_it.clear());
    }
}
