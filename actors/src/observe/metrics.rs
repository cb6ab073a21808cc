//! Counters and gauges of a node: plain atomics here, rendered by whoever serves them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use callboard_domain::conversation::Ignored;

use super::families::{Described, Families, Family};
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
    /// Open turns of those actors.
    pub turns_live: AtomicI64,
    pub snapshots_written: AtomicU64,
    pub snapshots_unusable: AtomicU64,
    pub partitions_owned: AtomicI64,
    pub partitions_without_snapshots: AtomicI64,
    labelled: Families,
}

impl Metrics {
    /// An actor of this kind ended unasked and will be started again.
    pub fn ending(&self, kind: &'static str, ending: Ending) {
        self.labelled.count(Family::Endings, [kind.into(), ending.as_str().into()]);
    }

    /// The fold ignored a record.
    pub fn ignored(&self, reason: Ignored) {
        self.labelled.count(Family::Ignored, [reason.as_str().into()]);
    }

    /// A record was given up.
    pub fn dead_letter(&self, reason: &str) {
        self.labelled.count(Family::DeadLetters, [reason.to_owned().into()]);
    }

    /// A bounded queue said no.
    pub fn refused(&self, what: &'static str) {
        self.labelled.count(Family::Refusals, [what.into()]);
    }

    /// An arbiter stopped and was abandoned.
    pub fn arbiter_wedged(&self) {
        self.labelled.count(Family::ArbitersWedged, []);
    }

    /// `what` was lost and is ready again.
    pub fn recovered(&self, what: &'static str, seconds: f64) {
        self.labelled.count(Family::Recoveries, [what.into()]);
        self.labelled.set(Family::LastRecovery, [what.into()], seconds);
    }

    /// Turns of this status that have not ended, and the age of the oldest (0 without one).
    pub fn set_open_turns(&self, status: &'static str, count: u64, oldest_age_ms: u64) {
        self.labelled.set(Family::OpenTurns, [status.into()], count as f64);
        self.labelled.set(Family::OldestOpenTurn, [status.into()], oldest_age_ms as f64 / 1_000.0);
    }

    /// Effects of a partition's conversations that are in doubt.
    pub fn set_in_doubt(&self, partition: u32, count: u64) {
        self.labelled.set(Family::EffectsInDoubt, [partition.to_string().into()], count as f64);
    }

    /// Steps that wait for a person, and how long the first of them has.
    pub fn set_approvals(&self, waiting: u64, oldest_age_ms: u64) {
        self.labelled.set(Family::ApprovalsWaiting, [], waiting as f64);
        self.labelled.set(Family::OldestApproval, [], oldest_age_ms as f64 / 1_000.0);
    }

    /// Records of a partition that a group has not done.
    pub fn set_lag(&self, group: &str, partition: u32, records: u64) {
        let labels = [group.to_owned().into(), partition.to_string().into()];
        self.labelled.set(Family::GroupLag, labels, records as f64);
    }

    /// Whether a tool's circuit breaker is open.
    pub fn set_breaker(&self, tool: &str, open: bool) {
        self.labelled.set(Family::BreakerOpen, [tool.to_owned().into()], f64::from(u8::from(open)));
    }

    /// The partition's conversations are somebody else's: this process has nothing to say of their doubts.
    pub fn forget_partition(&self, partition: u32) {
        self.labelled.forget(Family::EffectsInDoubt, [partition.to_string().into()]);
    }

    /// The partition left this member of the group.
    pub fn forget_lag(&self, group: &str, partition: u32) {
        let labels = [group.to_owned().into(), partition.to_string().into()];
        self.labelled.forget(Family::GroupLag, labels);
    }

    /// All numbers.
    #[must_use]
    pub fn snapshot(&self) -> Vec<MetricLine> {
        let mut lines: Vec<MetricLine> = self.counters().into_iter().chain(self.gauges()).collect();
        lines.extend(self.turns());
        lines.extend(self.labelled.lines());
        lines
    }

    /// The metrics that have no line before something happens.
    #[must_use]
    pub fn described() -> Vec<Described> {
        Family::described().into()
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

    fn gauges(&self) -> [MetricLine; 4] {
        let of = |name, help, cell: &AtomicI64| {
            line(name, help, MetricKind::Gauge, cell.load(Ordering::Relaxed) as f64)
        };
        [
            of("callboard_conversations_live", "Conversation actors.", &self.conversations_live),
            of("callboard_turns_live", "Open turns that are held in memory.", &self.turns_live),
            of("callboard_partitions_owned", "Partitions owned and caught up.", &self.partitions_owned),
            of(
                "callboard_partitions_without_snapshots",
                "Partitions whose snapshot store does not work.",
                &self.partitions_without_snapshots,
            ),
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
}

fn line(name: &'static str, help: &'static str, kind: MetricKind, value: f64) -> MetricLine {
    MetricLine { name, help, kind, labels: Vec::new(), value }
}
