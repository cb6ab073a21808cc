//! Snapshots: a cache of folded states beside the log, never trusted blindly.
//!
//! One [`Flush`] carries everything that belongs together (snapshots, offset index, what is open, checkpoint) and
//! is written atomically: a checkpoint is never ahead of the snapshots that it relies on.

use std::ops::Range;

use callboard_domain::conversation::{FOLD_VERSION, State};
use callboard_domain::id::ConversationId;
use callboard_domain::open_turns::OpenBrief;
use callboard_domain::time::Millis;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::log::LogIdentity;

/// Why the store cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// What lies there does not verify: the caller discards the store's content and rebuilds from the log.
    #[error("the snapshot store does not verify: {0}")]
    Corrupt(String),
    #[error("the snapshot store failed: {0}")]
    Failed(String),
}

/// Where replay of a partition starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub identity: LogIdentity,
    /// Every event below is covered by its conversation's stored snapshot.
    pub next_offset: u64,
}

/// What the store knows of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// Encoded state (see [`encode`]), if a snapshot was written.
    pub snapshot: Option<Vec<u8>>,
    /// Offsets of its events below the checkpoint, ascending, coalesced (a range may cover other
    /// conversations' records too).
    pub offsets: Vec<Range<u64>>,
}

/// What a conversation has open, kept in an index of its own: a start reads this, and no snapshot, to know what it has
/// to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Open {
    /// When it wants to be looked at, past where something is due already; `None`: time alone changes nothing.
    pub wake_at_ms: Option<Millis>,
    /// Its open turns and doubts, in brief.
    pub turns: Vec<OpenBrief>,
}

impl Open {
    /// Its place in the index: by wake time, those that time does not change last.
    #[must_use]
    pub fn place_ms(&self) -> Millis {
        self.wake_at_ms.unwrap_or(Millis::MAX)
    }

    /// As bytes, for engines.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("an Open has only types that postcard can write")
    }

    /// From bytes; `None` where they are not an `Open` of this build.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// One conversation's part of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirty {
    pub conversation: ConversationId,
    /// Encoded state, replacing the previous one.
    pub snapshot: Vec<u8>,
    /// Offsets of its events since the previous flush, ascending, added to the index (adding the same again
    /// is harmless).
    pub offsets: Vec<u64>,
    /// What is open in it, replacing what was; `None`: nothing.
    pub open: Option<Open>,
}

/// An atomic write for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flush {
    pub partition: u32,
    pub dirty: Vec<Dirty>,
    pub checkpoint: Checkpoint,
}

/// Where snapshots are kept. All methods run elsewhere (one store thread with a bounded queue): they may wait, they
/// never block the caller's thread. Panics and hangs of an engine become [`SnapshotError::Failed`].
pub trait SnapshotStore: Send + Sync {
    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<Option<Checkpoint>, SnapshotError>>;

    fn load(
        &self,
        partition: u32,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<Stored, SnapshotError>>;

    /// Writes a flush; durable to the engine's own measure when it returns.
    fn flush(&self, flush: Flush) -> BoxFuture<'_, Result<(), SnapshotError>>;

    /// Conversations with something open, in the order of [`Open::place_ms`], at most `limit`.
    fn open_turns(
        &self,
        partition: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(ConversationId, Open)>, SnapshotError>>;

    /// Conversation ids of a partition in order, after `after`, at most `limit`.
    fn conversations(
        &self,
        partition: u32,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ConversationId>, SnapshotError>>;

    /// Forgets everything of a partition; what did not verify is moved aside where the engine can.
    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<(), SnapshotError>>;

    /// Flushes and closes; later calls fail.
    fn close(&self) -> BoxFuture<'_, ()>;
}

const MAGIC: &[u8; 4] = b"CBS1";

/// Encodes a state with everything that is needed to mistrust it later: magic, fold version, partition,
/// the log's identity, the state (postcard) and a CRC-32 of all that.
#[must_use]
pub fn encode(state: &State, partition: u32, identity: &LogIdentity) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FOLD_VERSION.to_be_bytes());
    out.extend_from_slice(&partition.to_be_bytes());
    out.extend_from_slice(&(identity.0.len() as u32).to_be_bytes());
    out.extend_from_slice(identity.0.as_bytes());
    let mut out = postcard::to_extend(state, out).expect("a State has only types that postcard can write");
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out
}

/// Why a stored value is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it was folded by version {found}, this build folds by {FOLD_VERSION}")]
    OtherFold { found: u32 },
    #[error("it belongs to another log or partition")]
    OtherLog,
    #[error("it lies beyond the end of the log")]
    BeyondTheEnd,
}

/// Decodes and verifies; `end` is the log's end offset.
///
/// # Errors
/// [`NotUsable`] says why the value must be rebuilt from the log.
pub fn decode(
    bytes: &[u8],
    conversation: &ConversationId,
    partition: u32,
    identity: &LogIdentity,
    end: u64,
) -> Result<State, NotUsable> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(NotUsable::Damaged("too short"))?;
    if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
        return Err(NotUsable::Damaged("checksum"));
    }
    let rest = body.strip_prefix(MAGIC).ok_or(NotUsable::Damaged("magic"))?;
    let (fold, rest) = take_u32(rest)?;
    if fold != FOLD_VERSION {
        return Err(NotUsable::OtherFold { found: fold });
    }
    let (of_partition, rest) = take_u32(rest)?;
    let (length, rest) = take_u32(rest)?;
    let (of_identity, rest) = rest.split_at_checked(length as usize).ok_or(NotUsable::Damaged("length"))?;
    if of_partition != partition || of_identity != identity.0.as_bytes() {
        return Err(NotUsable::OtherLog);
    }
    let state: State = postcard::from_bytes(rest).map_err(|_| NotUsable::Damaged("state"))?;
    if state.conversation != *conversation {
        return Err(NotUsable::Damaged("another conversation"));
    }
    if state.next_offset > end {
        return Err(NotUsable::BeyondTheEnd);
    }
    Ok(state)
}

fn take_u32(bytes: &[u8]) -> Result<(u32, &[u8]), NotUsable> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(NotUsable::Damaged("too short"))?;
    Ok((u32::from_be_bytes(*head), rest))
}

/// Coalesces ascending offsets into ranges, closing gaps of up to `gap` foreign records: reading across a
/// small gap is cheaper than another seek.
#[must_use]
pub fn coalesce(offsets: impl IntoIterator<Item = Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    for next in offsets {
        match out.last_mut() {
            Some(last) if next.start <= last.end.saturating_add(gap) => last.end = last.end.max(next.end),
            _ => out.push(next),
        }
    }
    out
}
