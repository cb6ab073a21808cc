//! The snapshot store as a host of one tenure sees it: from the tenure's end on it writes nothing. An older snapshot put
//! over a newer one, with the newer checkpoint left standing, would lose what lies between.

use std::sync::Arc;

use callboard_domain::id::ConversationId;
use callboard_ports::snapshot::{Checkpoint, Flush, Open, SnapshotError, SnapshotStore, Stored};
use futures_util::future::BoxFuture;

use crate::tenure::Tenure;

/// See the module.
pub struct FencedSnapshots {
    pub store: Arc<dyn SnapshotStore>,
    pub tenure: Arc<Tenure>,
}

impl FencedSnapshots {
    fn refused(&self) -> Option<BoxFuture<'_, Result<(), SnapshotError>>> {
        self.tenure.is_over().then(|| -> BoxFuture<'_, _> {
            Box::pin(async { Err(SnapshotError::Failed("the partition has another host by now".into())) })
        })
    }
}

impl SnapshotStore for FencedSnapshots {
    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<Option<Checkpoint>, SnapshotError>> {
        self.store.checkpoint(partition)
    }

    fn load(
        &self,
        partition: u32,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<Stored, SnapshotError>> {
        self.store.load(partition, conversation)
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.refused().unwrap_or_else(|| self.store.flush(flush))
    }

    fn open_turns(
        &self,
        partition: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(ConversationId, Open)>, SnapshotError>> {
        self.store.open_turns(partition, limit)
    }

    fn conversations(
        &self,
        partition: u32,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ConversationId>, SnapshotError>> {
        self.store.conversations(partition, after, limit)
    }

    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.refused().unwrap_or_else(|| self.store.discard(partition))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.store.close()
    }
}
