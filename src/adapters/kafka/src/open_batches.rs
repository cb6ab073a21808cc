//! Batches under way: admitted against bounds, so that a batch is enqueued whole or not at all; waited for by `flush`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use callboard_ports::log::LogError;
use tokio::sync::Notify;

/// Ten seconds of 5,000 records a second: what a broker's restart leaves waiting.
pub(crate) const MAX_RECORDS: usize = 50_000;
/// Seventy records of the largest kind; memory that an outage may cost.
pub(crate) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct OpenBatches {
    max_records: usize,
    max_bytes: usize,
    inner: Mutex<Inner>,
    closed_one: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// Records and bytes by batch number.
    open: BTreeMap<u64, (usize, usize)>,
    records: usize,
    bytes: usize,
}

impl Default for OpenBatches {
    fn default() -> Self {
        Self::within(MAX_RECORDS, MAX_BYTES)
    }
}

impl OpenBatches {
    /// With bounds of librdkafka's own queue, where those are set lower than ours.
    pub(crate) fn within(records: usize, bytes: usize) -> Self {
        Self {
            max_records: records.min(MAX_RECORDS),
            max_bytes: bytes.min(MAX_BYTES),
            inner: Mutex::default(),
            closed_one: Notify::new(),
        }
    }

    /// Counts a batch in; `None` when it must wait. An empty queue takes any batch.
    pub(crate) fn admit(&self, records: usize, bytes: usize) -> Option<u64> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = inner.records + records <= self.max_records && inner.bytes + bytes <= self.max_bytes;
        if !fits && !inner.open.is_empty() {
            return None;
        }
        let number = inner.next;
        inner.next += 1;
        inner.records += records;
        inner.bytes += bytes;
        inner.open.insert(number, (records, bytes));
        Some(number)
    }

    /// A batch has its fate.
    pub(crate) fn close(&self, number: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((records, bytes)) = inner.open.remove(&number) {
            inner.records -= records;
            inner.bytes -= bytes;
        }
        drop(inner);
        self.closed_one.notify_waiters();
    }

    /// Waits until every batch admitted so far has its fate.
    pub(crate) async fn settled(&self, timeout: Duration) -> Result<(), LogError> {
        let before = self.inner.lock().unwrap_or_else(PoisonError::into_inner).next;
        let all = async {
            loop {
                let closed = self.closed_one.notified();
                if self.oldest().is_none_or(|oldest| oldest >= before) {
                    return;
                }
                closed.await;
            }
        };
        tokio::time::timeout(timeout, all).await.map_err(|_| {
            let left = self.inner.lock().unwrap_or_else(PoisonError::into_inner).records;
            LogError::Unavailable(format!("{left} records were not acknowledged within {timeout:?}"))
        })
    }

    fn oldest(&self) -> Option<u64> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).open.keys().next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RECORDS, OpenBatches};
    use std::time::Duration;

    #[tokio::test]
    async fn a_batch_is_taken_whole_or_not_at_all_and_flush_waits_for_it() {
        let open = OpenBatches::default();
        let first = open.admit(MAX_RECORDS - 1, 10).expect("room");
        assert_eq!(open.admit(2, 10), None, "two do not fit where one does");
        let second = open.admit(1, 10).expect("one fits");
        assert!(open.settled(Duration::from_millis(5)).await.is_err());
        open.close(second);
        open.close(first);
        open.settled(Duration::from_millis(5)).await.expect("all have their fate");
        let large = open.admit(MAX_RECORDS * 2, 1).expect("an empty queue takes any batch");
        assert_eq!(open.admit(1, 1), None);
        open.close(large);
    }
}
