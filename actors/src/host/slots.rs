//! Which conversations are loaded, being loaded, or resting after too many crashes; and what waits for them.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Addr, Handler, Message};
use callboard_domain::id::ConversationId;
use callboard_domain::{State, apply};
use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio::sync::oneshot;

use super::{Host, HostContext, Phase, Taken};
use crate::conversation::{Conversation, Events, Order};
use crate::limits::{CONVERSATION_MAILBOX, PENDING_WHILE_LOADING, SHOW_TIMEOUT, SHOWN_CHILDREN};
use crate::observe::{ActorView, KillHow, Show};
use crate::supervise::{Budget, Ending, Kill, Restart, Started, local};

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
    generation: u64,
    /// Monotonic: when something was last sent to it.
    pub touched_ms: u64,
    /// It has been asked to leave: nothing is sent to it until it has answered.
    pub leaving: Option<Pending>,
}

pub(super) enum Slot {
    Loading(Pending),
    Live(Live),
}

/// What is remembered of a conversation that crashed.
#[derive(Default)]
struct Crashes {
    budget: Budget,
    endings: BTreeMap<String, u32>,
}

/// All slots of a host.
#[derive(Default)]
pub(super) struct Slots {
    pub slots: HashMap<ConversationId, Slot>,
    crashed: HashMap<ConversationId, Crashes>,
    generation: u64,
}

impl Slots {
    pub fn ids(&self) -> impl Iterator<Item = &ConversationId> {
        self.slots.keys()
    }

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
        let asked: Vec<_> = self
            .live()
            .take(SHOWN_CHILDREN)
            .map(|(id, live)| {
                let endings =
                    self.crashed.get(id).map_or_else(BTreeMap::new, |crashes| crashes.endings.clone());
                (format!("{}/{id}", context.path), live.addr.clone(), endings, clock.sleep(SHOW_TIMEOUT))
            })
            .collect();
        let show = |(path, addr, endings, timeout): (String, Addr<Conversation>, BTreeMap<_, u32>, _)| async move {
            let shown = tokio::select! {
                biased;
                shown = addr.send(Show) => shown.ok(),
                () = timeout => None,
            };
            let mut view = shown.unwrap_or_else(|| ActorView::silent(&path));
            // Every ending but passivation is followed by a restart.
            view.restarts = endings.values().sum();
            view.endings = endings;
            view
        };
        futures_util::future::join_all(asked.into_iter().map(show)).boxed_local()
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

/// A conversation's task is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ConversationEnded {
    conversation: ConversationId,
    generation: u64,
    ending: Ending,
}

/// The pause after a crash is over.
#[derive(Message)]
#[rtype(result = "()")]
struct LoadAgain(ConversationId);

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
        for events in &pending.events {
            for i in &events.items {
                apply(&mut state, &events.decoded.items[*i as usize].recorded);
            }
        }
        self.slots.generation += 1;
        let generation = self.slots.generation;
        let (context, orders) = (self.context.clone(), pending.orders);
        let (addr, mut started) = local(CONVERSATION_MAILBOX, |addr, ending| {
            Conversation::new(state, orders, context, addr, ending)
        });
        let watch = std::mem::replace(&mut started.ended, Box::pin(std::future::pending()));
        let (host, name) = (self.addr.clone(), conversation.clone());
        actix::spawn(async move {
            let ending = watch.await;
            let _ = host.send(ConversationEnded { conversation: name, generation, ending }).await;
        });
        self.context.shared.directory.enter(conversation.clone(), addr.clone());
        for open in pending.opens {
            let _ = open.send(addr.clone());
        }
        let live = Live { addr, started, generation, touched_ms: self.now_ms(), leaving: None };
        self.slots.slots.insert(conversation, Slot::Live(live));
    }

    /// Marks a conversation as being loaded and starts that. What it had in hand comes back from the window.
    pub(super) fn load(&mut self, conversation: &ConversationId) {
        let orders = self.context.orders_of(conversation);
        let pending = Pending { orders, ..Pending::default() };
        self.slots.slots.insert(conversation.clone(), Slot::Loading(pending));
        self.start_loading(conversation);
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

impl HostContext {
    /// Commands of one conversation that are taken and not done, in inbox order.
    fn orders_of(&self, conversation: &ConversationId) -> Vec<Order> {
        let of = |taken| match taken {
            Taken::Order(order) if order.conversation == *conversation => Some(order),
            _ => None,
        };
        self.orders.open().into_iter().filter_map(|(_, taken)| of(taken)).collect()
    }
}

impl Handler<ConversationEnded> for Host {
    type Result = ();

    fn handle(&mut self, message: ConversationEnded, _: &mut Self::Context) {
        let id = message.conversation;
        match self.slots.slots.get(&id) {
            Some(Slot::Live(live)) if live.generation == message.generation => {}
            _ => return,
        }
        if message.ending == Ending::Passivated {
            // Its answer, on the way, says what to do with what waits.
            return;
        }
        self.slots.slots.remove(&id);
        self.context.shared.directory.leave(&id);
        if self.phase != Phase::Running {
            return;
        }
        self.context.shared.metrics.ending("conversation", message.ending);
        tracing::warn!(conversation = %id, ending = message.ending.as_str(), "conversation ended; it is loaded again");
        /// A conversation that keeps crashing rests this long, so that it harms nobody but itself.
        const REST: std::time::Duration = std::time::Duration::from_secs(60);
        /// Conversations whose crashes are remembered; forgetting them forgives.
        const CRASHED: usize = 1_024;
        if self.slots.crashed.len() >= CRASHED {
            self.slots.crashed.clear();
        }
        let (now_ms, random) = (self.now_ms(), self.context.shared.ports.entropy.next_u64());
        let crashes = self.slots.crashed.entry(id.clone()).or_default();
        *crashes.endings.entry(message.ending.as_str().to_owned()).or_default() += 1;
        let pause = match crashes.budget.spend(now_ms, random) {
            Restart::After(pause) => pause,
            Restart::Exhausted => REST,
        };
        self.slots.slots.insert(
            id.clone(),
            Slot::Loading(Pending { orders: self.context.orders_of(&id), ..Pending::default() }),
        );
        let (clock, host) = (self.context.shared.ports.clock.clone(), self.addr.clone());
        self.task(async move {
            clock.sleep(pause).await;
            let _ = host.send(LoadAgain(id)).await;
        });
    }
}

impl Handler<LoadAgain> for Host {
    type Result = ();

    fn handle(&mut self, message: LoadAgain, _: &mut Self::Context) {
        if matches!(self.slots.slots.get(&message.0), Some(Slot::Loading(_))) {
            self.start_loading(&message.0);
        }
    }
}
