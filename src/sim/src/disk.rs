//! A process's disk: the snapshot store, which survives the process, and what can happen to it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callboard_domain::id::ConversationId;
use callboard_ports::snapshot::{Checkpoint, Flush, Open, SnapshotError, SnapshotStore, Stored, coalesce};
use futures_util::future::BoxFuture;

use crate::fault::Fault;
use crate::life::Life;
use crate::world::World;

/// What is kept of one conversation.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    pub stored: Stored,
    open: Option<Open>,
}

/// What is kept of one partition.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    pub checkpoint: Option<Checkpoint>,
    pub conversations: BTreeMap<ConversationId, Kept>,
}

/// The content, and an older copy of it.
#[derive(Debug, Default)]
pub struct Disk {
    now: Mutex<BTreeMap<u32, Shelf>>,
    copy: Mutex<BTreeMap<u32, Shelf>>,
}

impl Disk {
    pub fn shelves(&self) -> MutexGuard<'_, BTreeMap<u32, Shelf>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody makes a backup.
    pub fn back_up(&self) {
        *self.copy.lock().unwrap_or_else(PoisonError::into_inner) = self.shelves().clone();
    }

    /// Somebody plays the backup back.
    pub fn restore(&self) {
        *self.shelves() = self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone();
    }

    pub fn wipe(&self) {
        self.shelves().clear();
    }

    /// Damages the snapshot number `at`, counted around. False where there is none.
    pub fn corrupt(&self, at: u64) -> bool {
        let mut shelves = self.shelves();
        let mut snapshots: Vec<&mut Vec<u8>> = shelves
            .values_mut()
            .flat_map(|shelf| shelf.conversations.values_mut())
            .filter_map(|kept| kept.stored.snapshot.as_mut())
            .collect();
        let count = snapshots.len() as u64;
        if count == 0 {
            return false;
        }
        let bytes = &mut snapshots[(at % count) as usize];
        let place = (at / count) as usize % bytes.len();
        bytes[place] ^= 0x40;
        true
    }
}

/// A disk as one life of its process sees it.
pub struct SimStore {
    pub world: Arc<World>,
    pub life: Arc<Life>,
    pub disk: Arc<Disk>,
}

impl SimStore {
    async fn slow(&self, what: &str) {
        if self.world.strikes(Fault::StoreSlow, format_args!("{}, {what}", self.life.name)) {
            let ms = self.world.between(1, 2_500);
            self.world.pass(ms).await;
        }
    }

    fn say_stored(&self, partition: u32, next: u64) {
        let words = format_args!("{} stores {partition} up to {next}", self.life.name);
        self.world.trace().note(self.world.now_ms(), words);
    }

    async fn with<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut BTreeMap<u32, Shelf>) -> T,
    ) -> Result<T, SnapshotError> {
        if !self.life.call() {
            return Err(SnapshotError::Failed("the process is dead".into()));
        }
        self.slow(what).await;
        // It may have died while it waited.
        if !self.life.is_alive()
            || self.world.strikes(Fault::StoreFailed, format_args!("{}, {what}", self.life.name))
        {
            return Err(SnapshotError::Failed("the disk does not answer".into()));
        }
        Ok(work(&mut self.disk.shelves()))
    }
}

fn put(shelves: &mut BTreeMap<u32, Shelf>, flush: Flush) {
    let shelf = shelves.entry(flush.partition).or_default();
    for dirty in flush.dirty {
        let kept = shelf.conversations.entry(dirty.conversation).or_default();
        kept.stored.snapshot = Some(dirty.snapshot);
        kept.open = dirty.open;
        let added = dirty.offsets.into_iter().map(|offset| offset..offset + 1);
        let mut all: Vec<Range<u64>> = kept.stored.offsets.drain(..).chain(added).collect();
        all.sort_by_key(|range| range.start);
        kept.stored.offsets = coalesce(all, 0);
    }
    shelf.checkpoint = Some(flush.checkpoint);
}

impl SnapshotStore for SimStore {
    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<Option<Checkpoint>, SnapshotError>> {
        Box::pin(self.with("checkpoint", move |all| all.get(&partition).and_then(|p| p.checkpoint.clone())))
    }

    fn load(&self, partition: u32, of: &ConversationId) -> BoxFuture<'_, Result<Stored, SnapshotError>> {
        let of = of.clone();
        Box::pin(self.with("load", move |all| {
            let kept = all.get(&partition).and_then(|shelf| shelf.conversations.get(&of));
            kept.map(|kept| kept.stored.clone()).unwrap_or_default()
        }))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(async move {
            let (partition, next) = (flush.partition, flush.checkpoint.next_offset);
            self.with("flush", |all| put(all, flush)).await?;
            self.say_stored(partition, next);
            if self.world.strikes(Fault::FlushUnreported, format_args!("{}", self.life.name)) {
                return Err(SnapshotError::Failed("it took too long to say".into()));
            }
            self.slow("flushed").await;
            Ok(())
        })
    }

    fn open_turns(
        &self,
        partition: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(ConversationId, Open)>, SnapshotError>> {
        Box::pin(self.with("open turns", move |all| {
            let kept = all.get(&partition).map(|shelf| &shelf.conversations).into_iter().flatten();
            let mut open: Vec<_> =
                kept.filter_map(|(id, kept)| Some((id.clone(), kept.open.clone()?))).collect();
            open.sort_by_key(|(_, open)| open.place_ms());
            open.truncate(limit);
            open
        }))
    }

    fn conversations(
        &self,
        partition: u32,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ConversationId>, SnapshotError>> {
        let after = after.cloned();
        Box::pin(self.with("conversations", move |all| {
            let ids = all.get(&partition).map(|shelf| shelf.conversations.keys()).into_iter().flatten();
            ids.filter(|id| after.as_ref().is_none_or(|after| *id > after)).take(limit).cloned().collect()
        }))
    }

    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(self.with("discard", move |all| drop(all.remove(&partition))))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
