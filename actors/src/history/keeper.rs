//! The keeper of the book: takes batches in, fills gaps from the log, writes the file. One task, fed by the projection
//! through a bounded queue.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actix::{Addr, Message};
use callboard_ports::inbox::Committed;
use callboard_ports::log::LogError;
use callboard_ports::record::Topic;

use super::restore::Owed;
use super::{Book, Projection, file};
use crate::decode::Decoded;
use crate::gauges::HISTORY_GROUP;
use crate::shared::Shared;

/// A record that came between the book's start and the host's has nobody who tells of it: the log's ends are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long changes are gathered before the file is written again.
const WRITE_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub conversations: usize,
    pub offset_sum: u64,
    pub writes: u64,
}

pub(super) enum Input {
    Batch(Arc<Decoded>),
    /// Write now, then answer.
    Write(tokio::sync::oneshot::Sender<()>),
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Written(pub Progress);

/// Keeps the book: takes batches in, fills gaps from the log, writes the file when it has changed.
pub(super) struct Keeper {
    pub shared: Arc<Shared>,
    pub file: PathBuf,
    pub book: Book,
    pub changed: bool,
    pub owed: Owed,
    pub writes: u64,
    pub addr: Addr<Projection>,
    pub control: Option<Arc<dyn callboard_ports::inbox::InboxControl>>,
    /// Batches were dropped because the queue was full.
    pub missed: Arc<AtomicBool>,
}

impl Keeper {
    /// Brings every partition up to the log's present end.
    async fn catch_up(&mut self) -> Result<(), LogError> {
        let log = self.shared.ports.log.clone();
        for partition in 0..log.partitions() {
            let identity = log.identity(Topic::ConversationEvents, partition).await?;
            let bounds = log.bounds(Topic::ConversationEvents, partition).await?;
            self.book.begin(partition, &identity, bounds);
            self.fill(partition, bounds.end).await?;
            self.settle(partition).await?;
        }
        Ok(())
    }

    /// Reads a partition from the book's position to `end`.
    async fn fill(&mut self, partition: u32, end: u64) -> Result<(), LogError> {
        let from = self.book.position(partition);
        if from >= end {
            return Ok(());
        }
        let log = self.shared.ports.log.clone();
        let range = from..end;
        let mut batches = log.replay(Topic::ConversationEvents, partition, vec![range], None);
        while let Some(batch) = batches.recv().await {
            let decoded = Decoded::new(batch?, self.shared.ports.log.partitions());
            self.take(&decoded);
        }
        self.book.reached(partition, end);
        self.changed = true;
        Ok(())
    }

    fn take(&mut self, decoded: &Decoded) {
        let partition = decoded.batch.partition;
        for item in &decoded.items {
            if self.book.apply(partition, item, &self.shared.limits) {
                let owed = self.owed.entry(partition).or_default();
                owed.insert(item.conversation.clone(), item.recorded.offset);
            }
        }
        self.book.reached(partition, decoded.end());
        self.changed = true;
    }

    /// Whether the log has what nobody told of.
    async fn look(&self) {
        let log = &self.shared.ports.log;
        for (partition, reached) in self.book.positions() {
            // A log that cannot be asked now is asked the next time.
            if log.bounds(Topic::ConversationEvents, partition).await.is_ok_and(|bounds| bounds.end > reached)
            {
                self.missed.store(true, Relaxed);
            }
        }
    }

    async fn observe(&mut self, decoded: Arc<Decoded>) -> Result<(), LogError> {
        self.fill(decoded.batch.partition, decoded.start()).await?;
        if decoded.end() > self.book.position(decoded.batch.partition) {
            self.take(&decoded);
        }
        self.settle(decoded.batch.partition).await
    }

    async fn write(&mut self) {
        // A file never shows half of a conversation.
        if !self.changed || !self.owed.is_empty() {
            return;
        }
        let (path, content) = (self.file.clone(), self.book.to_file());
        let (done, result) = tokio::sync::oneshot::channel();
        let job = Box::new(move || {
            // Formatting a large book takes a while too.
            let _ = done.send(file::write_atomically(&path, &content));
        });
        self.shared.ports.blocking.run(job).await;
        match result.await {
            Ok(Ok(())) => {
                self.changed = false;
                self.writes += 1;
                self.commit();
            }
            Ok(Err(error)) => {
                tracing::warn!(file = %self.file.display(), %error, "history.json could not be written; trying again");
            }
            // The blocking pool is full: the next round tries again.
            Err(_) => {}
        }
        let progress = Progress {
            conversations: self.book.conversations(),
            offset_sum: self.book.offset_sum(),
            writes: self.writes,
        };
        let _ = self.addr.send(Written(progress)).await;
    }

    /// The group's committed positions follow the file, so that other tools see the projection's lag.
    fn commit(&self) {
        let Some(control) = &self.control else { return };
        for (partition, next_offset) in self.book.positions() {
            let position = Committed { next_offset, metadata: String::new() };
            control.commit(Topic::ConversationEvents, partition, position);
        }
    }

    pub async fn run(mut self, mut queue: tokio::sync::mpsc::Receiver<Input>) {
        /// A log that is away is asked again after this.
        const PAUSE: Duration = Duration::from_millis(500);
        while let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "the history projection cannot read the log; trying again");
            self.shared.ports.clock.sleep(PAUSE).await;
        }
        self.changed = true;
        let clock = self.shared.ports.clock.clone();
        let mut next_write_ms = clock.monotonic_ms();
        loop {
            let pending = self.changed || self.missed.load(Relaxed);
            let wait = Duration::from_millis(next_write_ms.saturating_sub(clock.monotonic_ms()));
            let input = tokio::select! {
                biased;
                () = clock.sleep(wait), if pending => {
                    self.round().await;
                    // A large book is written seldom: never more than a thirtieth of the time goes into it.
                    let took_ms = clock.monotonic_ms().saturating_sub(next_write_ms);
                    let pause_ms = (took_ms * 30).max(WRITE_EVERY.as_millis() as u64);
                    next_write_ms = clock.monotonic_ms() + pause_ms;
                    continue;
                }
                input = queue.recv() => input,
                () = clock.sleep(LOOK_EVERY), if !pending => {
                    self.look().await;
                    continue;
                }
            };
            match input {
                None => return,
                Some(Input::Batch(decoded)) => {
                    if let Err(error) = self.observe(decoded).await {
                        tracing::warn!(%error, "the history projection could not read a gap; it is read later");
                        self.missed.store(true, Relaxed);
                    }
                }
                Some(Input::Write(done)) => {
                    self.round().await;
                    let _ = done.send(());
                }
            }
        }
    }

    /// Fills what was missed, then writes.
    async fn round(&mut self) {
        if self.missed.swap(false, Relaxed)
            && let Err(error) = self.catch_up().await
        {
            tracing::warn!(%error, "the history projection could not read what it missed; trying again");
            self.missed.store(true, Relaxed);
        }
        self.write().await;
        for (partition, next_offset) in self.book.positions() {
            let part = (Topic::ConversationEvents, partition);
            self.shared.gauges.note(HISTORY_GROUP, part, next_offset);
        }
    }
}
