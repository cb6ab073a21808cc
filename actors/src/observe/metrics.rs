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
        let mut lines: Vec<MetricLine> = self.counters().into_iter().chain(self.gauges()).collect();
        lines.extend(self.turns());
        lines.extend(self.by_label());
        lines
    }

    fn counters(&self) -> [MetricLine; 12] {
        let of = |name, help, cell: &AtomicU64| {
            line(name, help, MetricKind::Counter, cell.load(Ordering::Relaxed) as f64)
        };
        [
            of("callboard_events_applied", "Records folded.", &self.events_applied),
            of("callboard_invocations_requested", "Tool invocations requested.", &self.invocations_requested),
            of("callboard_invocations_run", "Tool invocations run by this process.", &self.invocations_run),
            of(
                "callboard_invocations_deduplicated",
                "Requests answered by an invocation already run or running.",
                &self.invocations_deduplicated,
            ),
            of(
                "callboard_requests_expired",
                "Requests not started because their not_after had passed.",
                &self.requests_expired,
            ),
            of("callboard_answers_written", "Final answers written by this process.", &self.answers_written),
            of("callboard_plans_asked", "Planner calls.", &self.plans_asked),
            of("callboard_appends_failed", "Appends that were not acknowledged.", &self.appends_failed),
            of(
                "callboard_appends_refused_full",
                "Appends refused because the queue was full.",
                &self.appends_refused_full,
            ),
            of(
                "callboard_conversations_loaded",
                "Conversations brought back from snapshot or log.",
                &self.conversations_loaded,
            ),
            of("callboard_snapshots_written", "Snapshots written.", &self.snapshots_written),
            of(
                "callboard_snapshots_unusable",
                "Snapshots that did not verify and were rebuilt from the log.",
                &self.snapshots_unusable,
            ),
        ]
    }

    fn gauges(&self) -> [MetricLine; 2] {
        let of = |name, help, cell: &AtomicI64| {
            line(name, help, MetricKind::Gauge, cell.load(Ordering::Relaxed) as f64)
        };
        [
            of("callboard_conversations_live", "Conversation actors.", &self.conversations_live),
            of("callboard_partitions_owned", "Partitions owned and caught up.", &self.partitions_owned),
        ]
    }

    fn turns(&self) -> impl Iterator<Item = MetricLine> {
        let by_status = [
            ("accepted", &self.turns_accepted),
            ("answered", &self.turns_answered),
            ("failed", &self.turns_failed),
            ("cancelled", &self.turns_cancelled),
        ];
        by_status.into_iter().map(|(status, cell)| MetricLine {
            labels: vec![("status", status.to_owned())],
            ..line(
                "callboard_turns",
                "Turns by what became of them, replays apart.",
                MetricKind::Counter,
                cell.load(Ordering::Relaxed) as f64,
            )
        })
    }

    fn by_label(&self) -> Vec<MetricLine> {
        let labelled = self.labelled.lock().expect("no holder of this lock panics");
        let of = |((metric, label), value): (&(&'static str, String), &u64)| {
            let (name, help, key) = match *metric {
                "ending" => ("callboard_actor_endings", "Actors that ended unasked, by ending.", "ending"),
                "ignored" => {
                    ("callboard_records_ignored", "Records that the fold ignored, by reason.", "reason")
                }
                _ => ("callboard_dead_letters", "Records given up, by reason.", "reason"),
            };
            let labels = vec![(key, label.clone())];
            MetricLine { labels, ..line(name, help, MetricKind::Counter, *value as f64) }
        };
        labelled.iter().map(of).collect()
    }
}

fn line(name: &'static str, help: &'static str, kind: MetricKind, value: f64) -> MetricLine {
    MetricLine { name, help, kind, labels: Vec::new(), value }
}
