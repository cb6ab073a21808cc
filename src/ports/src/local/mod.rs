//! Logs that live in this process: what the in-memory log and the embedded log share, above their storage.
//!
//! A [`Source`] gives records of a partition and says when there are more; [`tail`], [`replay`] and [`Groups`]
//! make of it what the ports promise. `lane` holds the one loop that speaks into a bounded channel.

mod group;
mod lane;
mod member;
mod replay;
mod tail;
mod wakers;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use group::{Groups, Positions};
pub use replay::replay;
pub use tail::tail;
pub use wakers::Wakers;

use crate::log::{Bounds, LogError};
use crate::record::{Record, Topic};

/// Records of one batch: what an arbiter can take in without keeping others waiting.
pub const MAX_BATCH_RECORDS: usize = 512;
/// Bytes of one batch (a single larger record still makes one).
pub const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Batches in a lane: with 256 KiB each a lane holds at most 4 MiB.
pub const LANE_CAPACITY: usize = 16;

/// Runs a task for as long as the log lives.
pub type Spawner = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// The storage of a log in this process.
pub trait Source: Send + Sync + 'static {
    fn partitions(&self) -> u32;

    /// What can be read now. `end` never goes down.
    fn bounds(&self, topic: Topic, partition: u32) -> Bounds;

    /// Records from `from` (which lies within the bounds) on, up to `before` and the limits; one record at
    /// least when there is one. Short: it runs on the thread of the lanes.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] when retention was faster, [`LogError::Closed`] when nothing can be read any more.
    fn read(&self, topic: Topic, partition: u32, from: u64, before: u64) -> Result<Vec<Record>, LogError>;

    /// Whom to wake when `bounds` change.
    fn wakers(&self) -> &Wakers;
}

/// Whether `partition` exists.
///
/// # Errors
/// [`LogError::OutOfRange`] when it does not.
pub fn check_partition(source: &dyn Source, topic: Topic, partition: u32) -> Result<(), LogError> {
    if partition < source.partitions() {
        return Ok(());
    }
    Err(LogError::OutOfRange { topic, partition, wanted: 0, start: 0, end: 0 })
}

/// Reads as `source` does, and takes nothing for an answer only where the log ends.
fn read_some(
    source: &dyn Source,
    (topic, partition): (Topic, u32),
    from: u64,
    before: u64,
) -> Result<Vec<Record>, LogError> {
    let records = source.read(topic, partition, from, before)?;
    match records.first() {
        Some(first) if first.offset == from => Ok(records),
        _ => Err(LogError::Closed(format!(
            "{topic}/{partition} has no record at {from}, which lies inside it"
        ))),
    }
}
