//! Proof of life from above: members give their partitions back while the process is wedged.
//!
//! The guardian beats; `inbox` looks. A process whose actors hang would otherwise keep its partitions for ever, since
//! librdkafka's own threads go on sending heartbeats to the broker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// After this long without a beat the process counts as wedged (design §5).
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(5);

/// Beaten from above; never beaten means not in use.
#[derive(Debug)]
pub struct Heartbeat {
    epoch: Instant,
    /// Milliseconds after `epoch` of the last beat, plus 1; 0 before the first.
    last: AtomicU64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { epoch: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Heartbeat {
    /// The process is alive. From the first beat on it has to be beaten at least every few seconds.
    pub fn beat(&self) {
        self.last.store(self.now() + 1, Ordering::Relaxed);
    }

    /// How long ago the last beat was; nothing before the first.
    pub(crate) fn age(&self) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.now().saturating_sub(last)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// One thread's view of the heartbeat. The thread counts its own ticks: one that comes more than a second late means
/// that the whole process stood still (SIGSTOP, a sleeping laptop), and the count starts again.
#[derive(Debug)]
pub(crate) struct Watchdog {
    last_tick: Instant,
    counts_from: Instant,
}

impl Watchdog {
    const LATE: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { last_tick: now, counts_from: now }
    }

    /// Whether the process is wedged. To be called on every turn of the thread's loop.
    pub(crate) fn is_wedged(&mut self, heartbeat: &Heartbeat) -> bool {
        let now = Instant::now();
        if now.duration_since(self.last_tick) > Self::LATE {
            self.counts_from = now;
        }
        self.last_tick = now;
        let Some(age) = heartbeat.age() else { return false };
        age.min(now.duration_since(self.counts_from)) > STALE_AFTER
    }

    /// The thread itself was busy on purpose: its lateness says nothing.
    pub(crate) fn tick(&mut self) {
        self.last_tick = Instant::now();
    }
}
