//! The store thread: engines block, so they run here and nowhere else; callers await a bounded queue.
//!
//! A panic of the engine is an error to the caller; an engine that hangs is an error to everyone who waits.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callboard_domain::id::ConversationId;
use callboard_ports::snapshot::{Checkpoint, Flush, Open, SnapshotError, SnapshotStore, Stored};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::known::Known;
use super::shelf::Shelf;

/// Calls that wait: one flush per partition and the rehydrations under way; more must wait outside.
const QUEUE: usize = 256;
/// A call that takes longer hangs: a flush of thousands of snapshots takes a second.
const PATIENCE: Duration = Duration::from_secs(30);

type Job = Box<dyn FnOnce(&mut Shelf) + Send>;

pub(super) struct StoreThread {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    known: Arc<Known>,
    patience: Duration,
}

impl StoreThread {
    pub(super) fn start(shelf: Shelf) -> io::Result<Self> {
        Self::start_with(shelf, PATIENCE)
    }

    fn start_with(mut shelf: Shelf, patience: Duration) -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(QUEUE);
        let known = shelf.known();
        let run = move || {
            while let Some(job) = waiting.blocking_recv() {
                job(&mut shelf);
            }
        };
        std::thread::Builder::new().name("callboard-snapshots".to_owned()).spawn(run)?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), known, patience })
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shelf) -> Result<T, SnapshotError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, SnapshotError>> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let patience = self.patience;
        Box::pin(async move {
            let closed = || SnapshotError::Failed("the snapshot store is closed".to_owned());
            let jobs = jobs.ok_or_else(closed)?;
            let (reply, replied) = oneshot::channel();
            let job: Job = Box::new(move |shelf| {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(shelf)));
                let _ = reply.send(outcome.unwrap_or_else(|_| Err(shelf.panicked())));
            });
            let answer = async {
                jobs.send(job).await.map_err(|_| closed())?;
                replied.await.map_err(|_| closed())?
            };
            match tokio::time::timeout(patience, answer).await {
                Ok(outcome) => outcome,
                Err(_) => Err(SnapshotError::Failed(format!(
                    "the snapshot store did not answer within {patience:?}"
                ))),
            }
        })
    }
}

impl SnapshotStore for StoreThread {
    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<Option<Checkpoint>, SnapshotError>> {
        self.ask(move |shelf| shelf.checkpoint(partition))
    }

    fn load(
        &self,
        partition: u32,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<Stored, SnapshotError>> {
        if self.known.lacks(partition, conversation) {
            return Box::pin(std::future::ready(Ok(Stored::default())));
        }
        let conversation = conversation.clone();
        self.ask(move |shelf| shelf.load(partition, &conversation))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'_, Result<(), SnapshotError>> {
        // Now, not when the thread gets to it: who asks for one of these meanwhile waits for it.
        self.known.add(flush.partition, flush.dirty.iter().map(|dirty| &dirty.conversation));
        self.ask(move |shelf| shelf.flush(flush))
    }

    fn open_turns(
        &self,
        partition: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(ConversationId, Open)>, SnapshotError>> {
        self.ask(move |shelf| shelf.open_turns(partition, limit))
    }

    fn conversations(
        &self,
        partition: u32,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ConversationId>, SnapshotError>> {
        let after = after.cloned();
        self.ask(move |shelf| shelf.conversations(partition, after.as_ref(), limit))
    }

    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.ask(move |shelf| shelf.discard(partition))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let last = self.ask(|shelf| {
            shelf.close();
            Ok(())
        });
        self.known.close();
        // The job above has its own handle; with it the thread ends.
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        Box::pin(async move {
            if let Err(error) = last.await {
                tracing::debug!(%error, "closing the snapshot store");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::engine::Engine;
    use callboard_ports::log::LogIdentity;

    fn flush(partition: u32, next_offset: u64) -> Flush {
        let checkpoint = Checkpoint { identity: LogIdentity("log".into()), next_offset };
        Flush { partition, dirty: Vec::new(), checkpoint }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_discarding_starts_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreThread::start(Shelf::open(Engine::Sled, dir.path()).unwrap()).unwrap();
        for partition in [0, 1] {
            store.flush(flush(partition, 7)).await.unwrap();
        }
        let panicked = store.ask::<()>(|_| panic!("the engine's bug")).await;
        assert!(matches!(panicked, Err(SnapshotError::Failed(_))));
        assert!(matches!(store.checkpoint(0).await, Err(SnapshotError::Corrupt(_))));
        store.discard(0).await.unwrap();
        assert_eq!(store.checkpoint(0).await, Ok(None));
        assert!(dir.path().join("snapshots-sled.bad-1").is_dir(), "kept for whoever wants to look");
        let relying = store.flush(flush(1, 9)).await;
        assert!(matches!(relying, Err(SnapshotError::Corrupt(_))), "its snapshots are gone: {relying:?}");
        store.discard(1).await.unwrap();
        store.flush(flush(1, 9)).await.unwrap();
        assert_eq!(store.checkpoint(1).await.unwrap().unwrap().next_offset, 9);
    }

    #[tokio::test]
    async fn a_hang_is_an_error_to_everyone_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(Engine::Fjall, dir.path()).unwrap();
        let store = StoreThread::start_with(shelf, Duration::from_millis(50)).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hung = store.ask(move |_| {
            let _ = held.recv();
            Ok(())
        });
        let behind = store.checkpoint(0);
        let (hung, behind) = tokio::join!(hung, behind);
        assert!(matches!(hung, Err(SnapshotError::Failed(_))), "{hung:?}");
        assert!(matches!(behind, Err(SnapshotError::Failed(_))), "{behind:?}");
        drop(release);
        let recovered = async { while store.checkpoint(0).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(30), recovered).await.expect("it serves again");
    }
}
