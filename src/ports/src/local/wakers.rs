//! Who waits for new records: one bell per lane, rung by the log after an append became readable.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::record::Topic;

/// A lane's interest: the partitions of a topic that are `lane` modulo `lanes`.
struct Waiting {
    topic: Topic,
    lane: u32,
    lanes: u32,
    bell: Weak<Notify>,
}

/// The lanes that wait. As many as there are tails and memberships, a few dozen.
#[derive(Default)]
pub struct Wakers {
    waiting: Mutex<Vec<Waiting>>,
}

impl Wakers {
    pub(super) fn register(&self, topic: Topic, lane: u32, lanes: u32, bell: &Arc<Notify>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| other.bell.strong_count() > 0);
        waiting.push(Waiting { topic, lane, lanes, bell: Arc::downgrade(bell) });
    }

    /// Rings for every lane that reads one of `touched` partitions.
    pub fn wake(&self, touched: &[(Topic, u32)]) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in waiting.iter() {
            if touched.iter().any(|(topic, p)| *topic == lane.topic && p % lane.lanes == lane.lane)
                && let Some(bell) = lane.bell.upgrade()
            {
                bell.notify_one();
            }
        }
    }
}
