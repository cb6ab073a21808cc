//! A log whose acknowledgements get lost: while it lies, an append is taken, and its receipt says that nobody knows. It may be
//! slow to say which log it is, too.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use callboard_ports::fakes::MemoryLog;
use callboard_ports::log::{AppendError, Batch, Bounds, Log, LogError, LogIdentity, Receipt, Tail};
use callboard_ports::record::{NewRecord, Topic};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

pub struct Liar {
    pub log: Arc<MemoryLog>,
    pub lying: Arc<AtomicBool>,
    pub identity_ms: Arc<AtomicU64>,
}

impl Log for Liar {
    fn append(&self, batch: Vec<NewRecord>) -> Result<Receipt, AppendError> {
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
        self.log.tail(topic, lanes)
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.flush(timeout)
    }
}
