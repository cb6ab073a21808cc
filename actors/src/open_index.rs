//! What is open in the conversations of one partition, live and passivated alike: which turns, how old, in doubt or not.
//! Kept up to date by the conversations (a comparison of a few bytes per step), filled from the snapshot store at a start,
//! and read by `GET /v1/turns` and the gauges without looking into a state. Single-threaded, like `wakes`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;

use callboard_domain::id::ConversationId;
use callboard_domain::open_turns::{OpenBrief, OpenStatus, tool_bit};

use crate::limits::OPEN_SCAN;

const STATUSES: usize = OpenStatus::ALL.len();

/// Where an open turn stands among all: by age, the oldest first. It never moves while it is open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenPlace {
    pub received_ms: i64,
    pub conversation: ConversationId,
    pub turn: u32,
}

/// Which of them are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub status: Option<OpenStatus>,
    /// Received at this instant or before.
    pub until_ms: Option<i64>,
    pub tool: Option<std::sync::Arc<str>>,
    /// Only those with a step in doubt, whatever their other steps do.
    pub in_doubt: bool,
    /// Only those with a step that awaits approval, likewise.
    pub awaiting_approval: bool,
}

/// Some of what was asked for, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenPlaces {
    /// A tool's name is not known here: its entries are those that may be meant.
    pub places: Vec<OpenPlace>,
    /// How far was looked; `None`: to the end.
    pub up_to: Option<OpenPlace>,
}

/// What a partition has open, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenSummary {
    /// By status, in the order of [`OpenStatus::ALL`].
    pub turns: [u64; STATUSES],
    /// When the oldest of each status was received.
    pub oldest_ms: [Option<i64>; STATUSES],
    pub doubts: u64,
    pub approvals: u64,
    /// Since when the first of these approvals is waited for.
    pub approval_since_ms: Option<i64>,
}

/// The index. Its memory is bounded per conversation: one entry a turn that waits, runs or is in doubt, and the fold
/// bounds those.
#[derive(Debug, Default)]
pub struct OpenIndex(RefCell<Index>);

#[derive(Debug, Default)]
struct Index {
    of: HashMap<ConversationId, Box<[OpenBrief]>>,
    by_status: [BTreeMap<OpenPlace, OpenBrief>; STATUSES],
    doubts: u64,
    /// Turns with a step that awaits approval, by since when.
    approvals: BTreeMap<(i64, OpenPlace), u32>,
}

impl Index {
    fn approval(place: &OpenPlace, brief: &OpenBrief) -> Option<(i64, OpenPlace)> {
        Some((brief.approval_since_ms?, place.clone()))
    }

    fn place(conversation: &ConversationId, brief: &OpenBrief) -> OpenPlace {
        OpenPlace { received_ms: brief.received_ms, conversation: conversation.clone(), turn: brief.turn }
    }
}

impl OpenIndex {
    /// Replaces what is known of a conversation.
    pub fn set(&self, conversation: &ConversationId, turns: &[OpenBrief]) {
        let mut index = self.0.borrow_mut();
        let known = match index.of.get(conversation) {
            None if turns.is_empty() => return,
            Some(known) if **known == *turns => return,
            None => Box::default(),
            Some(_) => index.of.remove(conversation).unwrap_or_default(),
        };
        for brief in &known {
            let place = Index::place(conversation, brief);
            if let Some(at) = Index::approval(&place, brief) {
                index.approvals.remove(&at);
            }
            index.by_status[brief.status as usize].remove(&place);
            index.doubts -= u64::from(brief.doubts);
        }
        for brief in turns {
            let place = Index::place(conversation, brief);
            if let Some(at) = Index::approval(&place, brief) {
                index.approvals.insert(at, brief.approvals);
            }
            index.by_status[brief.status as usize].insert(place, *brief);
            index.doubts += u64::from(brief.doubts);
        }
        if !turns.is_empty() {
            index.of.insert(conversation.clone(), turns.into());
        }
    }

    pub fn summary(&self) -> OpenSummary {
        let index = self.0.borrow();
        let mut summary = OpenSummary {
            doubts: index.doubts,
            approvals: index.approvals.values().copied().map(u64::from).sum(),
            approval_since_ms: index.approvals.first_key_value().map(|((since_ms, _), _)| *since_ms),
            ..OpenSummary::default()
        };
        for (i, turns) in index.by_status.iter().enumerate() {
            summary.turns[i] = turns.len() as u64;
            summary.oldest_ms[i] = turns.first_key_value().map(|(place, _)| place.received_ms);
        }
        summary
    }

    /// What is wanted, after `after`, the oldest first, at most `limit`. Looks at a bounded number of entries.
    pub fn places(&self, wanted: &Wanted, after: Option<&OpenPlace>, limit: usize) -> OpenPlaces {
        let index = self.0.borrow();
        let bit = wanted.tool.as_deref().map_or(u64::MAX, tool_bit);
        let is_wanted = |status: OpenStatus| wanted.status.is_none_or(|wanted| wanted == status);
        let mut sources: Vec<Peekable<_>> = OpenStatus::ALL
            .into_iter()
            .filter(|status| is_wanted(*status))
            .map(|status| match after {
                Some(after) => index.by_status[status as usize]
                    .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
                    .peekable(),
                None => index.by_status[status as usize].range(..).peekable(),
            })
            .collect();
        let mut found = OpenPlaces::default();
        for _ in 0..OPEN_SCAN {
            let oldest = sources.iter_mut().filter_map(|source| Some((source.peek()?.0.clone(), source)));
            let Some((_, source)) = oldest.min_by(|(a, _), (b, _)| a.cmp(b)) else { return found };
            let Some((place, brief)) = source.next() else { return found };
            if wanted.until_ms.is_some_and(|until_ms| place.received_ms > until_ms) {
                found.up_to = None;
                return found;
            }
            found.up_to = Some(place.clone());
            let fits = wanted.tool.is_none() || brief.tools & bit != 0;
            let asked =
                (brief.doubts > 0 || !wanted.in_doubt) && (brief.approvals > 0 || !wanted.awaiting_approval);
            if fits && asked {
                found.places.push(place.clone());
                if found.places.len() == limit {
                    return found;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use callboard_domain::id::ConversationId;
    use callboard_domain::open_turns::{OpenBrief, OpenStatus, tool_bit};

    use super::{OpenIndex, Wanted};

    fn id(name: &str) -> ConversationId {
        ConversationId::new(name).unwrap()
    }

    fn brief(turn: u32, received_ms: i64, status: OpenStatus) -> OpenBrief {
        OpenBrief {
            turn,
            received_ms,
            status,
            doubts: 0,
            approvals: 0,
            approval_since_ms: None,
            tools: tool_bit("echo"),
        }
    }

    #[test]
    fn the_oldest_come_first_whatever_their_status_and_what_closes_is_gone() {
        let index = OpenIndex::default();
        for i in 0..50 {
            let status = OpenStatus::ALL[i as usize % 8];
            index.set(
                &id(&format!("c{i}")),
                &[brief(1, 1_000 - i, status), brief(2, 5_000 + i, OpenStatus::Queued)],
            );
        }
        let mut seen = Vec::new();
        loop {
            let page = index.places(&Wanted::default(), seen.last(), 7);
            seen.extend(page.places);
            if page.up_to.is_none() {
                break;
            }
        }
        assert!(seen.len() == 100 && seen.is_sorted());
        let status = Some(OpenStatus::Planning);
        let planning = index.places(&Wanted { status, ..Wanted::default() }, None, 100).places;
        assert_eq!(planning.len(), index.summary().turns[OpenStatus::Planning as usize] as usize);
        let old = index.places(&Wanted { until_ms: Some(960), ..Wanted::default() }, None, 100).places;
        assert_eq!(old.len(), 10);
        let of_a_tool = Wanted { tool: Some("weather".into()), ..Wanted::default() };
        assert_eq!(index.places(&of_a_tool, None, 100).places, Vec::new());

        for i in 0..50 {
            index.set(&id(&format!("c{i}")), &[]);
        }
        assert_eq!(index.summary(), super::OpenSummary::default());
    }

    #[test]
    fn doubts_and_approvals_are_counted_and_the_oldest_is_known() {
        let index = OpenIndex::default();
        let doubt = |turn, doubts| OpenBrief { doubts, ..brief(turn, i64::from(turn), OpenStatus::InDoubt) };
        index.set(&id("a"), &[doubt(7, 2), doubt(8, 1)]);
        index.set(&id("b"), &[doubt(3, 1)]);
        let at = OpenStatus::InDoubt as usize;
        let summary = index.summary();
        assert_eq!((summary.doubts, summary.turns[at], summary.oldest_ms[at]), (4, 3, Some(3)));
        let waits = |since_ms, approvals| OpenBrief {
            approvals,
            approval_since_ms: Some(since_ms),
            ..brief(9, 50, OpenStatus::Running)
        };
        index.set(&id("c"), &[waits(70, 2)]);
        index.set(&id("d"), &[waits(60, 1)]);
        let asked = Wanted { awaiting_approval: true, ..Wanted::default() };
        assert_eq!(index.places(&asked, None, 9).places.len(), 2);
        assert_eq!((index.summary().approvals, index.summary().approval_since_ms), (3, Some(60)));
        index.set(&id("d"), &[]);
        assert_eq!((index.summary().approvals, index.summary().approval_since_ms), (2, Some(70)));
        index.set(&id("c"), &[]);
        index.set(&id("a"), &[doubt(8, 1)]);
        index.set(&id("b"), &[]);
        let summary = index.summary();
        assert_eq!((summary.doubts, summary.turns[at], summary.oldest_ms[at]), (1, 1, Some(8)));
    }
}
