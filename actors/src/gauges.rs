//! Numbers that nobody counts while working: what is open in all partitions of this node, and how far its groups are behind.
//! Hosts and the history leave theirs here, windows are looked at; one task of the node sets the metrics every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use callboard_domain::open_turns::OpenStatus;
use callboard_ports::record::Topic;
use futures_util::future::FutureExt;
use tokio::sync::watch;

use crate::limits::GAUGES_EVERY;
use crate::open_index::OpenSummary;
use crate::shared::Shared;

/// The consumer group that owns conversations.
pub const HOST_GROUP: &str = "callboard-host";
/// The group of the history projection.
pub const HISTORY_GROUP: &str = "callboard-history";

/// How far one partition of a topic has been worked off.
pub trait Progress: Send + Sync {
    /// Everything below this offset is done; `None`: the partition is somebody else's by now.
    fn done_below(&self) -> Option<u64>;
}

/// Whose part of what.
type Part = (Arc<str>, Topic, u32);

enum Watched {
    Window(Weak<dyn Progress>),
    Noted(u64),
}

impl Watched {
    fn done_below(&self) -> Option<u64> {
        match self {
            Self::Window(window) => window.upgrade()?.done_below(),
            Self::Noted(offset) => Some(*offset),
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Gauges {
    open: Mutex<BTreeMap<u32, OpenSummary>>,
    watched: Mutex<BTreeMap<Part, Watched>>,
}

impl Gauges {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u32, OpenSummary>> {
        self.open.lock().expect("no holder of this lock panics")
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<Part, Watched>> {
        self.watched.lock().expect("no holder of this lock panics")
    }

    /// What is open in a partition.
    pub fn set_open(&self, partition: u32, summary: OpenSummary) {
        self.open().insert(partition, summary);
    }

    /// The partition is not ours any more, or its host starts again.
    pub fn forget_open(&self, partition: u32) {
        self.open().remove(&partition);
    }

    /// From now on it is known how far a group is behind with a partition, for as long as somebody holds `progress`.
    pub fn watch<P: Progress + 'static>(
        &self,
        group: &str,
        (topic, partition): (Topic, u32),
        progress: &Arc<P>,
    ) {
        let progress: Arc<dyn Progress> = progress.clone();
        self.watched().insert((group.into(), topic, partition), Watched::Window(Arc::downgrade(&progress)));
    }

    /// How far a group has come with a partition.
    pub fn note(&self, group: &str, (topic, partition): (Topic, u32), done_below: u64) {
        self.watched().insert((group.into(), topic, partition), Watched::Noted(done_below));
    }

    /// Every part and how far it is done; those that nobody holds any more are forgotten.
    fn parts(&self) -> Vec<(Part, u64)> {
        let mut parts = Vec::new();
        self.watched().retain(|part, watched| {
            let done_below = watched.done_below();
            parts.extend(done_below.map(|done_below| (part.clone(), done_below)));
            done_below.is_some()
        });
        parts
    }
}

/// Sets the metrics of `shared.gauges` until the node stops.
pub fn keep(shared: &Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    /// The log is asked for its ends in every so many rounds only.
    const LAG_ROUNDS: u32 = 3;
    let of = shared.clone();
    let keep = async move {
        let mut told = Told::default();
        for round in 0_u32.. {
            tokio::select! {
                biased;
                _ = stopped.changed() => return,
                () = of.ports.clock.sleep(GAUGES_EVERY) => {}
            }
            told.tell_open(&of);
            if round.is_multiple_of(LAG_ROUNDS) {
                told.tell_lag(&of).await;
            }
        }
    };
    shared.ports.placement.spawn_on(0, Box::new(move || keep.boxed_local()));
}

/// What the metrics say, so that what is gone can be taken out.
#[derive(Default)]
struct Told {
    partitions: BTreeSet<u32>,
    lags: BTreeSet<(Arc<str>, u32)>,
}

impl Told {
    fn tell_open(&mut self, shared: &Shared) {
        let (metrics, now_ms) = (&shared.metrics, shared.now_ms());
        let open = shared.gauges.open().clone();
        for status in OpenStatus::ALL {
            let at = status as usize;
            let oldest_ms = open.values().filter_map(|summary| summary.oldest_ms[at]).min();
            let age_ms = oldest_ms.map_or(0, |oldest_ms| u64::try_from(now_ms - oldest_ms).unwrap_or(0));
            let count = open.values().map(|summary| summary.turns[at]).sum();
            metrics.set_open_turns(status.as_str(), count, age_ms);
        }
        let waiting = open.values().map(|summary| summary.approvals).sum();
        let since_ms = open.values().filter_map(|summary| summary.approval_since_ms).min();
        let age_ms = since_ms.map_or(0, |since_ms| u64::try_from(now_ms - since_ms).unwrap_or(0));
        metrics.set_approvals(waiting, age_ms);
        let partitions: BTreeSet<u32> = open.keys().copied().collect();
        for (partition, summary) in &open {
            metrics.set_in_doubt(*partition, summary.doubts);
        }
        for gone in self.partitions.difference(&partitions) {
            metrics.forget_partition(*gone);
        }
        self.partitions = partitions;
    }

    async fn tell_lag(&mut self, shared: &Shared) {
        let mut ends: BTreeMap<(Topic, u32), u64> = BTreeMap::new();
        let mut lags = BTreeSet::new();
        for ((group, topic, partition), done_below) in shared.gauges.parts() {
            let end = match ends.get(&(topic, partition)) {
                Some(end) => *end,
                None => match shared.ports.log.bounds(topic, partition).await {
                    Ok(bounds) => *ends.entry((topic, partition)).or_insert(bounds.end),
                    // A log that is away says nothing new: the old numbers stay.
                    Err(_) => return,
                },
            };
            shared.metrics.set_lag(&group, partition, end.saturating_sub(done_below));
            lags.insert((group, partition));
        }
        for (group, partition) in self.lags.difference(&lags) {
            shared.metrics.forget_lag(group, *partition);
        }
        self.lags = lags;
    }
}
