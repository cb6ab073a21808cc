//! What a consumer's thread sleeps on: rung by librdkafka when its queue fills, and by callers that want something.
//!
//! A `BaseConsumer` can only be woken by messages, so a thread that slept in its `poll` would notice a pause, a commit
//! or a farewell late. Neighbours: `tail`, `inbox`.

use std::sync::OnceLock;
use std::thread::{self, Thread};
use std::time::Duration;

/// librdkafka rings when its queue turns from empty to not empty. Should an edge ever be missed (log lines share the
/// queue), this is how late the thread looks by itself.
pub(crate) const LONGEST_NAP: Duration = Duration::from_millis(100);
/// A full lane cannot ring when it is drained; this is how often a thread with waiting batches tries again.
pub(crate) const LANE_RETRY: Duration = Duration::from_millis(1);

/// Wakes one thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    sleeper: OnceLock<Thread>,
}

impl Bell {
    /// The calling thread is the one to wake from now on.
    pub(crate) fn here(&self) {
        let _ = self.sleeper.set(thread::current());
    }

    /// Wakes the thread, or makes its next sleep end at once.
    pub(crate) fn ring(&self) {
        if let Some(thread) = self.sleeper.get() {
            thread.unpark();
        }
    }

    /// Sleeps until rung, at most `longest`. Only on the thread that called [`Bell::here`].
    pub(crate) fn sleep(&self, longest: Duration) {
        thread::park_timeout(longest);
    }
}
