//! Counters and gauges of a node: plain atomics here, rendered by whoever serves them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use callboard_domain::conversation::Ignored;

use crate::supervise::Ending;

/// What kind of number a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLine {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

/// Everything a node counts. Relaxed: each number stands for itself.
#[derive(Debug, Default)]
pub struct Metrics {
    pub events_applied: AtomicU64,
    pub turns_accepted: AtomicU64,
    pub turns_answered: AtomicU64,
    pub turns_failed: AtomicU64,
    pub turns_cancelled: AtomicU64,
    pub invocations_requested: AtomicU64,
    pub invocations_run: AtomicU64,
    pub invocations_deduplicated: AtomicU64,
    pub requests_expired: AtomicU64,
    pub answers_written: AtomicU64,
    pub plans_asked: AtomicU64,
    pub appends_failed: AtomicU64,
    pub appends_refused_full: AtomicU64,
    pub conversations_loaded: AtomicU64,
    pub conversations_live: AtomicI64,
    pub snapshots_written: AtomicU64,
    pub snapshots_unusable: AtomicU64,
    pub partitions_owned: AtomicI64,
    /// By (metric, label value); label values come from fixed sets of codes.
    labelled: Mutex<BTreeMap<(&'static str, String), u64>>,
}

impl Metrics {
    fn count(&self, metric: &'static str, label: String) {
        let mut labelled = self.labelled.lock().expect("no holder of this lock panics");
        *labelled.entry((metric, label)).or_default() += 1;
    }

    /// An actor ended and will be started again.
    pub fn restart(&self, ending: Ending) {
        self.count("ending", ending.as_str().to_owned());
    }

    /// The fold ignored a record.
    pub fn ignored(&self, reason: Ignored) {
        self.count("ignored", reason.as_str().to_owned());
    }

    /// A record was given up.
    pub fn dead_letter(&self, reason: &str) {
        self.count("dead_letter", reason.to_owned());
    }

    /// All numbers.
    #[must_use]
    pub fn snapshot(&self) -> Vec<MetricLine> {
        use MetricKind::{Counter, Gauge};
        let of = |cell: &AtomicU64| cell.load(Ordering::Relaxed) as f64;
        let level = |cell: &AtomicI64| cell.load(Ordering::Relaxed) as f64;
        let mut lines: Vec<MetricLine> = [
            ("callboard_events_applied", "Records folded.", Counter, of(&self.events_applied)),
            (
                "callboard_invocations_requested",
                "Tool invocations requested.",
                Counter,
                of(&self.invocations_requested),
            ),
            (
                "callboard_invocations_run",
                "Tool invocations run by this process.",
                Counter,
                of(&self.invocations_run),
            ),
            (
                "callboard_invocations_deduplicated",
                "Requests answered by an invocation already run or running.",
                Counter,
                of(&self.invocations_deduplicated),
            ),
            (
                "callboard_requests_expired",
                "Requests not started because their not_after had passed.",
                Counter,
                of(&self.requests_expired),
            ),
            (
                "callboard_answers_written",
                "Final answers written by this process.",
                Counter,
                of(&self.answers_written),
            ),
            ("callboard_plans_asked", "Planner calls.", Counter, of(&self.plans_asked)),
            (
                "callboard_appends_failed",
                "Appends that were not acknowledged.",
                Counter,
                of(&self.appends_failed),
            ),
            (
                "callboard_appends_refused_full",
                "Appends refused because the queue was full.",
                Counter,
                of(&self.appends_refused_full),
            ),
            (
                "callboard_conversations_loaded",
                "Conversations brought back from snapshot or log.",
                Counter,
                of(&self.conversations_loaded),
            ),
            ("callboard_conversations_live", "Conversation actors.", Gauge, level(&self.conversations_live)),
            ("callboard_snapshots_written", "Snapshots written.", Counter, of(&self.snapshots_written)),
            (
                "callboard_snapshots_unusable",
                "Snapshots that did not verify and were rebuilt from the log.",
                Counter,
                of(&self.snapshots_unusable),
            ),
            (
                "callboard_partitions_owned",
                "Partitions owned and caught up.",
                Gauge,
                level(&self.partitions_owned),
            ),
        ]
        .into_iter()
        .map(|(name, help, kind, value)| MetricLine { name, help, kind, labels: Vec::new(), value })
        .collect();
        for (status, cell) in [
            ("accepted", &self.turns_accepted),
            ("answered", &self.turns_answered),
            ("failed", &self.turns_failed),
            ("cancelled", &self.turns_cancelled),
        ] {
            lines.push(MetricLine {
                name: "callboard_turns",
                help: "Turns by what became of them, replays apart.",
                kind: Counter,
                labels: vec![("status", status.to_owned())],
                value: of(cell),
            });
        }
        let labelled = self.labelled.lock().expect("no holder of this lock panics");
        for ((metric, label), value) in labelled.iter() {
            let (name, help, key) = match *metric {
                "ending" => ("callboard_actor_endings", "Actors that ended unasked, by ending.", "ending"),
                "ignored" => {
                    ("callboard_records_ignored", "Records that the fold ignored, by reason.", "reason")
                }
                _ => ("callboard_dead_letters", "Records given up, by reason.", "reason"),
            };
            lines.push(MetricLine {
                name,
                help,
                kind: Counter,
                labels: vec![(key, label.clone())],
                value: *value as f64,
            });
        }
        lines
    }
}
