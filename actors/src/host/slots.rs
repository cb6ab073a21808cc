//! Which conversations are loaded or being loaded, and what waits for them. Neighbour: `crashes`, which says what becomes
//! of those that end unasked.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::Addr;
use callboard_domain::State;
use callboard_domain::id::ConversationId;
use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio::sync::{Notify, oneshot};

use super::crashes::{ConversationEnded, Crashes};
use super::{Host, HostContext, fold};
use crate::conversation::{Conversation, Doing, Events, Order};
use crate::limits::{CONVERSATION_MAILBOX, Limits, PENDING_WHILE_LOADING, SHOW_TIMEOUT, SHOWN_CHILDREN};
use crate::observe::{ActorView, KillHow};
use crate::supervise::{Beat, Kill, Started, local, show_child};

/// What waits for a conversation that is being loaded or is about to leave.
#[derive(Default)]
pub(super) struct Pending {
    pub events: Vec<Events>,
    records: usize,
    /// Records were dropped: they are read again from the log.
    pub overflown: bool,
    pub orders: Vec<Order>,
    pub opens: Vec<oneshot::Sender<Addr<Conversation>>>,
}

impl Pending {
    /// Commands that wait, and nothing else.
    pub fn of(orders: Vec<Order>) -> Self {
        Self { orders, ..Self::default() }
    }

    pub fn push(&mut self, events: Events) {
        self.records += events.items.len();
        if self.records > PENDING_WHILE_LOADING {
            self.overflown = true;
            self.events.clear();
        }
        if !self.overflown {
            self.events.push(events);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.orders.is_empty() && self.opens.is_empty()
    }
}

/// A live conversation; dropping it aborts the actor.
pub(super) struct Live {
    /// The one address that data goes through: every clone of an address has a mailbox slot of its own, so sending
    /// through clones would know no bound.
    pub addr: Addr<Conversation>,
    started: Started,
    /// Rung when something is sent to it: its heartbeat is listened to while it is used.
    pub rung: Arc<Notify>,
    pub generation: u64,
    /// What it is at.
    pub doing: Rc<Cell<Doing>>,
    /// Monotonic: when something was last sent to it.
    pub touched_ms: u64,
    /// Of its last snapshot; what it takes in memory is some three times that.
    pub snapshot_bytes: usize,
    /// It has been asked to leave: nothing is sent to it until it has answered.
    pub leaving: Option<Pending>,
}

pub(super) enum Slot {
    Loading(Pending),
    Live(Live),
}

/// All slots of a host.
#[derive(Default)]
pub(super) struct Slots {
    /// Ordered, so that a seed of the simulation is one run.
    pub slots: BTreeMap<ConversationId, Slot>,
    pub crashed: HashMap<ConversationId, Crashes>,
    generation: u64,
}

impl Slots {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn contains(&self, conversation: &ConversationId) -> bool {
        self.slots.contains_key(conversation)
    }

    pub fn live(&self) -> impl Iterator<Item = (&ConversationId, &Live)> {
        self.slots.iter().filter_map(|(id, slot)| match slot {
            Slot::Live(live) => Some((id, live)),
            Slot::Loading(_) => None,
        })
    }

    /// Whether there are more, or larger ones, than shall stay in memory while nobody talks to them.
    pub fn are_crowded(&self, limits: &Limits) -> bool {
        let bytes = self.live().map(|(_, live)| live.snapshot_bytes).sum::<usize>();
        self.len() > limits.live_conversations || bytes > limits.live_snapshot_bytes
    }

    /// A snapshot of it has this size.
    pub fn weigh(&mut self, conversation: &ConversationId, snapshot_bytes: usize) {
        if let Some(Slot::Live(live)) = self.slots.get_mut(conversation) {
            live.snapshot_bytes = snapshot_bytes;
        }
    }

    pub fn addr(&self, conversation: &ConversationId) -> Option<Addr<Conversation>> {
        match self.slots.get(conversation) {
            Some(Slot::Live(live)) => Some(live.addr.clone()),
            _ => None,
        }
    }

    /// From here on nothing is sent to the conversation, until [`Host::left`].
    pub fn leaving(&mut self, conversation: &ConversationId) {
        if let Some(Slot::Live(live)) = self.slots.get_mut(conversation) {
            live.leaving.get_or_insert_default();
        }
    }

    pub fn show(&self, context: &Rc<HostContext>) -> LocalBoxFuture<'static, Vec<ActorView>> {
        let clock = context.shared.ports.clock.clone();
        let ask = |(id, slot): (&ConversationId, &Slot)| {
            let endings = self.crashed.get(id).map_or_else(BTreeMap::new, |crashes| crashes.endings.clone());
            let refs = match slot {
                Slot::Live(live) => live.started.refs(),
                Slot::Loading(_) => None,
            };
            let (path, timeout) = (format!("{}/{id}", context.path), clock.sleep(SHOW_TIMEOUT));
            async move {
                // Every ending but passivation is followed by a restart.
                let restarts = endings.values().sum();
                let is_loading = refs.is_none();
                let mut view = show_child(path, refs, restarts, endings, timeout).await;
                view.kind = "conversation";
                if is_loading {
                    view.state = "loading".into();
                }
                view
            }
        };
        let mut all: Vec<_> = self.slots.iter().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        let asked: Vec<_> = all.into_iter().take(SHOWN_CHILDREN).map(ask).collect();
        futures_util::future::join_all(asked).boxed_local()
    }

    pub fn kill(&mut self, mut message: Kill) -> LocalBoxFuture<'static, bool> {
        let name = message.path.remove(0);
        let Some(Slot::Live(live)) = self.slots.get_mut(name.as_str()) else {
            return Box::pin(async { false });
        };
        if message.how == KillHow::Abort && message.path.is_empty() {
            if let crate::supervise::Guard::Task(task) = &live.started.guard {
                task.abort();
            }
            return Box::pin(async { true });
        }
        let addr = live.addr.clone();
        // One that panics as told answers with a closed mailbox: that is success.
        Box::pin(async move { addr.send(message).await.unwrap_or(true) })
    }
}

impl Host {
    pub(super) fn now_ms(&self) -> u64 {
        self.context.shared.ports.clock.monotonic_ms()
    }

    /// Makes an actor of a state. What has been waiting for it is folded first, so that no order of sending matters.
    pub(super) fn launch(&mut self, mut state: State) {
        let conversation = state.conversation.clone();
        let pending = match self.slots.slots.remove(&conversation) {
            Some(Slot::Loading(pending)) => pending,
            _ => Pending::default(),
        };
        let waiting = pending
            .events
            .iter()
            .flat_map(|events| events.items.iter().map(|i| &events.decoded.items[*i as usize].recorded));
        if waiting.into_iter().any(|recorded| fold::fold(&mut state, recorded).is_err()) {
            // Reading it from the log stops in front of that record.
            let again = Pending { orders: pending.orders, opens: pending.opens, ..Pending::default() };
            self.slots.slots.insert(conversation.clone(), Slot::Loading(again));
            self.start_loading(&conversation);
            return;
        }
        self.slots.generation += 1;
        let generation = self.slots.generation;
        let (context, orders) = (self.context.clone(), pending.orders);
        let doing: Rc<Cell<Doing>> = Rc::default();
        let of = doing.clone();
        let (addr, mut started) = local(CONVERSATION_MAILBOX, |addr, ending| {
            Conversation::new(state, orders, context, of, addr, ending)
        });
        let rung = Arc::new(Notify::new());
        let shared = &self.context.shared;
        let (clock, every) = (shared.ports.clock.clone(), shared.limits.heartbeat_every);
        let watch = started.watched(Beat { clock, every, rung: Some(rung.clone()) });
        let (host, name) = (self.addr.clone(), conversation.clone());
        actix::spawn(async move {
            let ending = watch.await;
            let _ = host.send(ConversationEnded { conversation: name, generation, ending }).await;
        });
        self.context.shared.directory.enter(conversation.clone(), addr.clone(), rung.clone());
        for open in pending.opens {
            let _ = open.send(addr.clone());
        }
        let touched_ms = self.now_ms();
        let live =
            Live { addr, started, rung, generation, doing, touched_ms, snapshot_bytes: 0, leaving: None };
        self.slots.slots.insert(conversation, Slot::Live(live));
    }

    /// Marks a conversation as being loaded and starts that. What it had in hand comes back from the window.
    pub(super) fn load(&mut self, conversation: &ConversationId) {
        let orders = self.context.orders_of(conversation);
        let pending = Pending::of(orders);
        self.slots.slots.insert(conversation.clone(), Slot::Loading(pending));
        match self.flush.take_kept(conversation) {
            Some(state) => self.loaded(state),
            None => self.start_loading(conversation),
        }
    }

    /// A load has ended: launch, or read again what overflowed meanwhile.
    pub(super) fn loaded(&mut self, state: State) {
        let conversation = state.conversation.clone();
        match self.slots.slots.get_mut(&conversation) {
            Some(Slot::Loading(pending)) if pending.overflown => {
                (pending.overflown, pending.records) = (false, 0);
                self.start_loading(&conversation);
            }
            Some(Slot::Loading(_)) => {
                self.context.shared.metrics.conversations_loaded.fetch_add(1, Relaxed);
                self.launch(state);
            }
            _ => {}
        }
    }
}
