//! Sending to conversations: to live ones now or when there is room, to the others as soon as they are loaded. Order is the
//! log's: nothing overtakes what waits.

use actix::dev::SendError;
use actix::{Addr, Handler, MailboxError, Message};
use callboard_domain::id::ConversationId;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::Host;
use super::slots::{Live, Slot};
use crate::conversation::{Conversation, Events, Order, Orders, Wake};
use crate::limits::FULL_RETRY;

/// A message that found its mailbox full; sends when there is room.
pub(super) type Delivery = LocalBoxFuture<'static, ()>;

/// Sends now, or gives the future that sends when there is room.
fn deliver<M>(addr: &Addr<Conversation>, message: M) -> Option<Delivery>
where
    M: Message<Result = ()> + Send + 'static,
    Conversation: Handler<M>,
{
    match addr.try_send(message) {
        Ok(()) => None,
        Err(SendError::Full(message)) => {
            let addr = addr.clone();
            Some(Box::pin(async move {
                // Answered when it was handled. Closed meanwhile: whoever loads it next reads log and window.
                let _: Result<(), MailboxError> = addr.send(message).await;
            }))
        }
        Err(SendError::Closed(_)) => None,
    }
}

impl Host {
    /// The slot as something is about to be sent; `None` where the conversation has to be loaded first.
    fn reachable(&mut self, conversation: &ConversationId) -> Option<&mut Slot> {
        match self.slots.slots.get_mut(conversation) {
            // It has just ended, its monitor's word is on the way: load it again.
            Some(Slot::Live(live)) if live.leaving.is_none() && !live.addr.connected() => None,
            found => found,
        }
    }

    /// Routes records to a conversation, loading it when need be. The future, if any, ends when there was room: the
    /// bridge waits for it before the next batch, which keeps the log's order.
    pub(super) fn deliver_events(
        &mut self,
        conversation: &ConversationId,
        events: Events,
    ) -> Option<Delivery> {
        let now_ms = self.now_ms();
        if self.reachable(conversation).is_none() {
            self.load(conversation);
        }
        match self.slots.slots.get_mut(conversation) {
            Some(Slot::Live(Live { leaving: Some(pending), .. }) | Slot::Loading(pending)) => {
                pending.push(events);
                None
            }
            Some(Slot::Live(live)) => {
                live.touched_ms = now_ms;
                live.rung.notify_one();
                deliver(&live.addr, events)
            }
            None => None,
        }
    }

    /// Routes commands to a conversation, loading it when need be.
    pub(super) fn deliver_orders(
        &mut self,
        conversation: &ConversationId,
        orders: Vec<Order>,
    ) -> Option<Delivery> {
        let now_ms = self.now_ms();
        if self.reachable(conversation).is_none() {
            // Loading takes from the window, where these are already.
            self.load(conversation);
            return None;
        }
        match self.slots.slots.get_mut(conversation) {
            Some(Slot::Live(Live { leaving: Some(pending), .. }) | Slot::Loading(pending)) => {
                pending.orders.extend(orders);
                None
            }
            Some(Slot::Live(live)) => {
                live.touched_ms = now_ms;
                live.rung.notify_one();
                deliver(&live.addr, Orders(orders))
            }
            None => None,
        }
    }

    /// A conversation that was asked to leave has answered.
    pub(super) fn left(&mut self, conversation: &ConversationId, gone: bool) {
        let Some(Slot::Live(live)) = self.slots.slots.get_mut(conversation) else { return };
        let pending = live.leaving.take().unwrap_or_default();
        if gone {
            self.slots.slots.remove(conversation);
            if !pending.is_empty() {
                // What waited is in the log and in the window; whoever asked for the address is told when it is back.
                self.load(conversation);
                if let Some(Slot::Loading(loading)) = self.slots.slots.get_mut(conversation) {
                    loading.opens = pending.opens;
                }
            }
            return;
        }
        for open in pending.opens {
            let _ = open.send(live.addr.clone());
        }
        // What does not fit the mailbox must not be overtaken by the next batch: then a new actor reads it from the log.
        let does_not_fit = pending.events.into_iter().any(|events| deliver(&live.addr, events).is_some());
        if pending.overflown || does_not_fit {
            self.slots.slots.remove(conversation);
            self.load(conversation);
        } else if !pending.orders.is_empty()
            && let Some(delivery) = deliver(&live.addr, Orders(pending.orders))
        {
            actix::spawn(delivery);
        }
    }

    /// Gives the address, as soon as there is one.
    pub(super) fn open(&mut self, conversation: &ConversationId, reply: oneshot::Sender<Addr<Conversation>>) {
        if self.reachable(conversation).is_none() {
            self.load(conversation);
        }
        if let Some(state) = self.resuming.take(conversation) {
            // Whoever is waited for goes first.
            self.loaded(state);
        }
        match self.slots.slots.get_mut(conversation) {
            Some(Slot::Live(Live { leaving: Some(pending), .. }) | Slot::Loading(pending)) => {
                pending.opens.push(reply)
            }
            Some(Slot::Live(live)) => {
                live.rung.notify_one();
                let _ = reply.send(live.addr.clone());
            }
            None => {}
        }
    }

    pub(super) fn wake(&mut self, conversation: &ConversationId) {
        match self.slots.slots.get(conversation) {
            // Whoever is being loaded looks around when it starts.
            Some(Slot::Loading(_)) => {}
            Some(Slot::Live(Live { leaving: Some(_), .. })) => {
                // It may stay after all; leaving withdraws this again.
                let again = self.context.shared.now_ms() + FULL_RETRY.as_millis() as i64;
                self.context.wakes.set(conversation, Some(again));
            }
            Some(Slot::Live(live)) => {
                live.rung.notify_one();
                if let Err(SendError::Full(_)) = live.addr.try_send(Wake) {
                    let again = self.context.shared.now_ms() + FULL_RETRY.as_millis() as i64;
                    self.context.wakes.set(conversation, Some(again));
                }
            }
            None => self.resume_later(conversation),
        }
    }
}
