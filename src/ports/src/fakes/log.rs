//! `MemoryLog`: a log in memory, shared by as many "processes" as a test wants. Lanes and groups are those of
//! [`local`](crate::local); they run as tasks of the runtime that opens them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::inbox::{Committed, Inbox, Joining, Membership};
use crate::local::{self, Groups, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Positions, Source, Spawner, Wakers};
use crate::log::{AppendError, Batch, Bounds, Log, LogError, LogIdentity, Receipt, Tail};
use crate::record::{NewRecord, Record, Topic};

#[derive(Default)]
struct Partition {
    start: u64,
    records: Vec<Record>,
}

impl Partition {
    fn bounds(&self) -> Bounds {
        Bounds { start: self.start, end: self.start + self.records.len() as u64 }
    }
}

struct Topics {
    partitions: HashMap<(Topic, u32), Partition>,
    latest_ms: i64,
    interrupted: Option<AppendError>,
}

struct Store {
    partitions: u32,
    identity: LogIdentity,
    topics: Mutex<Topics>,
    wakers: Wakers,
}

impl Store {
    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Store {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Bounds {
        self.topics()
            .partitions
            .get(&(topic, partition))
            .map_or(Bounds { start: 0, end: 0 }, Partition::bounds)
    }

    fn read(&self, topic: Topic, partition: u32, from: u64, before: u64) -> Result<Vec<Record>, LogError> {
        let topics = self.topics();
        let Some(held) = topics.partitions.get(&(topic, partition)) else { return Ok(Vec::new()) };
        let Bounds { start, end } = held.bounds();
        if from < start {
            return Err(LogError::OutOfRange { topic, partition, wanted: from, start, end });
        }
        let mut bytes = 0;
        let from = (from.min(end) - start) as usize;
        let before = (before.clamp(start, end) - start) as usize;
        let wanted = held.records.get(from..before).unwrap_or_default().iter().take(MAX_BATCH_RECORDS);
        let fitting = wanted.take_while(|record| {
            let first = bytes == 0;
            bytes += record.size_bytes().max(1);
            first || bytes <= MAX_BATCH_BYTES
        });
        Ok(fitting.cloned().collect())
    }

    fn wakers(&self) -> &Wakers {
        &self.wakers
    }
}

type PositionKey = (String, Topic, u32);

#[derive(Default)]
struct MemoryPositions(Mutex<HashMap<PositionKey, Committed>>);

impl Positions for MemoryPositions {
    fn get(&self, group: &str, topic: Topic, partition: u32) -> Option<Committed> {
        let positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        positions.get(&(group.to_owned(), topic, partition)).cloned()
    }

    fn put(&self, group: &str, topic: Topic, partition: u32, position: Committed) {
        let mut positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        positions.insert((group.to_owned(), topic, partition), position);
    }

    fn settled(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A log in memory. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    store: Arc<Store>,
    source: Arc<dyn Source>,
    groups: Arc<Groups>,
    clock: Arc<dyn Clock>,
    spawner: Spawner,
}

impl MemoryLog {
    /// An empty log; lanes are opened and groups joined inside a tokio runtime.
    #[must_use]
    pub fn new(partitions: u32, clock: Arc<dyn Clock>) -> Self {
        let topics = Topics { partitions: HashMap::new(), latest_ms: i64::MIN, interrupted: None };
        let store = Arc::new(Store {
            partitions,
            identity: LogIdentity("memory".to_owned()),
            topics: Mutex::new(topics),
            wakers: Wakers::default(),
        });
        let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
        let source: Arc<dyn Source> = store.clone();
        let positions: Arc<MemoryPositions> = Arc::default();
        let groups = Groups::new(source.clone(), positions, spawner.clone());
        Self { store, source, groups, clock, spawner }
    }

    /// An inbox whose members are static, as a process with this instance id: joining a group a second time
    /// fences the first member. The log itself is an inbox of dynamic members.
    #[must_use]
    pub fn inbox_of(&self, instance: &str) -> Arc<dyn Inbox> {
        Arc::new(Process { groups: self.groups.clone(), instance: Some(instance.to_owned()) })
    }

    /// Deletes a partition's records below `before`, as retention does.
    pub fn trim(&self, topic: Topic, partition: u32, before: u64) {
        let mut topics = self.store.topics();
        let held = topics.partitions.entry((topic, partition)).or_default();
        let Bounds { start, end } = held.bounds();
        let cut = before.clamp(start, end);
        held.records.drain(..(cut - start) as usize);
        held.start = cut;
        drop(topics);
        self.store.wakers.wake(&[(topic, partition)]);
    }

    /// While `Some`, appends fail with this error; nothing is enqueued.
    pub fn interrupt(&self, error: Option<AppendError>) {
        self.store.topics().interrupted = error;
    }

    /// Every record of a topic, partition by partition, in offset order: for assertions.
    #[must_use]
    pub fn records(&self, topic: Topic) -> Vec<Record> {
        let topics = self.store.topics();
        let partitions = 0..self.store.partitions;
        partitions
            .filter_map(|partition| topics.partitions.get(&(topic, partition)))
            .flat_map(|held| held.records.iter().cloned())
            .collect()
    }
}

/// Why a batch cannot be appended to a log of so many partitions.
fn refusal(batch: &[NewRecord], partitions: u32) -> Option<String> {
    batch.iter().find_map(|new| {
        if new.partition >= partitions {
            let NewRecord { topic, partition, .. } = new;
            return Some(format!("{topic} has {partitions} partitions from 0; there is no {partition}"));
        }
        new.oversize()
    })
}

impl Log for MemoryLog {
    fn append(&self, batch: Vec<NewRecord>) -> Result<Receipt, AppendError> {
        if let Some(why) = refusal(&batch, self.store.partitions) {
            return Err(AppendError::Refused(why));
        }
        let mut topics = self.store.topics();
        if let Some(error) = &topics.interrupted {
            return Err(error.clone());
        }
        topics.latest_ms = topics.latest_ms.max(self.clock.now_ms());
        let timestamp_ms = topics.latest_ms;
        let mut offsets = Vec::with_capacity(batch.len());
        let mut touched = Vec::new();
        for NewRecord { topic, partition, key, headers, value } in batch {
            let held = topics.partitions.entry((topic, partition)).or_default();
            let offset = held.bounds().end;
            held.records.push(Record { topic, partition, offset, timestamp_ms, key, headers, value });
            offsets.push(offset);
            if !touched.contains(&(topic, partition)) {
                touched.push((topic, partition));
            }
        }
        drop(topics);
        self.store.wakers.wake(&touched);
        let (receipt, received) = oneshot::channel();
        let _ = receipt.send(Ok(offsets));
        Ok(received)
    }

    fn partitions(&self) -> u32 {
        self.store.partitions
    }

    fn bounds(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        let bounds = local::check_partition(&*self.source, topic, partition)
            .map(|()| self.source.bounds(topic, partition));
        Box::pin(std::future::ready(bounds))
    }

    fn identity(&self, _topic: Topic, _partition: u32) -> BoxFuture<'_, Result<LogIdentity, LogError>> {
        Box::pin(std::future::ready(Ok(self.store.identity.clone())))
    }

    fn replay(
        &self,
        topic: Topic,
        partition: u32,
        ranges: Vec<Range<u64>>,
        key: Option<String>,
    ) -> mpsc::Receiver<Result<Batch, LogError>> {
        local::replay(&self.source, &self.spawner, (topic, partition), ranges, key)
    }

    fn tail(&self, topic: Topic, lanes: usize) -> Result<Tail, LogError> {
        Ok(local::tail(&self.source, &self.spawner, topic, lanes))
    }

    fn flush(&self, _timeout: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Inbox for MemoryLog {
    fn join(&self, joining: Joining) -> Result<Membership, LogError> {
        Ok(self.groups.join(joining, None))
    }
}

struct Process {
    groups: Arc<Groups>,
    instance: Option<String>,
}

impl Inbox for Process {
    fn join(&self, joining: Joining) -> Result<Membership, LogError> {
        Ok(self.groups.join(joining, self.instance.clone()))
    }
}
