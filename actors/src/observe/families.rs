//! Numbers that are told apart by labels: how each family is called, and the table that holds them. Neighbour: `metrics`,
//! whose methods are the only ones that write here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::metrics::{MetricKind, MetricLine};

/// A label's value.
pub(super) type Label = Cow<'static, str>;

/// Metrics with labels. Label values come from fixed sets of codes, partitions, groups and configured tools: nothing that a
/// client writes makes a new line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Endings,
    Ignored,
    DeadLetters,
    Refusals,
    ArbitersWedged,
    Recoveries,
    LastRecovery,
    OpenTurns,
    OldestOpenTurn,
    EffectsInDoubt,
    ApprovalsWaiting,
    OldestApproval,
    GroupLag,
    BreakerOpen,
}

/// A family's name, help and kind.
pub type Described = (&'static str, &'static str, MetricKind);

impl Family {
    const ALL: [Self; 14] = [
        Self::Endings,
        Self::Ignored,
        Self::DeadLetters,
        Self::Refusals,
        Self::ArbitersWedged,
        Self::Recoveries,
        Self::LastRecovery,
        Self::OpenTurns,
        Self::OldestOpenTurn,
        Self::EffectsInDoubt,
        Self::ApprovalsWaiting,
        Self::OldestApproval,
        Self::GroupLag,
        Self::BreakerOpen,
    ];

    /// All of them, with lines or without: a board can be told what to expect.
    pub fn described() -> [Described; Self::ALL.len()] {
        Self::ALL.map(|family| {
            let (name, _, kind, help) = family.words();
            (name, help, kind)
        })
    }

    /// Name, label keys, kind, help.
    fn words(self) -> (&'static str, &'static [&'static str], MetricKind, &'static str) {
        use MetricKind::{Counter, Gauge};
        match self {
            Self::Endings => (
                "callboard_actor_endings",
                &["kind", "ending"],
                Counter,
                "Actors that ended unasked, by kind and ending.",
            ),
            Self::Ignored => (
                "callboard_records_ignored",
                &["reason"],
                Counter,
                "Records that the fold ignored, by reason.",
            ),
            Self::DeadLetters => {
                ("callboard_dead_letters", &["reason"], Counter, "Records given up, by reason.")
            }
            Self::Refusals => (
                "callboard_refusals",
                &["what"],
                Counter,
                "What a bounded queue did not take, by queue. It comes again later or was answered 429.",
            ),
            Self::ArbitersWedged => {
                ("callboard_arbiters_wedged", &[], Counter, "Arbiters that stopped and were abandoned.")
            }
            Self::Recoveries => ("callboard_recoveries", &["what"], Counter, "Recoveries, by what was lost."),
            Self::LastRecovery => (
                "callboard_last_recovery_seconds",
                &["what"],
                Gauge,
                "From an ending to ready again, the last time, by what was lost.",
            ),
            Self::OpenTurns => {
                ("callboard_open_turns", &["status"], Gauge, "Turns that have not ended, by status.")
            }
            Self::OldestOpenTurn => (
                "callboard_open_turn_oldest_age_seconds",
                &["status"],
                Gauge,
                "Age of the oldest turn that has not ended, by status.",
            ),
            Self::EffectsInDoubt => (
                "callboard_effects_in_doubt",
                &["partition"],
                Gauge,
                "Unsafe effects whose outcome is unknown.",
            ),
            Self::ApprovalsWaiting => {
                ("callboard_approvals_waiting", &[], Gauge, "Steps that wait for a person's approval.")
            }
            Self::OldestApproval => (
                "callboard_approval_oldest_age_seconds",
                &[],
                Gauge,
                "How long the first of them has been waiting.",
            ),
            Self::GroupLag => (
                "callboard_group_lag",
                &["group", "partition"],
                Gauge,
                "Records of a partition that a group has not done yet.",
            ),
            Self::BreakerOpen => {
                ("callboard_breaker_open", &["tool"], Gauge, "1 while a tool's circuit breaker is open.")
            }
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Families(Mutex<BTreeMap<(Family, Vec<Label>), f64>>);

impl Families {
    fn table(&self) -> MutexGuard<'_, BTreeMap<(Family, Vec<Label>), f64>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    pub fn count<const N: usize>(&self, family: Family, labels: [Label; N]) {
        *self.table().entry((family, labels.into())).or_default() += 1.0;
    }

    pub fn set<const N: usize>(&self, family: Family, labels: [Label; N], value: f64) {
        self.table().insert((family, labels.into()), value);
    }

    /// Drops a line: what it spoke of is not here any more.
    pub fn forget<const N: usize>(&self, family: Family, labels: [Label; N]) {
        self.table().remove(&(family, Vec::from(labels)));
    }

    pub fn lines(&self) -> Vec<MetricLine> {
        let line = |((family, labels), value): (&(Family, Vec<Label>), &f64)| {
            let (name, keys, kind, help) = family.words();
            let labels = keys.iter().copied().zip(labels.iter().map(|label| label.to_string())).collect();
            MetricLine { name, help, kind, labels, value: *value }
        };
        self.table().iter().map(line).collect()
    }
}
