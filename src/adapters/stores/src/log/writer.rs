//! The writer thread: the only one that writes. It drains the queue, gives offsets and timestamps, commits one
//! batch with its durability set on the batch, and only then lets readers see it and answers the receipts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callboard_ports::inbox::Committed;
use callboard_ports::local::Source;
use callboard_ports::log::AppendError;
use callboard_ports::{NewRecord, Record, Topic};
use fjall::OwnedWriteBatch;

use super::codec::{encode, record_key};
use super::core::Core;
use super::options::{Fsync, Retention};
use super::queue::{Append, Drain, PositionKey};
use super::retention::{SWEEP_EVERY, Sweep};
use super::session::{About, position_key, position_value};
use super::store::{MARK_KEY, Store, persist};

/// Between two steps of retention while it has more to do: it takes a small share of a busy writer's time.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Writer {
    pub(super) core: Arc<Core>,
    pub(super) fsync: Fsync,
    pub(super) retention: Retention,
    pub(super) about: About,
    pub(super) latest_ms: i64,
}

impl Writer {
    /// Runs until the queue is closed and empty, or the store fails.
    pub(super) fn run(mut self) {
        let core = self.core.clone();
        match catch_unwind(AssertUnwindSafe(|| self.write_until_closed())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => core.fail(error),
            Err(_) => core.fail("the writer thread panicked".to_owned()),
        }
    }

    fn write_until_closed(&mut self) -> Result<(), String> {
        let mut sweep = Sweep::default();
        let mut next_step = Instant::now();
        loop {
            let drain = self.core.queue.next(next_step.saturating_duration_since(Instant::now()));
            let last = drain.last;
            self.write(drain)?;
            if last {
                return self.end_in_good_order();
            }
            if Instant::now() >= next_step {
                let more = sweep.step(self, self.retention)?;
                next_step = Instant::now() + if more { SWEEP_PAUSE } else { SWEEP_EVERY };
            }
        }
    }

    fn write(&mut self, drain: Drain) -> Result<(), String> {
        let Drain { appends, positions, trims, waiting, .. } = drain;
        let (requests, others): (Vec<_>, Vec<_>) = appends.into_iter().partition(is_derivable);
        // Requests wait for no fsync, and so not for that of the others either. What the order between topics
        // means is kept by whoever appends: a request follows an event that was read back.
        self.commit(requests, &[], false)?;
        let synced = self.fsync != Fsync::Never;
        if self.fsync == Fsync::Always {
            for append in others {
                self.commit(vec![append], &[], true)?;
            }
            self.commit(Vec::new(), &positions, !waiting.is_empty())?;
        } else {
            let sync = synced && (!others.is_empty() || !waiting.is_empty());
            self.commit(others, &positions, sync)?;
        }
        for trim in trims {
            let slot = self.core.slot(trim.topic, trim.partition);
            let before = trim.before.min(self.core.end(slot));
            while self.core.start(slot) < before {
                self.delete(trim.topic, trim.partition, before)?;
            }
        }
        for done in waiting {
            let _ = done.send(());
        }
        Ok(())
    }

    /// One batch: all of it or nothing, durable before anybody sees it.
    fn commit(
        &mut self,
        appends: Vec<Append>,
        positions: &[(PositionKey, Committed)],
        sync: bool,
    ) -> Result<(), String> {
        if appends.is_empty() && positions.is_empty() {
            return Ok(());
        }
        let timestamp_ms = self.now_ms();
        let mut written = Written::default();
        let committed = self.core.with_store(|store| {
            let mut batch = store.db.batch().durability(persist(sync));
            for append in appends {
                written.append(&self.core, store, &mut batch, append, timestamp_ms);
            }
            for (key, position) in positions {
                batch.insert(&store.meta, position_key(key), position_value(position));
            }
            batch.insert(&store.meta, MARK_KEY, [u8::from(sync)]);
            batch.commit().map_err(|error| error.to_string())
        });
        match committed.map_err(|error| error.to_string()).flatten() {
            Ok(()) => {
                written.publish(&self.core);
                Ok(())
            }
            Err(error) => {
                let reason = format!("a write failed: {error}");
                written.fail(&reason);
                Err(reason)
            }
        }
    }

    /// LogAppendTime: the machine's clock, never going back.
    fn now_ms(&mut self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.latest_ms = self.latest_ms.max(now_ms);
        self.latest_ms
    }

    /// Deletes the next stretch of a partition below `before` and raises its start.
    pub(super) fn delete(&self, topic: Topic, partition: u32, before: u64) -> Result<(), String> {
        /// Tombstones of one batch: a few milliseconds between two appends.
        const STRETCH: u64 = 4_096;
        let slot = self.core.slot(topic, partition);
        let start = self.core.start(slot);
        let end = before.min(start + STRETCH).min(self.core.end(slot));
        if end <= start {
            return Ok(());
        }
        let deleted = self.core.with_store(|store| {
            let mut batch = store.db.batch().durability(persist(false));
            for offset in start..end {
                batch.remove(store.topic(topic), record_key(partition, offset));
            }
            let key = super::session::start_key(topic, partition);
            batch.insert(&store.meta, key, end.to_be_bytes());
            batch.insert(&store.meta, MARK_KEY, [0]);
            // Readers must not find a hole where records were a moment ago.
            self.core.set_start(slot, end);
            batch.commit()
        });
        deleted.map_err(|error| error.to_string())?.map_err(|error| format!("a deletion failed: {error}"))?;
        self.core.wakers().wake(&[(topic, partition)]);
        Ok(())
    }

    fn end_in_good_order(&self) -> Result<(), String> {
        let about = self.about.clone().end();
        let written = self.core.with_store(|store| about.write(store));
        written.map_err(|error| error.to_string())?.map_err(|error| format!("closing failed: {error}"))
    }
}

/// Whether nothing of an append needs an fsync.
fn is_derivable(append: &Append) -> bool {
    append.records.iter().all(|record| record.topic.is_derivable())
}

type Answer = tokio::sync::oneshot::Sender<Result<Vec<u64>, AppendError>>;

/// What a batch holds, until it is committed.
#[derive(Default)]
struct Written {
    records: Vec<(usize, Record)>,
    /// Partitions of this batch, each with the end that it will have.
    ends: Vec<(Topic, u32, u64)>,
    receipts: Vec<(Answer, Vec<u64>)>,
}

impl Written {
    fn append(
        &mut self,
        core: &Core,
        store: &Store,
        batch: &mut OwnedWriteBatch,
        append: Append,
        timestamp_ms: i64,
    ) {
        let mut offsets = Vec::with_capacity(append.records.len());
        for new in append.records {
            let offset = self.next_offset(core, new.topic, new.partition);
            let key = record_key(new.partition, offset);
            batch.insert(store.topic(new.topic), key, encode(&new, timestamp_ms));
            let NewRecord { topic, partition, key, headers, value } = new;
            let record = Record { topic, partition, offset, timestamp_ms, key, headers, value };
            self.records.push((core.slot(topic, partition), record));
            offsets.push(offset);
        }
        self.receipts.push((append.receipt, offsets));
    }

    fn next_offset(&mut self, core: &Core, topic: Topic, partition: u32) -> u64 {
        let known = self.ends.iter_mut().find(|(t, p, _)| *t == topic && *p == partition);
        if let Some((_, _, end)) = known {
            *end += 1;
            return *end - 1;
        }
        let offset = core.end(core.slot(topic, partition));
        self.ends.push((topic, partition, offset + 1));
        offset
    }

    /// Readers first, then those who wait for the receipt: what is acknowledged can be read.
    fn publish(self, core: &Core) {
        let mut ring = core.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, record) in self.records {
            ring.push(slot, record);
        }
        drop(ring);
        let mut touched = Vec::with_capacity(self.ends.len());
        for (topic, partition, end) in self.ends {
            core.set_end(core.slot(topic, partition), end);
            touched.push((topic, partition));
        }
        core.wakers().wake(&touched);
        for (receipt, offsets) in self.receipts {
            let _ = receipt.send(Ok(offsets));
        }
    }

    fn fail(self, reason: &str) {
        for (receipt, _) in self.receipts {
            let _ = receipt.send(Err(AppendError::Unknown(reason.to_owned())));
        }
    }
}
