//! Which conversations are loaded, being loaded, or resting after too many crashes; and what waits for them.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Addr, Handler, MailboxError, Message, dev::SendError};
use callboard_domain::State;
use callboard_domain::id::ConversationId;
use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio::sync::oneshot;

use super::{Host, HostContext, Phase, Taken};
use crate::conversation::{Conversation, Events, Order, Orders, Wake};
use crate::limits::{CONVERSATION_MAILBOX, FULL_RETRY, PENDING_WHILE_LOADING, SHOW_TIMEOUT, SHOWN_CHILDREN};
use crate::observe::{ActorView, KillHow, Show};
use crate::supervise::{Budget, Ending, Kill, Restart, Started, local};

/// What waits for a conversation that is being loaded.
#[derive(Default)]
struct Pending {
    events: Vec<Events>,
    records: usize,
    /// Records were dropped: they are read again from the log.
    overflown: bool,
    orders: Vec<Order>,
    opens: Vec<oneshot::Sender<Addr<Conversation>>>,
}

/// A live conversation; dropping it aborts the actor.
pub(super) struct Live {
    pub addr: Addr<Conversation>,
    started: Started,
    generation: u64,
    /// Monotonic: when something was last sent to it.
    pub touched_ms: u64,
}

enum Slot {
    Loading(Pending),
    Live(Live),
}

/// All slots of a host.
#[derive(Default)]
pub(super) struct Slots {
    slots: HashMap<ConversationId, Slot>,
    /// Restart budgets of conversations that crashed.
    crashed: HashMap<ConversationId, Budget>,
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

    pub fn clear(&mut self) {
        self.slots.clear();
    }

    pub fn show(&self, context: &Rc<HostContext>) -> LocalBoxFuture<'static, Vec<ActorView>> {
        let clock = context.shared.ports.clock.clone();
        let asked: Vec<_> = self
            .live()
            .take(SHOWN_CHILDREN)
            .map(|(id, live)| (format!("{}/{id}", context.path), live.addr.clone(), clock.sleep(SHOW_TIMEOUT)))
            .collect();
        let show = |(path, addr, timeout): (String, Addr<Conversation>, _)| async move {
            let shown = tokio::select! {
                biased;
                shown = addr.send(Show) => shown.ok(),
                () = timeout => None,
            };
            shown.unwrap_or_else(|| ActorView::silent(&path))
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
    fn now_ms(&self) -> u64 {
        self.context.shared.ports.clock.monotonic_ms()
    }

    /// Makes an actor of a state and gives it what has been waiting.
    pub(super) fn launch(&mut self, state: State) {
        let conversation = state.conversation.clone();
        self.slots.generation += 1;
        let generation = self.slots.generation;
        let context = self.context.clone();
        let (addr, mut started) =
            local(CONVERSATION_MAILBOX, |addr, ending| Conversation::new(state, context, addr, ending));
        let watch = std::mem::replace(&mut started.ended, Box::pin(std::future::pending()));
        let (host, name) = (self.addr.clone(), conversation.clone());
        actix::spawn(async move {
            let ending = watch.await;
            let _ = host.send(ConversationEnded { conversation: name, generation, ending }).await;
        });
        self.context.shared.directory.enter(conversation.clone(), addr.clone());
        let live = Live { addr: addr.clone(), started, generation, touched_ms: self.now_ms() };
        let before = self.slots.slots.insert(conversation.clone(), Slot::Live(live));
        let Some(Slot::Loading(pending)) = before else { return };
        for open in pending.opens {
            let _ = open.send(addr.clone());
        }
        for events in pending.events {
            self.later(self.deliver_to(&addr, &conversation, events));
        }
        if !pending.orders.is_empty() {
            self.later(self.deliver_to(&addr, &conversation, Orders(pending.orders)));
        }
    }

    fn later(&self, delivery: Option<LocalBoxFuture<'static, ()>>) {
        if let Some(delivery) = delivery {
            actix::spawn(delivery);
        }
    }

    /// Sends now, or gives the future that sends when there is room.
    fn deliver_to<M>(&self, addr: &Addr<Conversation>, id: &ConversationId, message: M) -> Option<LocalBoxFuture<'static, ()>>
    where
        M: Message<Result = ()> + Send + 'static,
        Conversation: Handler<M>,
    {
        match addr.try_send(message) {
            Ok(()) => None,
            Err(SendError::Full(message)) => {
                let addr = addr.clone();
                Some(Box::pin(async move {
                    // Closed meanwhile: whoever loads it next reads the log.
                    let _: Result<(), MailboxError> = addr.send(message).await;
                }))
            }
            Err(SendError::Closed(_)) => {
                tracing::debug!(conversation = %id, "ended while something was sent to it");
                None
            }
        }
    }

    /// Routes records to a conversation, loading it when need be. Records for one that has just ended are not kept:
    /// its successor reads them from the log.
    pub(super) fn deliver_events(
        &mut self,
        conversation: &ConversationId,
        events: Events,
    ) -> Option<LocalBoxFuture<'static, ()>> {
        let now_ms = self.now_ms();
        match self.slots.slots.get_mut(conversation) {
            Some(Slot::Live(live)) => {
                live.touched_ms = now_ms;
                let addr = live.addr.clone();
                if addr.connected() {
                    return self.deliver_to(&addr, conversation, events);
                }
                // It has just ended (its monitor's word is on the way): load it again, this batch pending.
                self.load(conversation);
                self.pend_events(conversation, events);
            }
            Some(Slot::Loading(_)) => self.pend_events(conversation, events),
            None => {
                self.load(conversation);
                self.pend_events(conversation, events);
            }
        }
        None
    }

    fn pend_events(&mut self, conversation: &ConversationId, events: Events) {
        if let Some(Slot::Loading(pending)) = self.slots.slots.get_mut(conversation) {
            pending.records += events.items.len();
            if pending.records > PENDING_WHILE_LOADING {
                pending.overflown = true;
                pending.events.clear();
            }
            if !pending.overflown {
                pending.events.push(events);
            }
        }
    }

    /// Routes commands to a conversation, loading it when need be.
    pub(super) fn deliver_orders(&mut self, conversation: &ConversationId, orders: Vec<Order>) {
        match self.slots.slots.get_mut(conversation) {
            Some(Slot::Live(live)) if live.addr.connected() => {
                let addr = live.addr.clone();
                self.later(self.deliver_to(&addr, conversation, Orders(orders)));
                return;
            }
            Some(Slot::Loading(pending)) => {
                pending.orders.extend(orders);
                return;
            }
            Some(Slot::Live(_)) | None => self.load(conversation),
        }
        if let Some(Slot::Loading(pending)) = self.slots.slots.get_mut(conversation) {
            pending.orders = self.context.orders_of(conversation);
        }
    }

    /// Gives the address, as soon as there is one.
    pub(super) fn open(&mut self, conversation: &ConversationId, reply: oneshot::Sender<Addr<Conversation>>) {
        match self.slots.slots.get_mut(conversation) {
            Some(Slot::Live(live)) if live.addr.connected() => {
                let _ = reply.send(live.addr.clone());
                return;
            }
            Some(Slot::Loading(pending)) => {
                pending.opens.push(reply);
                return;
            }
            Some(Slot::Live(_)) | None => self.load(conversation),
        }
        if let Some(Slot::Loading(pending)) = self.slots.slots.get_mut(conversation) {
            pending.opens.push(reply);
        }
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

    pub(super) fn wake(&mut self, conversation: &ConversationId) {
        match self.slots.slots.get(conversation) {
            Some(Slot::Live(live)) => {
                if let Err(SendError::Full(_)) = live.addr.try_send(Wake) {
                    let again = self.context.shared.now_ms() + FULL_RETRY.as_millis() as i64;
                    self.context.wakes.set(conversation, Some(again));
                }
            }
            // Whoever is being loaded looks around when it starts.
            Some(Slot::Loading(_)) => {}
            None => self.load(conversation),
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
        self.slots.slots.remove(&id);
        self.context.shared.directory.leave(&id);
        if message.ending == Ending::Passivated || self.phase != Phase::Running {
            return;
        }
        self.context.shared.metrics.restart(message.ending);
        tracing::warn!(conversation = %id, ending = message.ending.as_str(), "conversation ended; it is loaded again");
        /// A conversation that keeps crashing rests this long, so that it harms nobody but itself.
        const REST: std::time::Duration = std::time::Duration::from_secs(60);
        let (now_ms, random) = (self.now_ms(), self.context.shared.ports.entropy.next_u64());
        let pause = match self.slots.crashed.entry(id.clone()).or_default().spend(now_ms, random) {
            Restart::After(pause) => pause,
            Restart::Exhausted => REST,
        };
        self.slots.slots.insert(id.clone(), Slot::Loading(Pending { orders: self.context.orders_of(&id), ..Pending::default() }));
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
