//! Commands of one conversation, decided one at a time: the next one after the event of the previous one has
//! been read back. What was appended and not read back in time is decided again, with the same id.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{Handler, Message};
use callboard_domain::command::{Asked, Command};
use callboard_domain::decide::{Decision, decide};
use callboard_domain::event::Event;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_ports::dead_letter::{Reason, dead_letter};
use callboard_ports::record::Record;

use super::issue::Outgoing;
use super::{Conversation, Doing};
use crate::shared::About;

/// A command out of the inbox, with the record it came in.
#[derive(Debug, Clone)]
pub struct Order {
    pub offset: u64,
    pub conversation: ConversationId,
    pub asked: Arc<Asked>,
    /// The envelope's id: the cause of what follows.
    pub id: Arc<str>,
    pub record: Arc<Record>,
}

/// Commands for one conversation, in inbox order.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Orders(pub Vec<Order>);

/// The command whose event is on its way.
struct Deciding {
    order: Order,
    /// Monotonic; then it is decided again.
    until_ms: u64,
}

/// Commands that wait. Bounded by the host's window, which pauses the partition.
#[derive(Default)]
pub struct OrderQueue {
    waiting: VecDeque<Order>,
    deciding: Option<Deciding>,
}

impl OrderQueue {
    pub fn with(orders: Vec<Order>) -> Self {
        Self { waiting: orders.into(), deciding: None }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.deciding.is_none()
    }

    pub fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.deciding.is_some())
    }

    /// Milliseconds until the command under way is decided again.
    pub fn lapses_in_ms(&self, now_ms: u64) -> Option<u64> {
        self.deciding.as_ref().map(|deciding| deciding.until_ms.saturating_sub(now_ms))
    }

    /// The append failed: decide again at the next step.
    pub fn failed(&mut self) {
        if let Some(deciding) = self.deciding.take() {
            self.waiting.push_front(deciding.order);
        }
    }

    /// The command whose event is on its way.
    pub fn deciding_command(&self) -> Option<&CommandId> {
        self.deciding.as_ref().map(|deciding| &deciding.order.asked.id)
    }

    /// Whether the turn of `command` has been appended and not yet been read back.
    pub fn is_deciding(&self, command: &CommandId) -> bool {
        self.deciding.as_ref().is_some_and(|deciding| deciding.order.asked.id == *command)
    }
}

impl Conversation {
    /// Finishes what has been read back and decides the next command.
    pub(super) fn decide_next(&mut self, out: &mut Outgoing) {
        let now_ms = self.host.shared.ports.clock.monotonic_ms();
        if let Some(deciding) = self.orders.deciding.take() {
            if self.state.known(deciding.order.asked.id.as_str()).is_some() {
                self.host.orders.done(deciding.order.offset);
            } else if now_ms < deciding.until_ms {
                self.orders.deciding = Some(deciding);
                return;
            } else {
                self.orders.waiting.push_front(deciding.order);
            }
        }
        while let Some(order) = self.orders.waiting.pop_front() {
            if self.state.blocked.is_some() {
                self.give_up(&order);
                continue;
            }
            let log_ms = self.host.shared.now_ms();
            self.doing.set(Doing::Deciding(order.offset));
            let decision = decide(&self.state, &order.asked, &*self.host.shared.ports.tools, log_ms);
            self.doing.set(Doing::Other);
            match decision {
                Decision::Known => self.host.orders.done(order.offset),
                Decision::Append { command, event } => {
                    let event = self.misjudge(&command, event);
                    let traceparent = order.record.header(callboard_ports::headers::TRACEPARENT);
                    if let (Some(trace), Event::UserQueryReceived(_)) = (traceparent, &event) {
                        self.traces.insert(command.clone(), Arc::from(trace));
                    }
                    let about = About {
                        conversation: &self.state.conversation,
                        command: Some(&command),
                        causation_id: &order.id,
                        traceparent,
                    };
                    out.records.push(self.host.shared.event_record(about, self.host.partition, &event));
                    out.decides = true;
                    self.plan_ahead(&order);
                    let until_ms = now_ms + self.host.shared.limits.append_timeout.as_millis() as u64;
                    self.orders.deciding = Some(Deciding { order, until_ms });
                    return;
                }
            }
        }
    }

    /// Asking a model changes nothing, so the planner may start before the question is read back, when nothing
    /// is open that would come first.
    fn plan_ahead(&mut self, order: &Order) {
        if let Command::UserQueryReceived(query) = &order.asked.command
            && self.state.open.is_empty()
        {
            self.ask_first_plan(&order.asked.id, query);
        }
    }

    /// A command for a conversation that this build cannot read goes to the dead letters, to be redriven.
    fn give_up(&self, order: &Order) {
        let detail =
            "the conversation is held at a record that this build does not know; redrive after the upgrade";
        let reason = Reason { code: "conversation_blocked", detail, attempt: 1 };
        let letter = dead_letter(&order.record, &reason, self.host.partition);
        self.host.shared.metrics.dead_letter(reason.code);
        let (log, window, offset) =
            (self.host.shared.ports.log.clone(), self.host.orders.clone(), order.offset);
        let clock = self.host.shared.ports.clock.clone();
        actix::spawn(async move {
            let give_up = || window.is_revoked();
            if crate::host::append_until_acknowledged(&*log, &*clock, vec![letter], give_up).await {
                window.done(offset);
            }
        });
    }
}

impl Handler<Orders> for Conversation {
    type Result = ();

    fn handle(&mut self, message: Orders, _: &mut Self::Context) {
        self.touch();
        self.orders.waiting.extend(message.0);
        self.step();
    }
}
