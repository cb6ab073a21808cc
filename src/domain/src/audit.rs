//! The named invariants as pure functions over what the topics hold: shared by simulation, chaos and `verify`.

mod approvals;
mod promises;

use std::collections::{BTreeMap, BTreeSet};

pub use promises::{
    Execution, Issued, accepted_is_durable, bounded, given_up_is_kept, nothing_after_revocation, replay,
    replay_equals_live, started_in_time, unsafe_at_most_once,
};

use crate::conversation::{Applied, Recorded, State, apply};
use crate::event::{Event, Outcome};
use crate::id::{CommandId, ConversationId, EffectId};
use crate::wire::Readable;
use approvals::Unapproved;

/// A broken promise, with where it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    pub conversation: ConversationId,
    pub detail: String,
}

/// What an audit of one conversation found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    pub turns: u32,
    pub answered: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub open: u32,
    /// Records that the fold ignored, duplicates for example.
    pub ignored: u32,
    /// Results of a (step, attempt) that had one already: work that was done twice.
    pub duplicate_results: u32,
    pub violations: Vec<Violation>,
}

impl Report {
    /// Adds another conversation's findings.
    pub fn merge(&mut self, other: Self) {
        self.turns += other.turns;
        self.answered += other.answered;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.open += other.open;
        self.ignored += other.ignored;
        self.duplicate_results += other.duplicate_results;
        self.violations.extend(other.violations);
    }
}

/// Audits all records of one conversation, in log order: G2 (one terminal event in effect), G4 (a result
/// counts once), G5 (offsets ascend), that nothing is run before its approval, and that every turn has ended where `drained` says that it must.
#[must_use]
pub fn conversation(id: &ConversationId, records: &[Recorded], drained: bool) -> Report {
    let mut state = State::new(id.clone());
    let mut report = Report::default();
    let mut terminal: BTreeMap<CommandId, u32> = BTreeMap::new();
    let mut accepted: BTreeSet<CommandId> = BTreeSet::new();
    let mut counted: BTreeMap<EffectId, u32> = BTreeMap::new();
    let mut worked: BTreeSet<(EffectId, u32)> = BTreeSet::new();
    let mut unapproved = Unapproved::default();
    let violate = |invariant, detail: String| Violation { invariant, conversation: id.clone(), detail };
    let mut last_offset = None;
    for record in records {
        if last_offset.is_some_and(|last| record.offset <= last) {
            report
                .violations
                .push(violate("log_order", format!("offset {} after {last_offset:?}", record.offset)));
        }
        last_offset = Some(record.offset);
        let open_before = state.open.len();
        let applied = apply(&mut state, record);
        report.ignored += u32::from(applied != Applied::Changed);
        let (Readable::Event(event), Some(command)) = (&record.body, &record.command) else { continue };
        report.violations.extend(unapproved.hears(id, command, event, applied));
        if let Event::ToolInvocationResulted(body) = event {
            let effect = EffectId {
                conversation: id.clone(),
                command: command.clone(),
                version: body.version,
                step: body.step.clone(),
            };
            report.duplicate_results += u32::from(!worked.insert((effect.clone(), body.attempt)));
            if applied == Applied::Changed && matches!(body.outcome, Outcome::Ok(_)) {
                *counted.entry(effect).or_default() += 1;
            }
        }
        // An answer beyond its bound changes the state without ending its turn.
        if event.is_terminal() && state.open.len() < open_before {
            *terminal.entry(command.clone()).or_default() += 1;
            match event {
                Event::FinalAnswerSynthesized(_) => report.answered += 1,
                Event::PlanCancelled(_) => report.cancelled += 1,
                _ => report.failed += 1,
            }
        }
        if applied == Applied::Changed && matches!(event, Event::UserQueryReceived(_)) {
            accepted.insert(command.clone());
        }
    }
    for (effect, times) in counted.iter().filter(|(_, times)| **times > 1) {
        report.violations.push(violate("result_counts_once", format!("{effect} counted {times} times")));
    }
    for command in &accepted {
        match terminal.get(command).copied().unwrap_or(0) {
            1 => {}
            0 if !drained => {}
            n => report.violations.push(violate("one_terminal_event", format!("turn {command} has {n}"))),
        }
    }
    report.open = count(state.open.len());
    report.turns = count(accepted.len());
    report
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
