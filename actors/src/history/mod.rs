//! The history projection: folds `conversation-events` into `history.json`, a read model for people and scripts. Beside a
//! host it is told of the host's batches; alone it consumes the topic as a group of its own. Whatever it missed (a start, a
//! full mailbox, a deleted file) it reads from the log by itself.

mod book;
mod file;
mod keeper;
mod restore;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use callboard_ports::inbox::{InboxEvent, Membership};
use tokio::task::AbortHandle;

pub use book::{Book, Entry};
pub use file::HistoryFile;
use keeper::{Input, Keeper, Progress, Written};

use crate::decode::Decoded;
use crate::limits::BATCH_MAILBOX;
use crate::node::Fatal;
use crate::observe::{ActorView, Show};
use crate::shared::Shared;
use crate::supervise::{Drain, EndingCell, Kill};

/// A batch that a host has read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Observed(pub Arc<Decoded>);

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
    missed: Arc<AtomicBool>,
    tasks: Vec<AbortHandle>,
}

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
            missed: Arc::default(),
            tasks: Vec::new(),
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
            owed: restore::Owed::default(),
            writes: 0,
            addr: self.addr.clone(),
            control: membership.as_ref().map(|membership| membership.control.clone()),
            missed: self.missed.clone(),
        };
        self.queue = Some(sender.clone());
        let mut tasks = vec![actix::spawn(keeper.run(receiver)).abort_handle()];
        match membership {
            None => self.shared.directory.set_history(Some(self.addr.clone().recipient())),
            Some(membership) => {
                tasks.extend(membership.lanes.into_iter().map(|lane| {
                    actix::spawn(follow(lane, sender.clone(), self.shared.clone())).abort_handle()
                }));
            }
        }
        self.tasks = tasks;
    }
}

/// Passes a membership's batches on, holding the lane back while the book is busy.
async fn follow(
    mut lane: tokio::sync::mpsc::Receiver<InboxEvent>,
    queue: tokio::sync::mpsc::Sender<Input>,
    shared: Arc<Shared>,
) {
    while let Some(event) = lane.recv().await {
        match event {
            InboxEvent::Batch(batch) => {
                if queue
                    .send(Input::Batch(Arc::new(Decoded::new(batch, shared.ports.log.partitions()))))
                    .await
                    .is_err()
                {
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
                shared.fail(Fatal::Fenced(reason));
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
            // A full queue makes a gap, which is filled from the log.
            if queue.try_send(Input::Batch(message.0)).is_err() {
                self.missed.store(true, Relaxed);
            }
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
        self.ending.die_as_told(message.how, &self.path, context)
    }
}

crate::supervise::answers_ping!(Projection);
