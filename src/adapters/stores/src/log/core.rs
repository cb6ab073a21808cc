//! What every part of an embedded log shares: the store, where each partition begins and ends, the ring, the
//! queue, and whether the log still lives. As a [`Source`] it serves the lanes of `ports::local`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use callboard_ports::inbox::Committed;
use callboard_ports::local::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Positions, Source, Wakers};
use callboard_ports::log::{Bounds, LogError, LogIdentity};
use callboard_ports::{Record, Topic};
use futures_util::future::BoxFuture;

use super::codec::{self, record_key};
use super::options::EmbeddedOptions;
use super::queue::{PositionKey, Queue};
use super::ring::Ring;
use super::session::Session;
use super::store::{Store, index};

pub(super) struct Core {
    pub(super) partitions: u32,
    pub(super) queue: Queue,
    pub(super) ring: Mutex<Ring>,
    /// Taken out when the log closes, so that the folder is free although readers still hold this.
    store: RwLock<Option<Store>>,
    starts: Vec<AtomicU64>,
    /// Raised by the writer once a batch is durable and in the ring: what lies below can be read.
    ends: Vec<AtomicU64>,
    wakers: Wakers,
    positions: Mutex<HashMap<PositionKey, Committed>>,
    identity: LogIdentity,
    request_identity: LogIdentity,
    failure: OnceLock<String>,
}

impl Core {
    pub(super) fn new(store: Store, session: Session, options: &EmbeddedOptions) -> Self {
        let about = session.about;
        let atomics = |values: Vec<u64>| values.into_iter().map(AtomicU64::new).collect();
        Self {
            partitions: options.partitions,
            queue: Queue::new(options.queue_records, options.queue_bytes),
            ring: Mutex::new(Ring::new(Topic::ALL.len() * options.partitions as usize, options.ring_bytes)),
            store: RwLock::new(Some(store)),
            starts: atomics(session.starts),
            ends: atomics(session.ends),
            wakers: Wakers::default(),
            positions: Mutex::new(session.positions),
            identity: LogIdentity(format!("embedded:{}:{}", about.log_id, about.epoch)),
            request_identity: LogIdentity(format!("embedded:{}:r{}", about.log_id, about.request_epoch)),
            failure: OnceLock::new(),
        }
    }

    pub(super) fn slot(&self, topic: Topic, partition: u32) -> usize {
        index(topic) * self.partitions as usize + partition as usize
    }

    pub(super) fn identity(&self, topic: Topic) -> LogIdentity {
        if topic.is_derivable() { self.request_identity.clone() } else { self.identity.clone() }
    }

    pub(super) fn start(&self, slot: usize) -> u64 {
        self.starts[slot].load(Ordering::Acquire)
    }

    pub(super) fn end(&self, slot: usize) -> u64 {
        self.ends[slot].load(Ordering::Acquire)
    }

    pub(super) fn set_start(&self, slot: usize, start: u64) {
        self.starts[slot].fetch_max(start, Ordering::AcqRel);
    }

    pub(super) fn set_end(&self, slot: usize, end: u64) {
        self.ends[slot].store(end, Ordering::Release);
    }

    /// The log failed for good: nothing is taken any more.
    pub(super) fn fail(&self, reason: String) {
        tracing::error!(reason, "the embedded log failed and takes nothing more");
        self.queue.fail(self.failure.get_or_init(|| reason));
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Lends the store, unless the log was closed.
    pub(super) fn with_store<T>(&self, work: impl FnOnce(&Store) -> T) -> Result<T, LogError> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.as_ref().map(work).ok_or_else(|| LogError::Closed("it was closed".to_owned()))
    }

    /// Lets go of the store; readers that are under way finish first.
    pub(super) fn take_store(&self) {
        drop(self.store.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The lowest position that any group keeps for a partition; `None` where no group does.
    pub(super) fn lowest_position(&self, topic: Topic, partition: u32) -> Option<u64> {
        let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let of_partition = positions.iter().filter(|((_, t, p), _)| *t == topic && *p == partition);
        of_partition.map(|(_, position)| position.next_offset).min()
    }

    fn read_store(
        &self,
        store: &Store,
        (topic, partition): (Topic, u32),
        from: u64,
        before: u64,
    ) -> Result<Vec<Record>, String> {
        let range = record_key(partition, from)..record_key(partition, before);
        let (mut records, mut bytes) = (Vec::new(), 0);
        for (guard, offset) in store.topic(topic).range(range).zip(from..) {
            let (key, value) = guard.into_inner().map_err(|error| error.to_string())?;
            if codec::offset_of(&key) != Some(offset) {
                break;
            }
            let place = (topic, partition, offset);
            let record = codec::decode(place, &value)
                .ok_or_else(|| format!("the record at {offset} has an unknown form"))?;
            bytes += record.size_bytes();
            if bytes > MAX_BATCH_BYTES && !records.is_empty() {
                break;
            }
            records.push(record);
            if records.len() == MAX_BATCH_RECORDS {
                break;
            }
        }
        Ok(records)
    }
}

impl Source for Core {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Bounds {
        let slot = self.slot(topic, partition);
        Bounds { start: self.start(slot), end: self.end(slot) }
    }

    fn read(&self, topic: Topic, partition: u32, from: u64, before: u64) -> Result<Vec<Record>, LogError> {
        let slot = self.slot(topic, partition);
        let before = before.min(self.end(slot));
        let recent = self.ring.lock().unwrap_or_else(PoisonError::into_inner).read(slot, from, before);
        if let Some(records) = recent {
            return Ok(records);
        }
        let read = self.with_store(|store| self.read_store(store, (topic, partition), from, before))?;
        let Bounds { start, end } = self.bounds(topic, partition);
        if from < start {
            return Err(LogError::OutOfRange { topic, partition, wanted: from, start, end });
        }
        read.and_then(
            |records| if records.is_empty() { Err(format!("no record at {from}")) } else { Ok(records) },
        )
        .map_err(|what| {
            let what = format!("{topic}/{partition}: {what}; `callboard doctor --repair-log` saves the rest");
            tracing::error!(what, "the embedded log cannot be read");
            LogError::Closed(what)
        })
    }

    fn wakers(&self) -> &Wakers {
        &self.wakers
    }
}

/// Committed positions: in memory at once, in `meta` soon.
pub(super) struct KeptPositions(pub(super) std::sync::Arc<Core>);

impl Positions for KeptPositions {
    fn get(&self, group: &str, topic: Topic, partition: u32) -> Option<Committed> {
        let positions = self.0.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.get(&(group.to_owned(), topic, partition)).cloned()
    }

    fn put(&self, group: &str, topic: Topic, partition: u32, position: Committed) {
        if partition >= self.0.partitions {
            return;
        }
        let key = (group.to_owned(), topic, partition);
        let mut positions = self.0.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.insert(key.clone(), position.clone());
        self.0.queue.put_position(key, position);
    }

    fn settled(&self) -> BoxFuture<'static, ()> {
        let written = self.0.queue.written();
        Box::pin(async move {
            // A closed log has written what it could.
            let _ = written.await;
        })
    }
}
