//! What an implementation gives to the contract suites: itself, and which capabilities it has.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;

use crate::in_hand::InHand;
use crate::inbox::Inbox;
use crate::log::Log;
use crate::record::Topic;
use crate::snapshot::SnapshotStore;

/// A log under test, with at least 2 partitions per topic.
pub trait LogHarness: Send + Sync {
    fn log(&self) -> Arc<dyn Log>;

    /// Groups are joined here, as one process.
    fn inbox(&self) -> Arc<dyn Inbox>;

    /// Another process's inbox on the same log; `None` where the log has one process only.
    fn other_inbox(&self) -> Option<Arc<dyn Inbox>> {
        None
    }

    /// Closes the log in good order and opens it again; `log` and `inbox` give the new one afterwards.
    /// False where that is not possible; the cases about it are then left out.
    fn reopen(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }

    /// Deletes the records of a partition below `before`, as retention would. False where that is not possible.
    fn trim(&self, _topic: Topic, _partition: u32, _before: u64) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }

    /// The log's own clock, epoch milliseconds.
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        i64::try_from(since.as_millis()).expect("this side of the year 292 million")
    }

    /// How long a condition may take to come true before the case fails: a rebalance on a busy machine.
    fn patience(&self) -> Duration {
        Duration::from_secs(40)
    }
}

/// A snapshot store under test, empty at first.
pub trait SnapshotHarness: Send + Sync {
    fn store(&self) -> Arc<dyn SnapshotStore>;

    /// Closes the store and opens it again. False where nothing is kept.
    fn reopen(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }

    /// Closes the store, damages what it wrote, opens it again. False where there is nothing to damage.
    fn damage(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }
}

/// Notes of work in hand under test.
pub trait InHandHarness: Send + Sync {
    fn notes(&self) -> Arc<dyn InHand>;

    /// The process dies, as by SIGKILL, and starts again; `notes` gives the new ones afterwards.
    fn crash(&self);

    /// The process ends in good order and starts again. False where that is no different from a crash.
    fn restart(&self) -> bool {
        false
    }
}
