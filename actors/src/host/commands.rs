//! Commands of the partition: read, taken into the window, and handed to their conversations. What cannot be read goes to
//! the dead letters; the window commits the lowest offset that is not done.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Handler, Message, ResponseFuture};
use callboard_domain::id::ConversationId;
use callboard_domain::planted::{self, Defect};
use callboard_domain::wire;
use callboard_ports::dead_letter::{Reason, dead_letter};
use callboard_ports::log::Batch;
use callboard_ports::partition::partition_of;
use callboard_ports::record::Record;

use super::deliver::Delivery;
use super::{Host, Phase, append_until_acknowledged};
use crate::conversation::Order;
use crate::crash_point::crash_point;

/// A batch of `user-commands`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeCommands(pub Batch);

/// What the window holds of a record of `user-commands`.
#[derive(Debug, Clone)]
pub enum Taken {
    Order(Order),
    /// On its way to the dead letters.
    Garbage {
        record: Arc<Record>,
        code: &'static str,
        detail: Arc<str>,
    },
}

/// Commands by conversation, in inbox order within each.
#[derive(Default)]
struct Grouped {
    order: Vec<ConversationId>,
    orders: HashMap<ConversationId, Vec<Order>>,
}

impl Grouped {
    fn push(&mut self, conversation: ConversationId, order: Order) {
        let orders = self.orders.entry(conversation.clone()).or_insert_with(|| {
            self.order.push(conversation);
            Vec::new()
        });
        orders.push(order);
    }
}

impl Host {
    fn read_order(&self, record: &Record) -> Result<Order, (&'static str, String)> {
        let (meta, asked) =
            wire::read_command(&record.key, &record.value).map_err(|e| (e.code(), e.to_string()))?;
        let expected = partition_of(&record.key, self.context.shared.ports.log.partitions());
        if expected != self.context.partition {
            let found = self.context.partition;
            return Err(("misrouted", format!("found in partition {found}, expected in {expected}")));
        }
        let order = Order {
            offset: record.offset,
            conversation: meta.conversation,
            asked: Arc::new(asked),
            id: Arc::from(&*meta.id),
            record: Arc::new(record.clone()),
        };
        Ok(order)
    }

    /// Gives up a command; its offset is done when the dead letter is acknowledged.
    pub(super) fn give_up_command(
        &self,
        record: &Record,
        (code, attempt): (&'static str, u32),
        detail: &str,
    ) {
        let letter = dead_letter(record, &Reason { code, detail, attempt }, self.context.partition);
        self.context.shared.metrics.dead_letter(code);
        tracing::warn!(
            partition = self.context.partition,
            offset = record.offset,
            code,
            detail,
            "command dead-lettered"
        );
        let (context, offset) = (self.context.clone(), record.offset);
        if planted::is(Defect::ForgetDeadLetter) {
            context.orders.done(offset);
            drop(context.shared.ports.log.append(vec![letter]));
            return;
        }
        actix::spawn(async move {
            let ports = &context.shared.ports;
            let give_up = || context.orders.is_revoked();
            if append_until_acknowledged(&*ports.log, &*ports.clock, vec![letter], give_up).await {
                crash_point!("dead_letter_written");
                context.orders.done(offset);
                context.memory.given_up.borrow_mut().remove(&offset);
            }
        });
    }

    /// Everything in the window, again: after a catch-up.
    pub(super) fn deliver_open_orders(&mut self) {
        let mut grouped = Grouped::default();
        for (_, taken) in self.context.orders.open() {
            match taken {
                Taken::Order(order) if self.context.is_given_up(order.offset) => {}
                Taken::Order(order) => grouped.push(order.conversation.clone(), order),
                Taken::Garbage { record, code, detail } => {
                    self.give_up_command(&record, (code, 1), &detail);
                }
            }
        }
        // Every conversation is new or being loaded: its mailbox has room.
        drop(self.deliver_grouped(grouped));
    }

    /// Gives the deliveries that have to wait for room.
    fn deliver_grouped(&mut self, mut grouped: Grouped) -> Vec<Delivery> {
        let mut late = Vec::new();
        for id in std::mem::take(&mut grouped.order) {
            let orders = grouped.orders.remove(&id).unwrap_or_default();
            late.extend(self.deliver_orders(&id, orders));
        }
        late
    }
}

impl Handler<TakeCommands> for Host {
    /// Ends when every conversation had room for its commands: the bridge waits before it brings more.
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: TakeCommands, _: &mut Self::Context) -> Self::Result {
        let mut grouped = Grouped::default();
        for record in message.0.records.iter() {
            match self.read_order(record) {
                Ok(order) => {
                    if self.context.orders.take(
                        record.offset,
                        Taken::Order(order.clone()),
                        record.size_bytes(),
                    ) {
                        grouped.push(order.conversation.clone(), order);
                    }
                }
                Err((code, detail)) => {
                    // Taken too, so that the committed position waits for its dead letter.
                    let garbage = Taken::Garbage {
                        record: Arc::new(record.clone()),
                        code,
                        detail: Arc::from(&*detail),
                    };
                    if self.context.orders.take(record.offset, garbage, record.size_bytes()) {
                        self.give_up_command(record, (code, 1), &detail);
                    }
                }
            }
        }
        crash_point!("command_taken");
        // While catching up they wait in the window.
        let late = if self.phase == Phase::Running { self.deliver_grouped(grouped) } else { Vec::new() };
        Box::pin(async move {
            for delivery in late {
                delivery.await;
            }
        })
    }
}
