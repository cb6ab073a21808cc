//! The history projection: folds `conversation-events` into `history.json`, a read model for people and scripts. Beside a
//! host it is told of the host's batches; alone it consumes the topic as a group of its own. Whatever it missed (a start, a
//! full mailbox, a deleted file) it reads from the log by itself.

mod book;
mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, ResponseFuture};
use callboard_ports::inbox::{Committed, InboxEvent, Membership};
use callboard_ports::log::LogError;
use callboard_ports::record::Topic;
use tokio::task::AbortHandle;

pub use book::{Book, Entry};
pub use file::HistoryFile;

use crate::decode::Decoded;
use crate::limits::BATCH_MAILBOX;
use crate::observe::{ActorView, KillHow, Show};
use crate::shared::Shared;
use crate::supervise::{Drain, Ending, EndingCell, Kill, panic_as_told};

/// A batch that a host has read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Observed(pub Arc<Decoded>);

/// How long changes are gathered before the file is written again.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Batches that wait while the book is brought up to date; more are read from the log later.
const QUEUE: usize = 256;

/// The projection.
pub struct Projection {
    path: String,
    shared: Arc<Shared>,
    file: PathBuf,
    membership: Option<Membership>,
    addr: Addr<Self>,
    ending: EndingCell,
    /// Batches for the task that keeps the book.
    queue: Option<tokio::sync::mpsc::Sender<Input>>,
    progress: Progress,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    conversations: usize,
    offset_sum: u64,
    writes: u64,
}

enum Input {
    Batch(Arc<Decoded>),
    /// Write now, then answer.
    Write(tokio::sync::oneshot::Sender<()>),
}

#[derive(Message)]
#[rtype(result = "()")]
struct Written(Progress);

impl Projection {
    pub fn new(
        path: String,
        shared: Arc<Shared>,
        file: PathBuf,
        membership: Option<Membership>,
        addr: Addr<Self>,
        ending: EndingCell,
    ) -> Self {
        Self {
            path,
            shared,
            file,
            membership,
            addr,
            ending,
            queue: None,
            progress: Progress::default(),
            tasks: Vec::new(),
        }
    }
}

/// Keeps the book: takes batches in, fills gaps from the log, writes the file when it has changed.
struct Keeper {
    shared: Arc<Shared>,
    file: PathBuf,
    book: Book,
    changed: bool,
    writes: u64,
    addr: Addr<Projection>,
    control: Option<Arc<dyn callboard_ports::inbox::InboxControl>>,
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
            let decoded = Decoded::new(batch?);
            self.take(&decoded).await?;
        }
        self.book.reached(partition, end);
        self.changed = true;
        Ok(())
    }

    async fn take(&mut self, decoded: &Decoded) -> Result<(), LogError> {
        for item in &decoded.items {
            if let Some(id) = self.book.apply(decoded.batch.partition, item, &self.shared.limits) {
                // It had left the book: its earlier turns are read from the log again.
                let partition = decoded.batch.partition;
                let range = 0..item.recorded.offset + 1;
                let key = Some(id.as_str().to_owned());
                let mut batches =
                    self.shared.ports.log.replay(Topic::ConversationEvents, partition, vec![range], key);
                let mut records = Vec::new();
                while let Some(batch) = batches.recv().await {
                    records.extend(Decoded::new(batch?).items);
                }
                self.book.restore(partition, &id, &records, &self.shared.limits);
            }
        }
        self.book.reached(decoded.batch.partition, decoded.end());
        self.changed = true;
        Ok(())
    }

    async fn observe(&mut self, decoded: Arc<Decoded>) -> Result<(), LogError> {
        self.fill(decoded.batch.partition, decoded.start()).await?;
        if decoded.end() > self.book.position(decoded.batch.partition) {
            self.take(&decoded).await?;
        }
        Ok(())
    }

    async fn write(&mut self) {
        if !self.changed {
            return;
        }
        let (path, bytes) = (self.file.clone(), self.book.to_file().to_bytes());
        let (done, result) = tokio::sync::oneshot::channel();
        let job = Box::new(move || {
            let _ = done.send(file::write_atomically(&path, &bytes));
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

    async fn run(mut self, mut queue: tokio::sync::mpsc::Receiver<Input>) {
        /// A log that is away is asked again after this.
        const PAUSE: Duration = Duration::from_millis(500);
        while let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "the history projection cannot read the log; trying again");
            self.shared.ports.clock.sleep(PAUSE).await;
        }
        self.changed = true;
        self.write().await;
        loop {
            let input = tokio::select! {
                biased;
                input = queue.recv() => input,
                () = self.shared.ports.clock.sleep(WRITE_EVERY), if self.changed => {
                    self.write().await;
                    continue;
                }
            };
            match input {
                None => return,
                Some(Input::Batch(decoded)) => {
                    if let Err(error) = self.observe(decoded).await {
                        tracing::warn!(%error, "the history projection could not read a gap; it is read later");
                    }
                }
                Some(Input::Write(done)) => {
                    self.write().await;
                    let _ = done.send(());
                }
            }
        }
    }
}

impl Actor for Projection {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let (sender, receiver) = tokio::sync::mpsc::channel(QUEUE);
        let book = file::read(&self.file).map_or_else(Book::default, Book::from_file);
        let membership = self.membership.take();
        let keeper = Keeper {
            shared: self.shared.clone(),
            file: self.file.clone(),
            book,
            changed: false,
            writes: 0,
            addr: self.addr.clone(),
            control: membership.as_ref().map(|membership| membership.control.clone()),
        };
        self.queue = Some(sender.clone());
        let mut tasks = vec![actix::spawn(keeper.run(receiver)).abort_handle()];
        match membership {
            None => self.shared.directory.set_history(Some(self.addr.clone().recipient())),
            Some(membership) => {
                tasks.extend(
                    membership
                        .lanes
                        .into_iter()
                        .map(|lane| actix::spawn(follow(lane, sender.clone())).abort_handle()),
                );
            }
        }
        self.tasks = tasks;
    }
}

/// Passes a membership's batches on, holding the lane back while the book is busy.
async fn follow(mut lane: tokio::sync::mpsc::Receiver<InboxEvent>, queue: tokio::sync::mpsc::Sender<Input>) {
    while let Some(event) = lane.recv().await {
        match event {
            InboxEvent::Batch(batch) => {
                if queue.send(Input::Batch(Arc::new(Decoded::new(batch)))).await.is_err() {
                    return;
                }
            }
            InboxEvent::Revoked { ack, .. } => drop(ack.send(())),
            InboxEvent::Gap { partition, from, to } => {
                tracing::error!(
                    partition,
                    lost = format!("{from}..{to}"),
                    "conversation-events lost records"
                );
            }
            InboxEvent::Fenced { reason } => {
                tracing::error!(reason, "the history projection was fenced");
                return;
            }
            InboxEvent::Assigned { .. } | InboxEvent::Lost { .. } => {}
        }
    }
}

impl Drop for Projection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.directory.set_history(None);
    }
}

impl Handler<Observed> for Projection {
    type Result = ();

    fn handle(&mut self, message: Observed, _: &mut Self::Context) {
        if let Some(queue) = &self.queue {
            // A full queue makes a gap, and the next batch fills it from the log.
            let _ = queue.try_send(Input::Batch(message.0));
        }
    }
}

impl Handler<Written> for Projection {
    type Result = ();

    fn handle(&mut self, message: Written, _: &mut Self::Context) {
        self.progress = message.0;
    }
}

impl Handler<Drain> for Projection {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let (done, written) = tokio::sync::oneshot::channel();
        let queue = self.queue.clone();
        Box::pin(async move {
            if let Some(queue) = queue
                && queue.send(Input::Write(done)).await.is_ok()
            {
                let _ = written.await;
            }
        })
    }
}

impl Handler<Show> for Projection {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let mut view = ActorView::new(&self.path, "history_projection", "running", BATCH_MAILBOX);
        view.work = serde_json::json!({
            "conversations": self.progress.conversations,
            "records": self.progress.offset_sum,
            "writes": self.progress.writes,
        });
        Box::pin(async move { view })
    }
}

impl Handler<Kill> for Projection {
    type Result = bool;

    fn handle(&mut self, message: Kill, context: &mut Self::Context) -> bool {
        if !message.path.is_empty() {
            return false;
        }
        if message.how == KillHow::Panic {
            panic_as_told(&self.path);
        }
        self.ending.set(Ending::ToldToStop);
        context.stop();
        true
    }
}
