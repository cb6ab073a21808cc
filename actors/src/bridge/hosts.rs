//! The bridge's children: a host for every partition that is ours, and the planner pool. Neighbour: `bridge`, which says
//! when a partition comes and goes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Addr, Handler, Message};
use callboard_domain::planted::{self, Defect};
use callboard_ports::clock::Clock;
use callboard_ports::inbox::Committed;
use callboard_ports::log::Batch;
use callboard_ports::record::Topic;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::{Bridge, Owned};
use crate::directory::RUNNING;
use crate::gauges::HOST_GROUP;
use crate::host::{Host, HostContext, HostFeed, HostMemory, Retire, TakeCommands, Taken};
use crate::limits::{HELD_RETRY, HOST_MAILBOX, OPEN_TURNS_PAUSE, RESTART_RETRY};
use crate::planner_pool::PlannerPool;
use crate::supervise::{Ended, RestartChild, local};
use crate::window::{Window, WindowBounds};

/// A host has written everything down.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Retired {
    partition: u32,
    /// Those of the assignment that it was for.
    orders: Arc<Window<Taken>>,
    ack: Option<oneshot::Sender<()>>,
}

/// A partition's host runs again.
#[derive(Message)]
#[rtype(result = "()")]
struct Recovered(u32);

impl Bridge {
    pub(super) fn start_planner(&mut self) {
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

    pub(super) fn own(&mut self, partition: u32, committed: Option<Committed>) {
        let limits = &self.shared.limits;
        let bounds =
            WindowBounds { entries: limits.commands_in_flight, bytes: limits.command_bytes_in_flight };
        let from = committed.map_or(0, |position| position.next_offset);
        let (metrics, most_turns) =
            (&self.shared.metrics, limits.open_turns.saturating_mul(OPEN_TURNS_PAUSE));
        let window = Window::new(Topic::UserCommands, partition, from, bounds, self.inbox.clone())
            .counted(metrics.clone(), "commands_paused")
            .held_at(metrics.clone(), most_turns);
        let orders = Arc::new(window);
        if self.partitions.contains_key(&partition) {
            // Given up, still being written down, and ours anew: that host has lost it.
            self.disown(partition);
        }
        if let Some(tenure) = &self.shared.tenure {
            tenure.covers(&orders);
        }
        self.shared.gauges.watch(HOST_GROUP, (Topic::UserCommands, partition), &orders);
        self.shared.directory.assign(partition, true);
        let slot: Rc<RefCell<Option<Addr<Host>>>> = Rc::default();
        self.partitions.insert(partition, Owned { orders: orders.clone(), host: slot.clone() });
        let path = format!("{}/host-{partition}", self.path);
        let (shared, planner, generation) =
            (self.shared.clone(), self.planner.clone(), self.generation.clone());
        let (tail, inbox) = (self.tail.clone(), self.inbox.clone());
        let memory: Rc<HostMemory> = Rc::default();
        let factory = Box::new(move || {
            generation.set(generation.get() + 1);
            let (of, path, memory) = (shared.clone(), path.clone(), memory.clone());
            let context =
                Rc::new(HostContext::new(of, partition, path, memory, orders.clone(), planner.clone()));
            let feed = HostFeed { tail: tail.clone(), inbox: inbox.clone(), generation: generation.get() };
            let (addr, started) = local(HOST_MAILBOX, |addr, ending| Host::new(context, feed, addr, ending));
            *slot.borrow_mut() = Some(addr);
            started
        });
        self.children.start(&format!("host-{partition}"), factory);
    }

    pub(super) fn retire(
        &mut self,
        partition: u32,
        ack: Option<oneshot::Sender<()>>,
    ) -> LocalBoxFuture<'static, ()> {
        let Some(owned) = self.partitions.get(&partition) else {
            if let Some(ack) = ack {
                let _ = ack.send(());
            }
            return Box::pin(async {});
        };
        owned.orders.revoke();
        let (done, retired) = oneshot::channel();
        let (host, bridge, orders) = (owned.host.borrow().clone(), self.addr.clone(), owned.orders.clone());
        Box::pin(async move {
            if let Some(host) = host
                && host.send(Retire(done)).await.is_ok()
            {
                // A host that dies instead of answering has nothing that the log does not have.
                let _ = retired.await;
            }
            let _ = bridge.send(Retired { partition, orders, ack }).await;
        })
    }

    pub(super) fn disown(&mut self, partition: u32) {
        self.shared.directory.assign(partition, false);
        self.lost.remove(&partition);
        if let Some(owned) = self.partitions.remove(&partition) {
            owned.orders.revoke();
        }
        if planted::is(Defect::IssueAfterRevocation) {
            return;
        }
        self.children.remove(&format!("host-{partition}"));
    }

    /// Hands a batch to its host; waits out a restart of the host, so that nothing taken from the inbox is lost.
    pub(super) fn take(&self, batch: Batch) -> LocalBoxFuture<'static, ()> {
        let Some(owned) = self.partitions.get(&batch.partition) else { return Box::pin(async {}) };
        let (orders, slot, clock) =
            (owned.orders.clone(), owned.host.clone(), self.shared.ports.clock.clone());
        Box::pin(async move {
            while !orders.is_revoked() {
                let host = slot.borrow().clone();
                if let Some(host) = host
                    && host.send(TakeCommands(batch.clone())).await.is_ok()
                {
                    watch(&orders, clock);
                    return;
                }
                clock.sleep(RESTART_RETRY).await;
            }
        })
    }
}

impl Handler<Retired> for Bridge {
    type Result = ();

    fn handle(&mut self, message: Retired, _: &mut Self::Context) {
        let current = self.partitions.get(&message.partition);
        if current.is_some_and(|owned| Arc::ptr_eq(&owned.orders, &message.orders)) {
            self.disown(message.partition);
        }
        if let Some(ack) = message.ack {
            let _ = ack.send(());
        }
    }
}

impl Handler<Ended> for Bridge {
    type Result = ();

    fn handle(&mut self, message: Ended, _: &mut Self::Context) {
        if let Some(partition) = partition_of(&message.name) {
            let now_ms = self.shared.ports.clock.monotonic_ms();
            self.lost.entry(partition).or_insert(now_ms);
        }
        if let Some(name) = self.children.ended(&message) {
            crate::supervise::escalate(&self.path, &name);
        }
    }
}

impl Handler<RestartChild> for Bridge {
    type Result = ();

    fn handle(&mut self, message: RestartChild, _: &mut Self::Context) {
        self.children.restart(&message);
        let Some(partition) = partition_of(&message.name) else { return };
        let (shared, addr) = (self.shared.clone(), self.addr.clone());
        let back = actix::spawn(async move {
            shared.directory.until(|states| states.get(&partition) == Some(&RUNNING)).await;
            let _ = addr.send(Recovered(partition)).await;
        });
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(back.abort_handle());
    }
}

impl Handler<Recovered> for Bridge {
    type Result = ();

    fn handle(&mut self, message: Recovered, _: &mut Self::Context) {
        if let Some(lost_ms) = self.lost.remove(&message.0) {
            let took_ms = self.shared.ports.clock.monotonic_ms().saturating_sub(lost_ms);
            self.shared.metrics.recovered("partition_host", took_ms as f64 / 1_000.0);
        }
    }
}

/// Lets commands go on when enough turns have ended.
fn watch(orders: &Arc<Window<Taken>>, clock: Arc<dyn Clock>) {
    if !orders.wants_watch() {
        return;
    }
    // Whoever lets go of the window ends this too.
    let orders = Arc::downgrade(orders);
    actix::spawn(async move {
        loop {
            clock.sleep(HELD_RETRY).await;
            if !orders.upgrade().is_some_and(|orders| orders.relax()) {
                return;
            }
        }
    });
}

fn partition_of(name: &str) -> Option<u32> {
    name.strip_prefix("host-")?.parse().ok()
}
