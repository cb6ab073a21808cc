//! Inboxes: topics consumed by a group, where being assigned a partition is ownership.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::log::{Batch, LogError};
use crate::record::Topic;

/// A committed position: the next offset to read, and a note of the committer's (bounded to 2 kB).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    pub next_offset: u64,
    pub metadata: String,
}

/// What a membership says, in order per partition.
#[derive(Debug)]
pub enum InboxEvent {
    /// The partition is ours; its records follow from the committed position (from the log's start where
    /// nothing was committed).
    Assigned { partition: u32, committed: Option<Committed> },
    /// Records, in offset order.
    Batch(Batch),
    /// The partition is being taken away. The group waits (bounded by the adapter) until `ack` is sent or
    /// dropped; commits sent before count.
    Revoked { partition: u32, ack: oneshot::Sender<()> },
    /// The partition is gone already (session lost): nothing may be committed.
    Lost { partition: u32 },
    /// Committed records were deleted before they were read: `from..to` are lost.
    Gap { partition: u32, from: u64, to: u64 },
    /// The membership is over for good: another member with our identity took over.
    Fenced { reason: String },
}

/// Steers a membership. None of it blocks.
pub trait InboxControl: Send + Sync {
    /// Commits `next_offset` for a partition of `topic` (usually the consumed topic; any other topic's
    /// position may be kept with the group too). Later commits of one partition replace earlier ones that
    /// are still under way.
    fn commit(&self, topic: Topic, partition: u32, position: Committed);

    /// The group's committed position, also for a topic that is not consumed.
    fn committed(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>>;

    /// Stops delivering records of a partition, keeping it.
    fn pause(&self, partition: u32);
    fn resume(&self, partition: u32);

    /// Commits what is asked for, gives the partitions back so that the next member gets them at once, and
    /// ends.
    fn leave(&self) -> BoxFuture<'_, ()>;
}

/// A member of a group. Partition *p* speaks in lane *p mod lanes*; `Fenced` is said in every lane.
pub struct Membership {
    pub control: Arc<dyn InboxControl>,
    pub lanes: Vec<mpsc::Receiver<InboxEvent>>,
}

/// Who joins what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Group id without prefix: `callboard-host`, `callboard-pool-NAME`, `callboard-synthesis`, `callboard-history`.
    pub group: String,
    pub topic: Topic,
    pub lanes: usize,
}

/// Where groups are joined.
pub trait Inbox: Send + Sync {
    /// Joins a group. What is unavailable is retried inside, for ever.
    ///
    /// # Errors
    /// When the consumer cannot be built at all.
    fn join(&self, joining: Joining) -> Result<Membership, LogError>;
}
