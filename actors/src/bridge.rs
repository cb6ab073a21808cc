//! The Kafka bridge: the door between the log's threads and the actors of one arbiter. Assignments become partition
//! hosts, batches become messages, and a full mailbox holds the lane back, never drops. Commands and events have
//! lanes of their own, so that a command can never take the place of the event that would free it.
//!
//! Neighbours: `guardian` (its parent, which joins the group and opens the tail), `host` (its children).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, ResponseFuture};
use callboard_ports::inbox::{Committed, InboxControl, InboxEvent};
use callboard_ports::log::{Batch, TailControl, TailEvent};
use callboard_ports::record::Topic;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::host::{FromTail, Host, HostContext, HostFeed, Retire, TakeCommands, Taken};
use crate::limits::{BATCH_MAILBOX, HOST_MAILBOX};
use crate::node::Fatal;
use crate::observe::{ActorView, Show};
use crate::planner_pool::PlannerPool;
use crate::shared::Shared;
use crate::supervise::{Children, Drain, Ended, Ending, EndingCell, Kill, RestartChild, local};
use crate::wakes::Wakes;
use crate::window::{Window, WindowBounds};

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
    partitions: HashMap<u32, Owned>,
    planner: Rc<RefCell<Option<Addr<PlannerPool>>>>,
    children: Children,
    pumps: Vec<AbortHandle>,
    /// Tail assignments are numbered over all hosts of this bridge.
    generation: Rc<Cell<u64>>,
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

/// A host has written everything down.
#[derive(Message)]
#[rtype(result = "()")]
struct Retired {
    partition: u32,
    ack: Option<oneshot::Sender<()>>,
}

impl Bridge {
    pub fn new(
        path: String,
        shared: Arc<Shared>,
        feed: BridgeFeed,
        addr: Addr<Self>,
        ending: EndingCell,
    ) -> Self {
        let ports = &shared.ports;
        let children = Children::new(
            &path,
            ports.clock.clone(),
            ports.entropy.clone(),
            shared.metrics.clone(),
            addr.clone().recipient(),
            addr.clone().recipient(),
        );
        Self {
            path,
            inbox: feed.inbox.clone(),
            tail: feed.tail.clone(),
            feed: Some(feed),
            shared,
            addr,
            ending,
            partitions: HashMap::new(),
            planner: Rc::default(),
            children,
            pumps: Vec::new(),
            generation: Rc::default(),
        }
    }

    fn start_planner(&mut self) {
        let (path, shared, slot) =
            (format!("{}/planner", self.path), self.shared.clone(), self.planner.clone());
        let factory = Box::new(move || {
            let (path, shared) = (path.clone(), shared.clone());
            let (addr, started) =
                local(HOST_MAILBOX, |addr, ending| PlannerPool::new(path, shared, addr, ending));
            *slot.borrow_mut() = Some(addr);
            started
        });
        self.children.start("planner", factory);
    }

    fn own(&mut self, partition: u32, committed: Option<Committed>) {
        let limits = &self.shared.limits;
        let bounds =
            WindowBounds { entries: limits.commands_in_flight, bytes: limits.command_bytes_in_flight };
        let from = committed.map_or(0, |position| position.next_offset);
        let orders = Arc::new(Window::new(Topic::UserCommands, partition, from, bounds, self.inbox.clone()));
        let slot: Rc<RefCell<Option<Addr<Host>>>> = Rc::default();
        self.partitions.insert(partition, Owned { orders: orders.clone(), host: slot.clone() });
        let path = format!("{}/host-{partition}", self.path);
        let (shared, planner, generation) =
            (self.shared.clone(), self.planner.clone(), self.generation.clone());
        let (tail, inbox) = (self.tail.clone(), self.inbox.clone());
        let factory = Box::new(move || {
            generation.set(generation.get() + 1);
            let context = Rc::new(HostContext {
                shared: shared.clone(),
                partition,
                path: path.clone(),
                wakes: Wakes::default(),
                orders: orders.clone(),
                planner: planner.clone(),
            });
            let feed = HostFeed { tail: tail.clone(), inbox: inbox.clone(), generation: generation.get() };
            let (addr, started) = local(HOST_MAILBOX, |addr, ending| Host::new(context, feed, addr, ending));
            *slot.borrow_mut() = Some(addr);
            started
        });
        self.children.start(&format!("host-{partition}"), factory);
    }

    fn retire(&mut self, partition: u32, ack: Option<oneshot::Sender<()>>) -> LocalBoxFuture<'static, ()> {
        let Some(owned) = self.partitions.get(&partition) else {
            if let Some(ack) = ack {
                let _ = ack.send(());
            }
            return Box::pin(async {});
        };
        owned.orders.revoke();
        let (done, retired) = oneshot::channel();
        let (host, bridge) = (owned.host.borrow().clone(), self.addr.clone());
        Box::pin(async move {
            if let Some(host) = host
                && host.send(Retire(done)).await.is_ok()
            {
                // A host that dies instead of answering has nothing that the log does not have.
                let _ = retired.await;
            }
            let _ = bridge.send(Retired { partition, ack }).await;
        })
    }

    fn disown(&mut self, partition: u32) {
        if let Some(owned) = self.partitions.remove(&partition) {
            owned.orders.revoke();
        }
        self.children.remove(&format!("host-{partition}"));
    }

    /// Hands a batch to its host; waits out a restart of the host, so that nothing taken from the inbox is lost.
    fn take(&self, batch: Batch) -> LocalBoxFuture<'static, ()> {
        let Some(owned) = self.partitions.get(&batch.partition) else { return Box::pin(async {}) };
        let (orders, slot, clock) =
            (owned.orders.clone(), owned.host.clone(), self.shared.ports.clock.clone());
        Box::pin(async move {
            /// A restarting host is back after its back-off, a few of these.
            const PAUSE: Duration = Duration::from_millis(10);
            while !orders.is_revoked() {
                let host = slot.borrow().clone();
                if let Some(host) = host
                    && host.send(TakeCommands(batch.clone())).await.is_ok()
                {
                    return;
                }
                clock.sleep(PAUSE).await;
            }
        })
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
        self.pumps = vec![commands.abort_handle(), events.abort_handle()];
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.pumps.iter().for_each(AbortHandle::abort);
    }
}

impl Handler<FromInbox> for Bridge {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: FromInbox, context: &mut Self::Context) -> Self::Result {
        match message.0 {
            InboxEvent::Assigned { partition, committed } => self.own(partition, committed),
            InboxEvent::Batch(batch) => return self.take(batch),
            InboxEvent::Revoked { partition, ack } => return self.retire(partition, Some(ack)),
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

impl Handler<Retired> for Bridge {
    type Result = ();

    fn handle(&mut self, message: Retired, _: &mut Self::Context) {
        self.disown(message.partition);
        if let Some(ack) = message.ack {
            let _ = ack.send(());
        }
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

impl Handler<Ended> for Bridge {
    type Result = ();

    fn handle(&mut self, message: Ended, _: &mut Self::Context) {
        if let Some(name) = self.children.ended(&message) {
            crate::supervise::escalate(&self.path, &name);
        }
    }
}

impl Handler<RestartChild> for Bridge {
    type Result = ();

    fn handle(&mut self, message: RestartChild, _: &mut Self::Context) {
        self.children.restart(&message);
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
