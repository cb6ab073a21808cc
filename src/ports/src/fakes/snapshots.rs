//! `MemorySnapshots`: a snapshot store in memory. Clones are the same store, so it outlives a simulated crash.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use callboard_domain::id::ConversationId;
use futures_util::future::{BoxFuture, ready};

use super::Gate;
use crate::snapshot::{Checkpoint, Flush, Open, SnapshotError, SnapshotStore, Stored, coalesce};

#[derive(Default)]
struct Kept {
    stored: Stored,
    open: Option<Open>,
}

#[derive(Default)]
struct Partition {
    checkpoint: Option<Checkpoint>,
    conversations: BTreeMap<ConversationId, Kept>,
}

#[derive(Default)]
struct Content {
    partitions: BTreeMap<u32, Partition>,
    failing: Option<SnapshotError>,
}

/// A store in memory.
#[derive(Clone, Default)]
pub struct MemorySnapshots {
    content: Arc<Mutex<Content>>,
    gate: Arc<Mutex<Option<Gate>>>,
    load_gate: Arc<Mutex<Option<Gate>>>,
}

impl MemorySnapshots {
    /// While `Some`, every call but `close` fails with this error.
    pub fn interrupt(&self, error: Option<SnapshotError>) {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).failing = error;
    }

    /// Flushes wait at `gate` from here on.
    pub fn hold_flushes_at(&self, gate: &Gate) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate.clone());
    }

    /// Loads wait at `gate` from here on.
    pub fn hold_loads_at(&self, gate: &Gate) {
        *self.load_gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate.clone());
    }

    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BTreeMap<u32, Partition>) -> T,
    ) -> BoxFuture<'static, Result<T, SnapshotError>> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match &content.failing {
            Some(error) => Err(error.clone()),
            None => Ok(work(&mut content.partitions)),
        };
        Box::pin(ready(outcome))
    }
}

impl SnapshotStore for MemorySnapshots {
    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<Option<Checkpoint>, SnapshotError>> {
        self.with(|all| all.get(&partition).and_then(|p| p.checkpoint.clone()))
    }

    fn load(
        &self,
        partition: u32,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<Stored, SnapshotError>> {
        let gate = self.load_gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let conversation = conversation.clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.pass().await;
            }
            let kept = |p: &Partition| p.conversations.get(&conversation).map(|kept| kept.stored.clone());
            self.with(|all| all.get(&partition).and_then(kept).unwrap_or_default()).await
        })
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'_, Result<(), SnapshotError>> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.pass().await;
            }
            self.with(|all| {
                let partition = all.entry(flush.partition).or_default();
                for dirty in flush.dirty {
                    let kept = partition.conversations.entry(dirty.conversation).or_default();
                    kept.stored.snapshot = Some(dirty.snapshot);
                    kept.open = dirty.open;
                    let added = dirty.offsets.into_iter().map(|offset| offset..offset + 1);
                    let mut all: Vec<Range<u64>> = kept.stored.offsets.drain(..).chain(added).collect();
                    all.sort_by_key(|range| range.start);
                    kept.stored.offsets = coalesce(all, 0);
                }
                partition.checkpoint = Some(flush.checkpoint);
            })
            .await
        })
    }

    fn open_turns(
        &self,
        partition: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(ConversationId, Open)>, SnapshotError>> {
        self.with(|all| {
            let conversations = all.get(&partition).map(|p| &p.conversations).into_iter().flatten();
            let mut open: Vec<_> =
                conversations.filter_map(|(id, kept)| Some((id.clone(), kept.open.clone()?))).collect();
            open.sort_by_key(|(_, open)| open.place_ms());
            open.truncate(limit);
            open
        })
    }

    fn conversations(
        &self,
        partition: u32,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ConversationId>, SnapshotError>> {
        self.with(|all| {
            let ids = all.get(&partition).map(|p| p.conversations.keys()).into_iter().flatten();
            ids.filter(|id| after.is_none_or(|after| *id > after)).take(limit).cloned().collect()
        })
    }

    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.with(|all| drop(all.remove(&partition)))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}
