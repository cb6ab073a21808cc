//! A partition whose snapshot store does not work goes on without: nothing is stored, the checkpoint stays, one
//! conversation is read through an offset index in memory (or, when that has grown too large, from the whole partition),
//! and the next start reads the log from where it must. Said loudly, counted, and looked at again every now and then.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::{ActorContext, Handler, Message};
use callboard_ports::log::LogIdentity;
use callboard_ports::record::Topic;
use callboard_ports::snapshot::{Checkpoint, Flush, SnapshotError};

use super::{Host, HostContext};
use crate::limits::{STORE_PROBE, STORE_PROBE_LONGEST, STORE_TROUBLE, UNCOVERED_OFFSETS};
use crate::supervise::Ending;

/// Where a conversation that is not in memory is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// Snapshot and index of the store.
    #[default]
    Stored,
    /// The offsets that this host has in memory: all there are.
    Indexed,
    /// The whole partition.
    Scanning,
}

/// What is remembered of the store for as long as the partition is ours, whichever host runs.
#[derive(Debug, Default)]
pub struct StoreMemory {
    mode: Cell<Mode>,
    /// Nothing is asked of the store at the next start.
    given_up: Cell<bool>,
    /// Monotonic: when it was last found corrupt.
    corrupt_ms: Cell<Option<u64>>,
    probe: Cell<Option<Duration>>,
}

impl StoreMemory {
    pub(super) fn mode(&self) -> Mode {
        self.mode.get()
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    /// A host starts.
    pub(super) fn begin(&self, mode: Mode) {
        self.mode.set(mode);
        self.given_up.set(mode != Mode::Stored);
    }

    /// The store is corrupt, at `now_ms`: once it is rebuilt; if that did not help, it is given up.
    pub(super) fn corrupt(&self, now_ms: u64) {
        let again_within_ms = STORE_TROUBLE.as_millis() as u64;
        let before = self.corrupt_ms.replace(Some(now_ms));
        if before.is_some_and(|before| now_ms.saturating_sub(before) < again_within_ms) {
            self.given_up.set(true);
        }
    }

    /// Takes no snapshots for so long that what it does not cover would not fit.
    fn give_up(&self) {
        self.given_up.set(true);
    }

    /// The next pause between two looks at the store.
    fn pause(&self) -> Duration {
        let pause = self.probe.get().map_or(STORE_PROBE, |before| (before * 2).min(STORE_PROBE_LONGEST));
        self.probe.set(Some(pause));
        pause
    }

    fn works_again(&self) {
        self.given_up.set(false);
    }
}

/// The store has answered: it can be used again.
#[derive(Message)]
#[rtype(result = "()")]
struct StoreIsBack;

impl Host {
    pub(super) fn has_store(&self) -> bool {
        self.context.memory.store.mode() == Mode::Stored
    }

    /// Looks at the store every now and then.
    pub(super) fn keep_probing(&mut self) {
        if self.has_store() {
            return;
        }
        tracing::error!(
            partition = self.context.partition,
            "the snapshot store does not work: this partition goes on without snapshots, and its next start reads the log from \
             the beginning"
        );
        self.without_snapshots(true);
        let (context, identity, host) = (self.context.clone(), self.identity.clone(), self.addr.clone());
        self.task(async move {
            loop {
                context.shared.ports.clock.sleep(context.memory.store.pause()).await;
                match probe(&context, &identity).await {
                    Ok(()) => {
                        let _ = host.send(StoreIsBack).await;
                        return;
                    }
                    Err(error) => tracing::warn!(
                        partition = context.partition, %error, "still without snapshots"
                    ),
                }
            }
        });
    }

    /// Counts this partition among those without snapshots, or not any more.
    pub(super) fn without_snapshots(&mut self, is_without: bool) {
        let gauge = &self.context.shared.metrics.partitions_without_snapshots;
        if std::mem::replace(&mut self.counted_without, is_without) != is_without {
            gauge.fetch_add(if is_without { 1 } else { -1 }, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Keeps what no stored snapshot covers within its bound. False when the host has to start again.
    pub(super) fn bound_uncovered(&mut self) -> bool {
        let uncovered: usize = self.dirty.values().map(Vec::len).sum();
        if uncovered <= UNCOVERED_OFFSETS {
            return true;
        }
        match self.context.memory.store.mode() {
            Mode::Stored => {
                self.context.memory.store.give_up();
                false
            }
            Mode::Indexed | Mode::Scanning => {
                tracing::error!(
                    partition = self.context.partition,
                    uncovered,
                    "the offset index in memory is too large: from here on, a conversation is read from the whole partition"
                );
                self.context.memory.store.begin(Mode::Scanning);
                self.dirty.clear();
                true
            }
        }
    }
}

/// Whether the store can be read and written: what it has is kept where it verifies, and thrown away where not.
async fn probe(context: &Rc<HostContext>, identity: &LogIdentity) -> Result<(), SnapshotError> {
    let (store, partition) = (&context.shared.ports.snapshots, context.partition);
    let stored = match store.checkpoint(partition).await {
        Err(SnapshotError::Corrupt(_)) => {
            store.discard(partition).await?;
            store.checkpoint(partition).await?
        }
        stored => stored?,
    };
    let checkpoint = match stored {
        Some(checkpoint) => checkpoint,
        None => {
            let failed = |error| SnapshotError::Failed(format!("the log cannot be asked: {error}"));
            let bounds = context.shared.ports.log.bounds(Topic::ConversationEvents, partition).await;
            Checkpoint { identity: identity.clone(), next_offset: bounds.map_err(failed)?.start }
        }
    };
    store.flush(Flush { partition, dirty: Vec::new(), checkpoint }).await
}

impl Handler<StoreIsBack> for Host {
    type Result = ();

    fn handle(&mut self, _: StoreIsBack, context: &mut Self::Context) {
        tracing::info!(
            partition = self.context.partition,
            "the snapshot store works again: the partition starts again with it"
        );
        self.context.memory.store.works_again();
        self.ending.set(Ending::Failed);
        context.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, STORE_PROBE, STORE_PROBE_LONGEST, StoreMemory};

    #[test]
    fn a_store_that_is_corrupt_again_is_given_up_and_looked_at_ever_more_seldom() {
        let memory = StoreMemory::default();
        memory.corrupt(1_000);
        assert!(!memory.is_given_up(), "the first time it is rebuilt");
        memory.begin(Mode::Stored);
        memory.corrupt(2_000);
        assert!(memory.is_given_up());
        assert_eq!(memory.pause(), STORE_PROBE);
        assert_eq!(memory.pause(), STORE_PROBE * 2);
        for _ in 0..20 {
            memory.pause();
        }
        assert_eq!(memory.pause(), STORE_PROBE_LONGEST);
        memory.works_again();
        assert!(!memory.is_given_up());
    }
}
