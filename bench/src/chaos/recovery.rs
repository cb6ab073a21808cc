//! How long it took: from each fault to the next progress, and for the turns that were open at it, to their end. From
//! the log's own timestamps.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fault::{Fault, Scope};
use crate::result::Spread;
use crate::story::{Move, Story, Turn};

/// What one kind of fault costs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cost {
    pub faults: usize,
    /// Faults that found no turn open which they concerned are not in it.
    pub next_progress: Spread,
    /// From the fault to the end of every turn that was open then.
    pub open_turns_end: Spread,
}

/// A fault as it is written down.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub at_ms: i64,
    pub kind: String,
    pub what: String,
    pub next_progress_s: Option<f64>,
}

/// All faults in the order of time.
pub fn timeline(faults: &[Fault], story: &Story) -> Vec<Entry> {
    let entry = |fault: &Fault| Entry {
        at_ms: fault.at_ms,
        kind: fault.kind.clone(),
        what: fault.what.clone(),
        next_progress_s: next_progress(fault, &story.moves).map(|ms| ms as f64 / 1_000.0),
    };
    faults.iter().map(entry).collect()
}

/// Per kind, and for all under `all`.
pub fn costs(faults: &[Fault], story: &Story) -> BTreeMap<String, Cost> {
    let mut turns: Vec<&Turn> = story.turns.values().collect();
    turns.sort_by_key(|turn| turn.began_ms);
    let mut by_kind: BTreeMap<String, (usize, Vec<i64>, Vec<i64>)> = BTreeMap::new();
    for fault in faults {
        let next = next_progress(fault, &story.moves);
        let ends: Vec<i64> = turns.iter().filter_map(|turn| open_at(turn, fault.at_ms)).collect();
        let names = [fault.kind.as_str(), "all"];
        for name in &names[..if fault.counts { 2 } else { 1 }] {
            let (count, progress, open) = by_kind.entry((*name).to_owned()).or_default();
            *count += 1;
            progress.extend(next);
            open.extend(&ends);
        }
    }
    let cost = |(faults, progress, open)| Cost {
        faults,
        next_progress: Spread::of(progress),
        open_turns_end: Spread::of(open),
    };
    by_kind.into_iter().map(|(kind, times)| (kind, cost(times))).collect()
}

/// When the next record came that moved a turn which was open at the fault and which it concerned. A host shows that it
/// is back by any record of its own: most open turns wait for a tool, not for it.
fn next_progress(fault: &Fault, moves: &[Move]) -> Option<i64> {
    let from = moves.partition_point(|moved| moved.ms <= fault.at_ms);
    let concerned = |moved: &&Move| {
        let was_open = moved.began_ms <= fault.at_ms;
        match fault.scope {
            Scope::All => was_open,
            Scope::Host => !["ToolInvocationResulted", "ToolInvocationInDoubt", "FinalAnswerSynthesized"]
                .contains(&moved.event),
            Scope::Partition(partition) => was_open && moved.partition == partition,
            Scope::Results => was_open && moved.event == "ToolInvocationResulted",
            Scope::Answers => was_open && moved.event == "FinalAnswerSynthesized",
        }
    };
    let next = moves[from..].iter().find(concerned)?;
    Some(next.ms - fault.at_ms)
}

/// From `at_ms` to the end of a turn that was open then.
fn open_at(turn: &Turn, at_ms: i64) -> Option<i64> {
    let (_, ended_ms) = turn.ends.first()?;
    (turn.began_ms <= at_ms && *ended_ms > at_ms).then_some(ended_ms - at_ms)
}

#[cfg(test)]
mod tests {
    use super::{Move, next_progress};
    use crate::chaos::fault::{Fault, Scope};

    #[test]
    fn progress_is_that_of_turns_that_were_open() {
        let moved = |ms, event, began_ms| Move { ms, partition: 1, event, began_ms };
        let moves = [
            moved(50, "PlanGenerated", 10),
            moved(120, "PlanGenerated", 110),
            moved(130, "PlanGenerated", 90),
            moved(400, "ToolInvocationResulted", 90),
        ];
        let fault =
            |scope| Fault { at_ms: 100, kind: String::new(), what: String::new(), scope, counts: true };
        assert_eq!(next_progress(&fault(Scope::All), &moves), Some(30));
        assert_eq!(next_progress(&fault(Scope::Results), &moves), Some(300));
        assert_eq!(next_progress(&fault(Scope::Partition(2)), &moves), None);
        assert_eq!(next_progress(&fault(Scope::Host), &moves), Some(20));
    }
}
