//! The Kafka bridge: the door between the log's threads and the actors of one arbiter. Assignments become partition
//! hosts, batches become messages, and a full mailbox holds the lane back, never drops. Commands and events have
//! lanes of their own, so that a command can never take the place of the event that would free it.
//!
//! Neighbours: `guardian` (its parent, which joins the group and opens the tail), `hosts` (its children and what becomes of
//! them), `host`.

mod hosts;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, ResponseFuture};
use callboard_ports::inbox::{InboxControl, InboxEvent};
use callboard_ports::log::{TailControl, TailEvent};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::host::{FromTail, Host, Taken};
use crate::limits::BATCH_MAILBOX;
use crate::node::Fatal;
use crate::observe::{ActorView, Show};
use crate::planner_pool::PlannerPool;
use crate::shared::Shared;
use crate::supervise::{Children, Drain, Ending, EndingCell, Kill};
use crate::window::Window;

/// One lane of the command group and of the event tail.
pub struct BridgeFeed {
    pub commands: mpsc::Receiver<InboxEvent>,
    pub events: mpsc::Receiver<TailEvent>,
    pub inbox: Arc<dyn InboxControl>,
    pub tail: Arc<dyn TailControl>,
}

/// A partition that is ours.
struct Owned {
    orders: Arc<Window<Taken>>,
    host: Rc<RefCell<Option<Addr<Host>>>>,
}

/// The bridge of one arbiter.
pub struct Bridge {
    path: String,
    shared: Arc<Shared>,
    addr: Addr<Self>,
    ending: EndingCell,
    feed: Option<BridgeFeed>,
    inbox: Arc<dyn InboxControl>,
    tail: Arc<dyn TailControl>,
    partitions: BTreeMap<u32, Owned>,
    planner: Rc<RefCell<Option<Addr<PlannerPool>>>>,
    children: Children,
    tasks: Vec<AbortHandle>,
    /// Tail assignments are numbered over all hosts of this bridge.
    generation: Rc<Cell<u64>>,
    /// Monotonic: since when a partition has no host that runs.
    lost: BTreeMap<u32, u64>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct FromInbox(InboxEvent);

#[derive(Message)]
#[rtype(result = "()")]
struct FromEvents(TailEvent);

/// A lane has closed: the adapter has given up.
#[derive(Message)]
#[rtype(result = "()")]
struct LaneClosed;

impl Bridge {
    pub fn new(
        path: String,
        shared: Arc<Shared>,
        feed: BridgeFeed,
        addr: Addr<Self>,
        ending: EndingCell,
    ) -> Self {
        let children = Children::new(&path, &shared, addr.clone().recipient(), addr.clone().recipient());
        Self {
            path,
            inbox: feed.inbox.clone(),
            tail: feed.tail.clone(),
            feed: Some(feed),
            shared,
            addr,
            ending,
            partitions: BTreeMap::new(),
            planner: Rc::default(),
            children,
            tasks: Vec::new(),
            generation: Rc::default(),
            lost: BTreeMap::new(),
        }
    }
}

impl Actor for Bridge {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.start_planner();
        let Some(mut feed) = self.feed.take() else { return };
        let addr = self.addr.clone();
        let commands = actix::spawn(async move {
            while let Some(event) = feed.commands.recv().await {
                if addr.send(FromInbox(event)).await.is_err() {
                    return;
                }
            }
            let _ = addr.send(LaneClosed).await;
        });
        let addr = self.addr.clone();
        let events = actix::spawn(async move {
            while let Some(event) = feed.events.recv().await {
                if addr.send(FromEvents(event)).await.is_err() {
                    return;
                }
            }
            let _ = addr.send(LaneClosed).await;
        });
        self.tasks = vec![commands.abort_handle(), events.abort_handle()];
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Handler<FromInbox> for Bridge {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: FromInbox, context: &mut Self::Context) -> Self::Result {
        match message.0 {
            InboxEvent::Assigned { partition, committed } => self.own(partition, committed),
            InboxEvent::Batch(batch) => return self.take(batch),
            InboxEvent::Revoked { partition, ack } => {
                // Beside the lane: other partitions do not wait until this one is written down.
                let retiring = actix::spawn(self.retire(partition, Some(ack)));
                self.tasks.retain(|task| !task.is_finished());
                self.tasks.push(retiring.abort_handle());
            }
            InboxEvent::Lost { partition } => self.disown(partition),
            InboxEvent::Gap { partition, from, to } => {
                tracing::error!(
                    partition,
                    lost = format!("{from}..{to}"),
                    "user-commands were deleted before they were read"
                );
            }
            InboxEvent::Fenced { reason } => {
                self.shared.fail(Fatal::Fenced(reason));
                self.ending.set(Ending::Fenced);
                context.stop();
            }
        }
        Box::pin(async {})
    }
}

impl Handler<FromEvents> for Bridge {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: FromEvents, _: &mut Self::Context) -> Self::Result {
        let partition = match &message.0 {
            TailEvent::Batch { batch, .. } => batch.partition,
            TailEvent::Failed { partition, .. } => *partition,
        };
        let host = self.partitions.get(&partition).and_then(|owned| owned.host.borrow().clone());
        Box::pin(async move {
            if let Some(host) = host {
                // A host that is gone reads from the log when it is back.
                let _ = host.send(FromTail(message.0)).await;
            }
        })
    }
}

impl Handler<Drain> for Bridge {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let partitions: Vec<u32> = self.partitions.keys().copied().collect();
        let all: Vec<_> = partitions.into_iter().map(|partition| self.retire(partition, None)).collect();
        Box::pin(async move {
            futures_util::future::join_all(all).await;
        })
    }
}

impl Handler<LaneClosed> for Bridge {
    type Result = ();

    fn handle(&mut self, _: LaneClosed, context: &mut Self::Context) {
        self.ending.set(Ending::Failed);
        context.stop();
    }
}

impl Handler<Show> for Bridge {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let mut view = ActorView::new(&self.path, "bridge", "running", BATCH_MAILBOX);
        view.work = serde_json::json!({ "partitions": self.partitions.len() });
        let children = self.children.show();
        Box::pin(async move {
            view.children = children.await;
            view
        })
    }
}

impl Handler<Kill> for Bridge {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, message: Kill, context: &mut Self::Context) -> Self::Result {
        if !message.path.is_empty() {
            return self.children.kill(message);
        }
        let told = self.ending.die_as_told(message.how, &self.path, context);
        Box::pin(async move { told })
    }
}

crate::supervise::answers_ping!(Bridge);
