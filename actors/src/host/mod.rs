//! The partition host: owns one partition, routes its records and commands to conversations, keeps their timers,
//! snapshots and dead letters. A host starts by catching up (`catch_up`, `replay`), which is also all there is of recovery.
//!
//! Neighbours: `bridge` (its parent and feed), `conversation` (its children), `slots` (who is loaded), `crashes` (who ended
//! unasked), `identity` (which log this is), `load` (one conversation from snapshot and log), `resume` (whom to bring
//! back), `flush` (snapshots and checkpoint), `storeless` (without them), `dead` (unreadable records), `lookup` and `open`
//! (questions from outside).

mod append;
mod catch_up;
mod commands;
mod crashes;
mod dead;
mod deliver;
mod flush;
mod fold;
mod identity;
mod load;
mod lookup;
mod open;
mod replay;
mod resume;
mod slots;
mod storeless;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, ResponseFuture};
use callboard_domain::State;
use callboard_domain::conversation::Recorded;
use callboard_domain::event::Event;
use callboard_domain::id::ConversationId;
use callboard_ports::inbox::InboxControl;
use callboard_ports::log::{LogIdentity, TailControl, TailEvent};
use tokio::task::AbortHandle;

pub use append::append_until_acknowledged;
pub use commands::{TakeCommands, Taken};
pub use flush::Retire;
pub use lookup::{Indexed, List, Offsets, Open};
pub use open::{OpenAt, ReadOpen};

use crate::conversation::Events;
use crate::decode::Decoded;
use crate::history::Observed;
use crate::limits::HOST_MAILBOX;
use crate::observe::{ActorView, Show};
use crate::open_index::OpenIndex;
use crate::planner_pool::PlannerPool;
use crate::shared::Shared;
use crate::supervise::{Ending, EndingCell, Kill};
use crate::wakes::Wakes;
use crate::window::Window;

/// What a host and its conversations share; all of them live on one arbiter.
pub struct HostContext {
    pub shared: Arc<Shared>,
    pub partition: u32,
    pub path: String,
    pub wakes: Wakes,
    /// What is open in its conversations.
    pub open: OpenIndex,
    pub memory: Rc<HostMemory>,
    /// Commands taken and not done. Outlives the host: a restarted one finds there what to do.
    pub orders: Arc<Window<Taken>>,
    pub planner: Rc<RefCell<Option<Addr<PlannerPool>>>>,
}

/// What is remembered for as long as the partition is ours, whichever host runs.
#[derive(Default)]
pub struct HostMemory {
    store: storeless::StoreMemory,
    identity: identity::KnownIdentity,
    /// Below it, all dead letters of unreadable events are written; `None` until it was asked for.
    dead_position: Cell<Option<u64>>,
    /// Offsets of commands that are on their way to the dead letters.
    given_up: RefCell<HashSet<u64>>,
}

impl HostMemory {
    fn dead_position(&self) -> u64 {
        self.dead_position.get().unwrap_or(0)
    }
}

impl HostContext {
    pub fn new(
        shared: Arc<Shared>,
        partition: u32,
        path: String,
        memory: Rc<HostMemory>,
        orders: Arc<Window<Taken>>,
        planner: Rc<RefCell<Option<Addr<PlannerPool>>>>,
    ) -> Self {
        let (wakes, open) = (Wakes::default(), OpenIndex::default());
        Self { shared, partition, path, wakes, open, memory, orders, planner }
    }

    fn is_given_up(&self, offset: u64) -> bool {
        self.memory.given_up.borrow().contains(&offset)
    }

    /// An event was folded: a result says something of its tool.
    pub fn observe(&self, state: &State, recorded: &Recorded, event: &Event) {
        if let (Event::ToolInvocationResulted(body), Some(command)) = (event, &recorded.command)
            && let Some(step) =
                state.plan_of(command.as_str(), body.version).and_then(|plan| plan.step(&body.step))
        {
            self.shared.breakers.observe(&step.plan.tool, &body.outcome, recorded.timestamp_ms);
        }
    }

    pub fn planner(&self) -> Option<Addr<PlannerPool>> {
        self.planner.borrow().clone()
    }
}

/// What the bridge hands to a host.
#[derive(Clone)]
pub struct HostFeed {
    pub tail: Arc<dyn TailControl>,
    pub inbox: Arc<dyn InboxControl>,
    /// Told to the tail, so that batches of an earlier assignment are recognised.
    pub generation: u64,
}

/// How far a host has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    CatchingUp,
    Running,
    Retiring,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::CatchingUp => "catching up",
            Self::Running => "running",
            Self::Retiring => "retiring",
        }
    }
}

/// The host of one partition.
pub struct Host {
    context: Rc<HostContext>,
    feed: HostFeed,
    addr: Addr<Self>,
    ending: EndingCell,
    phase: Phase,
    identity: LogIdentity,
    identity_is_final: bool,
    /// Next offset of the partition.
    position: u64,
    slots: slots::Slots,
    /// Offsets of each conversation's records that no stored snapshot covers yet.
    dirty: HashMap<ConversationId, Vec<u64>>,
    flush: flush::Flushing,
    resuming: resume::Resuming,
    /// Whether it is counted among the partitions without snapshots.
    counted_without: bool,
    dead: dead::DeadLetters,
    tasks: Vec<AbortHandle>,
}

/// Something from the tail.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FromTail(pub TailEvent);

/// Some conversation's time has come.
#[derive(Message)]
#[rtype(result = "()")]
struct Tick;

impl Host {
    pub fn new(context: Rc<HostContext>, feed: HostFeed, addr: Addr<Self>, ending: EndingCell) -> Self {
        Self {
            context,
            feed,
            addr,
            ending,
            phase: Phase::CatchingUp,
            identity: LogIdentity(String::new()),
            identity_is_final: false,
            position: 0,
            slots: slots::Slots::default(),
            dirty: HashMap::new(),
            flush: flush::Flushing::default(),
            resuming: resume::Resuming::default(),
            counted_without: false,
            dead: dead::DeadLetters::default(),
            tasks: Vec::new(),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let directory = &self.context.shared.directory;
        directory.enter_host(self.context.partition, self.addr.clone(), phase.as_str());
    }

    /// A task that ends with the host.
    fn task(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(actix::spawn(task).abort_handle());
    }

    /// Wakes conversations when their time has come.
    fn keep_time(&mut self) {
        let (context, addr) = (self.context.clone(), self.addr.clone());
        self.task(async move {
            /// Without anybody to wake, look again after this; an earlier wake time interrupts the sleep.
            const LONGEST_SLEEP_MS: i64 = 60_000;
            /// Wakes closer together than this are taken in one go.
            const SHORTEST_SLEEP_MS: i64 = 5;
            /// A sleep that is this much too long means that time stood still here, not elsewhere.
            const LATE_MS: u64 = 1_000;
            const GRACE: std::time::Duration = std::time::Duration::from_secs(2);
            let clock = context.shared.ports.clock.clone();
            loop {
                let now_ms = clock.now_ms();
                let sleep_ms = context.wakes.first_ms().map_or(LONGEST_SLEEP_MS, |at| at - now_ms);
                let sleep_ms = sleep_ms.clamp(SHORTEST_SLEEP_MS, LONGEST_SLEEP_MS).unsigned_abs();
                let before_ms = clock.monotonic_ms();
                tokio::select! {
                    biased;
                    () = context.wakes.earlier() => continue,
                    () = clock.sleep(std::time::Duration::from_millis(sleep_ms)) => {}
                }
                if clock.monotonic_ms().saturating_sub(before_ms) > sleep_ms + LATE_MS {
                    // The process was stopped or the laptop slept: what was written meanwhile is read first, so that no
                    // deadline is declared over a result that is already in the log.
                    clock.sleep(GRACE).await;
                }
                if addr.send(Tick).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Routes a batch; the future ends when every conversation has room for its part.
    fn route(&mut self, decoded: Arc<Decoded>) -> ResponseFuture<()> {
        if decoded.start() < self.position {
            // Read twice at the seam between catch-up and tail: the fold would skip it, the index must not see it.
            tracing::debug!(partition = self.context.partition, "batch overlaps the position");
        }
        self.dead_letters(&decoded);
        let mut groups: HashMap<&ConversationId, Vec<u32>> = HashMap::new();
        let mut order: Vec<&ConversationId> = Vec::new();
        for (i, item) in decoded.items.iter().enumerate() {
            if item.recorded.offset < self.position {
                continue;
            }
            let group = groups.entry(&item.conversation).or_insert_with(|| {
                order.push(&item.conversation);
                Vec::new()
            });
            group.push(u32::try_from(i).expect("a batch has far fewer than 2^32 records"));
        }
        let mut late: Vec<deliver::Delivery> = Vec::new();
        for conversation in order {
            let items = groups.remove(conversation).unwrap_or_default();
            let offsets: Vec<u64> =
                items.iter().map(|i| decoded.items[*i as usize].recorded.offset).collect();
            late.extend(self.deliver_events(conversation, Events { decoded: decoded.clone(), items }));
            if self.context.memory.store.mode() != storeless::Mode::Scanning {
                self.dirty.entry(conversation.clone()).or_default().extend(offsets);
            }
        }
        self.position = self.position.max(decoded.end());
        if let Some(history) = self.context.shared.directory.history() {
            // A full projection fills the gap from the log by itself.
            if history.try_send(Observed(decoded)).is_err() {
                self.context.shared.metrics.refused("history_mailbox");
            }
        }
        Box::pin(async move {
            for delivery in late {
                delivery.await;
            }
        })
    }
}

impl Actor for Host {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.enter(Phase::CatchingUp);
        self.feed.inbox.pause(self.context.partition);
        self.catch_up();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        let directory = &self.context.shared.directory;
        for (conversation, live) in self.slots.live() {
            directory.leave(conversation, &live.addr);
        }
        directory.leave_host(self.context.partition, &self.addr);
        self.feed.tail.unassign(self.context.partition);
        self.without_snapshots(false);
        if !self.context.orders.is_revoked() {
            self.context.shared.gauges.forget_open(self.context.partition);
        }
        if self.phase == Phase::Running {
            self.context.shared.metrics.partitions_owned.fetch_sub(1, Relaxed);
        }
    }
}

impl Handler<FromTail> for Host {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: FromTail, context: &mut Self::Context) -> Self::Result {
        match message.0 {
            TailEvent::Batch { batch, generation } if generation == self.feed.generation => {
                if self.phase == Phase::Running {
                    return self
                        .route(Arc::new(Decoded::new(batch, self.context.shared.ports.log.partitions())));
                }
            }
            TailEvent::Failed { partition, generation, error } if generation == self.feed.generation => {
                tracing::error!(partition, %error, "the log lost records that this partition had not read");
                self.context.memory.identity.doubt();
                self.ending.set(Ending::Failed);
                context.stop();
            }
            TailEvent::Batch { .. } | TailEvent::Failed { .. } => {}
        }
        Box::pin(async {})
    }
}

impl Handler<Tick> for Host {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        /// Wakes of one tick: a burst after a long sleep is spread over several.
        const WAKES: usize = 1_000;
        let now_ms = self.context.shared.now_ms();
        for conversation in self.context.wakes.take_due(now_ms, WAKES) {
            self.wake(&conversation);
        }
        self.resume();
    }
}

impl Handler<Show> for Host {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let mut view =
            ActorView::new(&self.context.path, "partition_host", self.phase.as_str(), HOST_MAILBOX);
        view.work = serde_json::json!({
            "partition": self.context.partition,
            "position": self.position,
            "conversations": self.slots.len(),
            "dirty": self.dirty.len(),
            "commands": self.context.orders.len(),
            "wakes": self.context.wakes.len(),
            "resuming": self.resuming.len(),
            "snapshots": self.has_store(),
        });
        let children = self.slots.show(&self.context);
        Box::pin(async move {
            view.children = children.await;
            view
        })
    }
}

impl Handler<Kill> for Host {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, message: Kill, context: &mut Self::Context) -> Self::Result {
        if message.path.is_empty() {
            let told = self.ending.die_as_told(message.how, &self.context.path, context);
            return Box::pin(async move { told });
        }
        self.slots.kill(message)
    }
}

crate::supervise::answers_ping!(Host);
