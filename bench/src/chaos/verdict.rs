//! The judgement: what clients were told and what the outside world counted, against what the log holds.

use std::collections::{BTreeMap, BTreeSet};

use callboard_domain::audit;
use serde::Serialize;

use crate::counter::Counts;
use crate::load::Asked;
use crate::story::{Story, Turn};
use crate::topics::Topics;

/// Broken promises that are named one by one; their number is always exact.
const NAMED: usize = 20;

/// A set of broken promises of one kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Broken {
    pub count: usize,
    pub first: Vec<String>,
}

impl Broken {
    fn of(all: impl IntoIterator<Item = String>) -> Self {
        let mut broken = Self::default();
        for one in all {
            broken.count += 1;
            if broken.first.len() < NAMED {
                broken.first.push(one);
            }
        }
        broken
    }
}

/// Everything that was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    pub asked: usize,
    /// Turns that a client got a 2xx for.
    pub accepted: usize,
    /// Turns that began in the log. More than were accepted where the 2xx was lost on its way.
    pub turns: usize,
    pub terminal_in_effect: usize,
    pub answered: u32,
    pub failed: BTreeMap<String, usize>,
    pub cancelled: u32,
    /// Accepted by HTTP, or durable in `user-commands`, and without a terminal event in effect.
    pub lost: Broken,
    /// More than one terminal event in effect, or one question that became two turns.
    pub doubled: Broken,
    /// Unsafe effects that were executed more than once, by the outside count.
    pub duplicate_effects: Broken,
    /// Effects whose outcome in the log is not what the outside counted.
    pub effects_misreported: Broken,
    /// Steps in doubt that nobody could settle.
    pub unsettled: Broken,
    /// Answers without what was asked for, clients told otherwise than the log says, refusals of good requests.
    pub misled_clients: Broken,
    /// Named invariants of `domain::audit`.
    pub violations: Broken,
    pub unreadable: Broken,
    /// Allowed, and worth knowing.
    pub effects_executed: u64,
    pub deposits_repeated: usize,
    /// Steps that ended with an error, by its kind; only those with an effect outside can also be misreported.
    pub steps_failed: BTreeMap<String, usize>,
    pub steps_ever_in_doubt: usize,
    pub duplicate_results: u32,
    pub ignored_records: u32,
    pub records: u64,
    pub dead_letters: BTreeMap<String, u64>,
}

impl Verdict {
    pub fn judge(asked: &[Asked], topics: &Topics, story: &Story, counts: &Counts) -> Self {
        let mut report = audit::Report::default();
        for (id, records) in &topics.events {
            report.merge(audit::conversation(id, records, true));
        }
        let violations =
            report.violations.iter().map(|v| format!("{} {}: {}", v.invariant, v.conversation, v.detail));
        let doubts = story.effects.values().filter(|effect| effect.doubts > 0).count();
        Self {
            asked: asked.len(),
            accepted: asked.iter().filter(|asked| asked.accepted.is_some()).count(),
            turns: story.turns.len(),
            terminal_in_effect: story.turns.values().map(|turn| turn.ends.len()).sum(),
            answered: report.answered,
            failed: failures(story),
            cancelled: report.cancelled,
            lost: lost(asked, topics, story),
            doubled: doubled(asked, story),
            duplicate_effects: Broken::of(
                counts
                    .calls
                    .iter()
                    .filter(|(_, n)| **n > 1)
                    .map(|(key, n)| format!("{key} executed {n} times")),
            ),
            effects_misreported: misreported(story, counts),
            unsettled: Broken::of(story.doubtful.iter().cloned()),
            misled_clients: misled(asked, story),
            violations: Broken::of(violations),
            unreadable: Broken::of(topics.unreadable.iter().cloned()),
            effects_executed: counts.calls.values().chain(counts.deposits.values()).sum(),
            steps_failed: steps_failed(story),
            deposits_repeated: counts.deposits.values().filter(|n| **n > 1).count(),
            steps_ever_in_doubt: doubts,
            duplicate_results: report.duplicate_results,
            ignored_records: report.ignored,
            records: topics.records,
            dead_letters: topics.dead_letters.clone(),
        }
    }

    /// Broken promises by name.
    pub fn broken(&self) -> [(&'static str, &Broken); 8] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("duplicate effects", &self.duplicate_effects),
            ("effects misreported", &self.effects_misreported),
            ("unsettled", &self.unsettled),
            ("misled clients", &self.misled_clients),
            ("audit violations", &self.violations),
            ("unreadable records", &self.unreadable),
        ]
    }
}

fn steps_failed(story: &Story) -> BTreeMap<String, usize> {
    let mut failed = BTreeMap::new();
    for kind in story.effects.values().filter(|effect| !effect.done).filter_map(|e| e.failed.as_ref()) {
        *failed.entry(kind.clone()).or_default() += 1;
    }
    failed
}

fn failures(story: &Story) -> BTreeMap<String, usize> {
    let mut failures = BTreeMap::new();
    for code in story.turns.values().filter_map(|turn| turn.failure.as_ref()) {
        *failures.entry(code.clone()).or_default() += 1;
    }
    failures
}

fn lost(asked: &[Asked], topics: &Topics, story: &Story) -> Broken {
    let ended: BTreeSet<&str> = story
        .turns
        .iter()
        .filter(|(_, turn)| !turn.ends.is_empty())
        .map(|(command, _)| command.as_str())
        .collect();
    let accepted = asked.iter().filter_map(|asked| {
        let command = asked.accepted.as_deref()?;
        (!ended.contains(command)).then(|| format!("{} {command} was accepted", asked.conversation))
    });
    let undecided = topics.commands.iter().filter(|(command, _)| !story.decided.contains(command));
    let undecided = undecided.map(|(command, id)| format!("{id} {command} is in user-commands, undecided"));
    Broken::of(accepted.chain(undecided))
}

fn doubled(asked: &[Asked], story: &Story) -> Broken {
    let twice = story.turns.iter().filter(|(_, turn)| turn.ends.len() > 1);
    let twice = twice.map(|(command, turn)| format!("{} {command}: {:?}", turn.conversation, turn.ends));
    let tags: BTreeSet<&str> = asked.iter().map(|asked| asked.tag.as_str()).collect();
    let mut turns_of: BTreeMap<&str, usize> = BTreeMap::new();
    for turn in story.turns.values() {
        let words = turn.message.split(|c: char| !c.is_ascii_alphanumeric());
        let named: BTreeSet<&str> = words.filter(|word| tags.contains(word)).collect();
        for tag in named {
            *turns_of.entry(tag).or_default() += 1;
        }
    }
    let repeated = turns_of.into_iter().filter(|(_, turns)| *turns > 1);
    Broken::of(twice.chain(repeated.map(|(tag, turns)| format!("question {tag} became {turns} turns"))))
}

/// A step that is done and was never executed, one that failed for good and was, and executions of what was never
/// planned.
fn misreported(story: &Story, counts: &Counts) -> Broken {
    let outside = |tool: &str| matches!(tool, "webhook" | "deposit");
    let steps =
        story.effects.iter().filter(|(_, effect)| outside(&effect.tool)).filter_map(|(id, effect)| {
            let executions = counts.of(id);
            let doubtful = story.doubtful.contains(id);
            match (effect.done, executions) {
                (true, 0) => {
                    Some(format!("{id} ({}) is done in the log and was never executed", effect.tool))
                }
                (false, 1..) if !doubtful && effect.failed.is_some() => Some(format!(
                    "{id} ({}) failed as {} in the log and was executed {executions} times",
                    effect.tool,
                    effect.failed.as_deref().unwrap_or_default()
                )),
                _ => None,
            }
        });
    let known = |key: &&String| !story.effects.contains_key(*key);
    let strange = counts.calls.keys().chain(counts.deposits.keys()).filter(known);
    Broken::of(steps.chain(strange.map(|key| format!("{key} was executed and is in no plan"))))
}

fn misled(asked: &[Asked], story: &Story) -> Broken {
    let by_command: BTreeMap<&str, &Turn> =
        story.turns.iter().map(|(command, turn)| (command.as_str(), turn)).collect();
    let of = |asked: &Asked| {
        if let Some(why) = &asked.refused {
            return Some(format!("{} was refused: {why}", asked.tag));
        }
        let ended = asked.ended.as_ref()?;
        let turn = by_command.get(asked.accepted.as_deref()?)?;
        if ended.status == "answered" && !ended.right && !turn.step_failed {
            return Some(format!("{} got an answer to something else", asked.tag));
        }
        let event = turn.ends.first()?.0;
        let said = match event {
            "FinalAnswerSynthesized" => "answered",
            "PlanCancelled" => "cancelled",
            _ => "failed",
        };
        (said != ended.status)
            .then(|| format!("{} was told {}, the log says {event}", asked.tag, ended.status))
    };
    Broken::of(asked.iter().filter_map(of))
}
