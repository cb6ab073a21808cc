//! The vocabulary of the cases: fresh names, patient waiting, appending through back-pressure, reading by key.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::harness::LogHarness;
use crate::inbox::{Committed, InboxEvent, Membership};
use crate::log::{AppendError, Log, LogError, TailEvent};
use crate::record::{NewRecord, Record, Topic};

/// A name that nobody else uses: of a key, a group, a conversation.
#[must_use]
pub fn fresh(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos();
    format!("{name}-{nanos:x}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for `future` as long as the harness is patient.
pub async fn within<T>(harness: &dyn LogHarness, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(harness.patience(), future).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting for {what} after {:?}", harness.patience()),
    }
}

#[must_use]
pub fn record(topic: Topic, partition: u32, key: &str, value: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        topic,
        partition,
        key: Bytes::from(key.to_owned()),
        headers: [("case", key)].into_iter().collect(),
        value: value.into(),
    }
}

/// Appends, waiting out back-pressure, and gives the offsets.
pub async fn append(harness: &dyn LogHarness, batch: Vec<NewRecord>) -> Vec<u64> {
    within(harness, "an append", append_to(&*harness.log(), batch)).await.expect("the append is acknowledged")
}

/// Appends to `log`; a full queue is waited out.
///
/// # Errors
/// Whatever else the append or its receipt says.
pub async fn append_to(log: &dyn Log, batch: Vec<NewRecord>) -> Result<Vec<u64>, AppendError> {
    loop {
        match log.append(batch.clone()) {
            Ok(receipt) => return receipt.await.expect("a receipt is always answered"),
            Err(AppendError::Full) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => return Err(error),
        }
    }
}

/// Everything a replay gives, and the error that ended it, if one did.
pub async fn replay(
    harness: &dyn LogHarness,
    topic: Topic,
    partition: u32,
    ranges: Vec<Range<u64>>,
    key: Option<&str>,
) -> (Vec<Record>, Option<LogError>) {
    let mut batches = harness.log().replay(topic, partition, ranges, key.map(str::to_owned));
    let mut records = Vec::new();
    let mut ended_by = None;
    within(harness, "the end of a replay", async {
        while let Some(item) = batches.recv().await {
            assert!(ended_by.is_none(), "an error is the last item of a replay");
            match item {
                Ok(batch) => {
                    assert!(!batch.records.is_empty(), "a batch is never empty");
                    assert_eq!((batch.topic, batch.partition), (topic, partition));
                    records.extend(batch.records.iter().cloned());
                }
                Err(error) => ended_by = Some(error),
            }
        }
    })
    .await;
    assert_in_order(&records);
    (records, ended_by)
}

/// Offsets ascend.
pub fn assert_in_order(records: &[Record]) {
    for pair in records.windows(2) {
        assert!(pair[0].offset < pair[1].offset, "{} before {}", pair[0].offset, pair[1].offset);
    }
}

/// The next event of a lane.
pub async fn next<T>(harness: &dyn LogHarness, what: &str, lane: &mut mpsc::Receiver<T>) -> T {
    within(harness, what, lane.recv()).await.unwrap_or_else(|| panic!("the lane ended before {what}"))
}

/// Reads a tail's lane until `wanted` records of `key` came in generation `generation`, and gives those.
pub async fn tail_until(
    harness: &dyn LogHarness,
    lane: &mut mpsc::Receiver<TailEvent>,
    key: &str,
    wanted: usize,
    generation: u64,
) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    while records.len() < wanted {
        match next(harness, &format!("record {} of {wanted}", records.len() + 1), lane).await {
            TailEvent::Batch { batch, generation: of } if of == generation => {
                assert!(!batch.records.is_empty(), "a batch is never empty");
                records.extend(batch.records.iter().filter(|r| r.key == key.as_bytes()).cloned());
            }
            TailEvent::Batch { .. } => {}
            TailEvent::Failed { error, .. } => panic!("the tail failed: {error}"),
        }
    }
    assert_in_order(&records);
    records
}

/// One member under test: what it was told, as a story goes on.
pub struct Member {
    pub membership: Membership,
    /// Partitions it has, each with the committed position it was assigned with.
    pub assigned: Vec<(u32, Option<Committed>)>,
    /// Records, in order of arrival.
    pub records: Vec<Record>,
}

impl Member {
    #[must_use]
    pub fn new(membership: Membership) -> Self {
        assert_eq!(membership.lanes.len(), 1, "stories of members use one lane");
        Self { membership, assigned: Vec::new(), records: Vec::new() }
    }

    #[must_use]
    pub fn has(&self, partition: u32) -> bool {
        self.assigned.iter().any(|(p, _)| *p == partition)
    }

    /// Takes one event in; a revocation is handed back to the story.
    pub fn take(&mut self, event: InboxEvent) -> Option<InboxEvent> {
        match event {
            InboxEvent::Assigned { partition, committed } => {
                assert!(!self.has(partition), "partition {partition} is assigned once at a time");
                self.assigned.push((partition, committed));
                None
            }
            InboxEvent::Batch(batch) => {
                assert!(!batch.records.is_empty(), "a batch is never empty");
                assert!(self.has(batch.partition), "records come after Assigned");
                self.records.extend(batch.records.iter().cloned());
                None
            }
            other => Some(other),
        }
    }

    /// Reads on until `done`; nothing is expected to be taken away meanwhile.
    pub async fn until(&mut self, harness: &dyn LogHarness, what: &str, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let event = next(harness, what, &mut self.membership.lanes[0]).await;
            if let Some(other) = self.take(event) {
                panic!("while waiting for {what}: {other:?}");
            }
        }
    }

    /// Values of the records of `key`, in order of arrival.
    #[must_use]
    pub fn values(&self, key: &str) -> Vec<Bytes> {
        self.records.iter().filter(|r| r.key == key.as_bytes()).map(|r| r.value.clone()).collect()
    }

    /// Leaves, draining meanwhile: a member that leaves may still be handed its revocations.
    pub async fn leave(self, harness: &dyn LogHarness) {
        let Membership { control, mut lanes } = self.membership;
        within(harness, "leaving", async {
            let drain = async { while lanes[0].recv().await.is_some() {} };
            tokio::join!(control.leave(), drain);
        })
        .await;
    }
}
