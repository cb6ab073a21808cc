//! A log whose acknowledgements get lost: while it lies, an append is taken, and its receipt says that nobody knows. It may be
//! slow to say which log it is, too full for some topics, and hold the ledger's readers. And an inbox that forgets commits.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard_ports::fakes::{Gate, MemoryLog};
use callboard_ports::inbox::{Committed, Inbox, InboxControl, Joining, Membership};
use callboard_ports::log::{
    AppendError, Batch, Bounds, Log, LogError, LogIdentity, Receipt, Tail, TailEvent,
};
use callboard_ports::record::{NewRecord, Topic};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

pub struct Liar {
    pub log: Arc<MemoryLog>,
    pub lying: Arc<AtomicBool>,
    pub identity_ms: Arc<AtomicU64>,
    pub refusing: Arc<Mutex<BTreeSet<Topic>>>,
    pub ledger: Gate,
}

impl Log for Liar {
    fn append(&self, batch: Vec<NewRecord>) -> Result<Receipt, AppendError> {
        if batch.iter().any(|record| self.refusing.lock().unwrap().contains(&record.topic)) {
            return Err(AppendError::Full);
        }
        let receipt = self.log.append(batch)?;
        if !self.lying.load(Ordering::SeqCst) {
            return Ok(receipt);
        }
        let (lie, told) = oneshot::channel();
        let _ = lie.send(Err(AppendError::Unknown("the acknowledgement was lost".into())));
        Ok(told)
    }

    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn bounds(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        self.log.bounds(topic, partition)
    }

    fn identity(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<LogIdentity, LogError>> {
        let pause = Duration::from_millis(self.identity_ms.load(Ordering::SeqCst));
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            self.log.identity(topic, partition).await
        })
    }

    fn replay(
        &self,
        topic: Topic,
        partition: u32,
        ranges: Vec<Range<u64>>,
        key: Option<String>,
    ) -> mpsc::Receiver<Result<Batch, LogError>> {
        self.log.replay(topic, partition, ranges, key)
    }

    fn tail(&self, topic: Topic, lanes: usize) -> Result<Tail, LogError> {
        let tail = self.log.tail(topic, lanes)?;
        if topic != Topic::ToolEffects {
            return Ok(tail);
        }
        let held = |mut lane: mpsc::Receiver<TailEvent>| {
            let (sender, receiver) = mpsc::channel(16);
            let gate = self.ledger.clone();
            tokio::task::spawn_local(async move {
                while let Some(event) = lane.recv().await {
                    gate.pass().await;
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
            });
            receiver
        };
        Ok(Tail { control: tail.control, lanes: tail.lanes.into_iter().map(held).collect() })
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.flush(timeout)
    }
}

/// An inbox whose commits get lost, as those of a process that is killed just before.
pub struct Forgetful {
    pub inbox: Arc<dyn Inbox>,
    pub forgetting: Arc<AtomicBool>,
}

struct ForgetfulControl {
    control: Arc<dyn InboxControl>,
    forgetting: Arc<AtomicBool>,
}

impl Inbox for Forgetful {
    fn join(&self, joining: Joining) -> Result<Membership, LogError> {
        let Membership { control, lanes } = self.inbox.join(joining)?;
        let control = Arc::new(ForgetfulControl { control, forgetting: self.forgetting.clone() });
        Ok(Membership { control, lanes })
    }
}

impl InboxControl for ForgetfulControl {
    fn commit(&self, topic: Topic, partition: u32, position: Committed) {
        if !self.forgetting.load(Ordering::SeqCst) {
            self.control.commit(topic, partition, position);
        }
    }

    fn committed(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        self.control.committed(topic, partition)
    }

    fn pause(&self, partition: u32) {
        self.control.pause(partition);
    }

    fn resume(&self, partition: u32) {
        self.control.resume(partition);
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        self.control.leave()
    }
}
