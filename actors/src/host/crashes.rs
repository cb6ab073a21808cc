//! Conversations that end unasked: loaded again after a pause, resting after too many crashes. A command that crashes its
//! conversation again and again is poison and goes to the dead letters, so that the conversation goes on without it.

use std::collections::BTreeMap;

use actix::{Handler, Message};
use callboard_domain::id::ConversationId;

use super::slots::{Pending, Slot};
use super::{Host, HostContext, Phase, Taken};
use crate::conversation::{Doing, Order};
use crate::supervise::{Budget, Ending, Restart};

/// What is remembered of a conversation that crashed.
#[derive(Default)]
pub(super) struct Crashes {
    budget: Budget,
    pub endings: BTreeMap<String, u32>,
    /// The command that it last crashed over, and how often.
    over: Option<(u64, u32)>,
}

impl Crashes {
    fn again_over(&mut self, offset: u64) -> u32 {
        let before = self.over.filter(|(of, _)| *of == offset).map_or(0, |(_, times)| times);
        self.over = Some((offset, before + 1));
        before + 1
    }
}

/// A conversation's task is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ConversationEnded {
    pub conversation: ConversationId,
    pub generation: u64,
    pub ending: Ending,
}

/// The pause after a crash is over.
#[derive(Message)]
#[rtype(result = "()")]
struct LoadAgain(ConversationId);

impl HostContext {
    /// Commands of one conversation that are taken and not done, in inbox order.
    pub(super) fn orders_of(&self, conversation: &ConversationId) -> Vec<Order> {
        let of = |taken| match taken {
            Taken::Order(order) if order.conversation == *conversation && !self.is_given_up(order.offset) => {
                Some(order)
            }
            _ => None,
        };
        self.orders.open().into_iter().filter_map(|(_, taken)| of(taken)).collect()
    }
}

impl Host {
    /// Gives up a command that no conversation survives deciding.
    fn poison(&mut self, offset: u64, times: u32) {
        let taken = self.context.orders.open().into_iter().find(|(of, _)| *of == offset);
        let Some((_, Taken::Order(order))) = taken else { return };
        if self.context.memory.given_up.borrow_mut().insert(offset) {
            let detail = format!("deciding it made its conversation panic {times} times");
            self.give_up_command(&order.record, ("poison", times), &detail);
        }
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
        let mut doing = Doing::Other;
        if let Some(Slot::Live(live)) = self.slots.slots.remove(&id) {
            self.context.shared.directory.leave(&id, &live.addr);
            doing = live.doing.get();
        }
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
        let over = match doing {
            Doing::Deciding(offset) if message.ending == Ending::Panicked => {
                Some((offset, crashes.again_over(offset)))
            }
            _ => None,
        };
        let pause = match crashes.budget.spend(now_ms, random) {
            Restart::After(pause) => pause,
            Restart::Exhausted => REST,
        };
        if let Some((offset, times)) = over
            && times >= self.context.shared.limits.crashes_per_command
        {
            self.poison(offset, times);
        }
        let pending = Pending::of(self.context.orders_of(&id));
        self.slots.slots.insert(id.clone(), Slot::Loading(pending));
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
