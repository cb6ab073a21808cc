//! Who waits for a conversation: HTTP requests for a turn's end, followers for its records. All of it is volatile:
//! whoever loses its place asks again.

use std::collections::HashMap;

use actix::{Handler, Message};
use callboard_domain::State;
use callboard_domain::conversation::Recorded;
use callboard_domain::event::Event;
use callboard_domain::id::CommandId;
use callboard_domain::view::{self, TurnView};
use callboard_domain::wire::Readable;
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

/// "Tell me what became of the command `command`."
#[derive(Message)]
#[rtype(result = "Result<(), Busy>")]
pub struct AwaitCommand {
    pub command: CommandId,
    pub reply: oneshot::Sender<Came>,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// Its event has just been read back.
    Now { offset: u64, event: Box<Event>, took_effect: bool },
    /// Its event is at this offset of the log.
    Before { offset: u64 },
}

/// The command that an event answers, given the envelope's command id.
#[must_use]
pub fn asked_by<'a>(event: &'a Event, envelope: Option<&'a CommandId>) -> Option<&'a CommandId> {
    match event {
        Event::UserQueryReceived(_) | Event::UserHistoryReset(_) | Event::CommandRefused(_) => envelope,
        Event::PlanCancelled(body) => body.cancel_command.as_ref(),
        Event::InvocationSettled(body) => body.settle_command.as_ref(),
        Event::RetryAdvanced(body) => body.retry_command.as_ref(),
        Event::ApprovalRecorded(body) => body.approval_command.as_ref(),
        _ => None,
    }
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
    commands: HashMap<CommandId, Vec<oneshot::Sender<Came>>>,
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

    /// A record was folded: whoever waits for the command that it answers is told.
    pub fn came(&mut self, recorded: &Recorded, took_effect: bool) {
        if self.commands.is_empty() {
            return;
        }
        let Readable::Event(event) = &recorded.body else { return };
        let waiters =
            asked_by(event, recorded.command.as_ref()).and_then(|command| self.commands.remove(command));
        for waiter in waiters.into_iter().flatten() {
            let _ = waiter.send(Came::Now {
                offset: recorded.offset,
                event: Box::new(event.clone()),
                took_effect,
            });
        }
    }

    /// A record was folded.
    pub fn publish(&mut self, batch: &Batch, at: usize) {
        let Some(followers) = &self.followers else { return };
        if followers.send((batch.clone(), at)).is_err() {
            self.followers = None;
        }
    }

    /// Whether one more may wait, once those who went away are forgotten.
    fn room(&mut self, most: usize) -> Result<(), Busy> {
        fn gone<T>(lists: &mut HashMap<CommandId, Vec<oneshot::Sender<T>>>) -> usize {
            lists.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.is_closed());
                !waiters.is_empty()
            });
            lists.values().map(Vec::len).sum()
        }
        let waiting = |of: &Self| -> usize {
            of.ends.values().map(Vec::len).sum::<usize>() + of.commands.values().map(Vec::len).sum::<usize>()
        };
        if waiting(self) < most || gone(&mut self.ends) + gone(&mut self.commands) < most {
            return Ok(());
        }
        Err(Busy)
    }

    pub fn is_empty(&self) -> bool {
        self.ends.values().flatten().all(oneshot::Sender::is_closed)
            && self.commands.values().flatten().all(oneshot::Sender::is_closed)
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
        self.waiting.room(self.host.shared.limits.waiters_per_conversation)?;
        self.waiting.ends.entry(message.command).or_default().push(message.reply);
        Ok(())
    }
}

impl Handler<AwaitCommand> for Conversation {
    type Result = Result<(), Busy>;

    fn handle(&mut self, message: AwaitCommand, _: &mut Self::Context) -> Self::Result {
        self.touch();
        if let Some(known) = self.state.known(message.command.as_str()) {
            let _ = message.reply.send(Came::Before { offset: known.offset });
            return Ok(());
        }
        self.waiting.room(self.host.shared.limits.waiters_per_conversation)?;
        self.waiting.commands.entry(message.command).or_default().push(message.reply);
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
