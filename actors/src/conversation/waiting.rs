//! Who waits for a conversation: HTTP requests for a turn's end, followers for its records. All of it is volatile:
//! whoever loses its place asks again.

use std::collections::HashMap;

use actix::{Handler, Message};
use callboard_domain::State;
use callboard_domain::id::CommandId;
use callboard_domain::view::{self, TurnView};
use callboard_ports::log::Batch;
use tokio::sync::{broadcast, oneshot};

use super::Conversation;
use crate::limits::FOLLOW_RECORDS;

/// As many wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// "Tell me when the turn of `command` has ended."
#[derive(Message)]
#[rtype(result = "Result<(), Busy>")]
pub struct AwaitEnd {
    pub command: CommandId,
    pub reply: oneshot::Sender<TurnView>,
}

/// "Give me every record from now on."
#[derive(Message)]
#[rtype(result = "Subscribed")]
pub struct Subscribe;

/// A subscription: everything from `from_offset` on comes through `records`.
#[derive(actix::MessageResponse)]
pub struct Subscribed {
    pub from_offset: u64,
    pub records: broadcast::Receiver<(Batch, usize)>,
}

/// The waiting lists.
#[derive(Default)]
pub struct Waiting {
    ends: HashMap<CommandId, Vec<oneshot::Sender<TurnView>>>,
    followers: Option<broadcast::Sender<(Batch, usize)>>,
}

impl Waiting {
    /// A turn ended: everybody who waits for it is told.
    pub fn ended(&mut self, state: &State, command: &str) {
        let Some(waiters) = self.ends.remove(command) else { return };
        let Some(view) = view::turn(state, command) else { return };
        for waiter in waiters {
            // A client that went away is no error.
            let _ = waiter.send(view.clone());
        }
    }

    /// A record was folded.
    pub fn publish(&mut self, batch: &Batch, at: usize) {
        let Some(followers) = &self.followers else { return };
        if followers.send((batch.clone(), at)).is_err() {
            self.followers = None;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ends.values().flatten().all(oneshot::Sender::is_closed)
            && self.followers.as_ref().is_none_or(|followers| followers.receiver_count() == 0)
    }
}

impl Handler<AwaitEnd> for Conversation {
    type Result = Result<(), Busy>;

    fn handle(&mut self, message: AwaitEnd, _: &mut Self::Context) -> Self::Result {
        self.touch();
        if let Some(view) = view::turn(&self.state, message.command.as_str())
            && view.status != "pending"
        {
            let _ = message.reply.send(view);
            return Ok(());
        }
        let ends = &mut self.waiting.ends;
        if ends.values().map(Vec::len).sum::<usize>() >= self.host.shared.limits.waiters_per_conversation {
            ends.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.is_closed());
                !waiters.is_empty()
            });
            if ends.values().map(Vec::len).sum::<usize>() >= self.host.shared.limits.waiters_per_conversation
            {
                return Err(Busy);
            }
        }
        ends.entry(message.command).or_default().push(message.reply);
        Ok(())
    }
}

impl Handler<Subscribe> for Conversation {
    type Result = Subscribed;

    fn handle(&mut self, _: Subscribe, _: &mut Self::Context) -> Subscribed {
        self.touch();
        let sender = self.waiting.followers.get_or_insert_with(|| broadcast::channel(FOLLOW_RECORDS).0);
        Subscribed { from_offset: self.state.next_offset, records: sender.subscribe() }
    }
}
