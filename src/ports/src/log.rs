//! The log: appended to, read back, the only arbiter.

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::record::{NewRecord, Record, Topic};

/// Why an append was not taken or is not known to be durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Nothing was enqueued: the local queue is full. Back-pressure: try again after a pause.
    #[error("the log's append queue is full")]
    Full,
    /// Nothing was enqueued: this record can never be appended.
    #[error("the record cannot be appended: {0}")]
    Refused(String),
    /// Enqueued, and its fate is unknown (timeout, lost connection): it may appear in the log later.
    #[error("the append was not acknowledged: {0}")]
    Unknown(String),
    /// The log takes nothing any more (closed, poisoned, disk full).
    #[error("the log is closed: {0}")]
    Closed(String),
}

/// The outcome of one enqueued batch: the offsets in the batch's order, once all its records are durable.
/// Dropping it is allowed: the append goes on.
pub type Receipt = oneshot::Receiver<Result<Vec<u64>, AppendError>>;

/// First offset held, and the offset that the next record will get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub start: u64,
    pub end: u64,
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not now: the broker is away, for example. Try again.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// These offsets are gone (retention) or never were.
    #[error("offset {wanted} of {topic}/{partition} is not in the log, which holds {start} to {end}")]
    OutOfRange { topic: Topic, partition: u32, wanted: u64, start: u64, end: u64 },
    #[error("the log is closed: {0}")]
    Closed(String),
}

/// Records of one partition in offset order, never empty.
#[derive(Debug, Clone)]
pub struct Batch {
    pub topic: Topic,
    pub partition: u32,
    pub records: Arc<[Record]>,
}

/// What a tail says about one partition.
#[derive(Debug, Clone)]
pub enum TailEvent {
    Batch {
        batch: Batch,
        /// The assignment it belongs to, as given to [`TailControl::assign`]; stale ones are dropped.
        generation: u64,
    },
    /// Reading this partition failed for good at this assignment: its position is gone from the log. (What
    /// is merely unavailable is retried inside.)
    Failed { partition: u32, generation: u64, error: LogError },
}

/// Starts and stops reading partitions of a tail. Takes effect soon, not at once.
pub trait TailControl: Send + Sync {
    /// Reads `partition` from `from` on, instead of whatever was read before.
    fn assign(&self, partition: u32, from: u64, generation: u64);
    fn unassign(&self, partition: u32);
}

/// A live reader of chosen partitions of one topic. Partition *p* speaks in lane *p mod lanes*, in offset
/// order. A lane that is not drained holds back its partitions, nothing else. Dropping control and lanes ends it.
pub struct Tail {
    pub control: Arc<dyn TailControl>,
    pub lanes: Vec<mpsc::Receiver<TailEvent>>,
}

/// Identity of a partition's content: two logs with different identities share no history. Kafka: cluster id
/// and a hash of the partition's first record; embedded: the log's id and an epoch raised at every unclean open
/// that lost acknowledged-but-unsynced records.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogIdentity(pub String);

/// A durable, partitioned log. Cheap to share.
pub trait Log: Send + Sync {
    /// Enqueues a batch, in order per partition and behind everything enqueued before; never blocks.
    ///
    /// # Errors
    /// [`AppendError::Full`], [`AppendError::Refused`] or [`AppendError::Closed`]: then nothing of the batch
    /// was enqueued.
    fn append(&self, batch: Vec<NewRecord>) -> Result<Receipt, AppendError>;

    /// The partition count of the conversation topics.
    fn partitions(&self) -> u32;

    /// Whether other processes may write to it.
    fn is_shared(&self) -> bool {
        true
    }

    fn bounds(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>>;

    fn identity(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<LogIdentity, LogError>>;

    /// Reads the offsets in `ranges` (ascending) once, in bounded batches, then closes the channel. With a
    /// `key`, only records of that key are given. The first error is the last item. A range that reaches
    /// beyond the end is read up to the end.
    fn replay(
        &self,
        topic: Topic,
        partition: u32,
        ranges: Vec<Range<u64>>,
        key: Option<String>,
    ) -> mpsc::Receiver<Result<Batch, LogError>>;

    /// Opens a tail with `lanes` lanes.
    ///
    /// # Errors
    /// When the reader cannot be built.
    fn tail(&self, topic: Topic, lanes: usize) -> Result<Tail, LogError>;

    /// Waits until everything enqueued so far has its fate, or the deadline passes.
    fn flush(&self, timeout: std::time::Duration) -> BoxFuture<'_, Result<(), LogError>>;
}
