//! Records of conversation-events that are less than an envelope: everybody skips them by the same rule, the owner
//! dead-letters each once. How far it has come is a committed position of the host's group, so that a restart adds none.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{Handler, Message};
use callboard_domain::wire::Unreadable;
use callboard_ports::dead_letter::{Reason, dead_letter};
use callboard_ports::inbox::Committed;
use callboard_ports::record::{NewRecord, Record, Topic};

use super::{Host, append_until_acknowledged};
use crate::decode::Decoded;

/// Dead letters that wait, in offset order.
#[derive(Default)]
pub(super) struct DeadLetters {
    /// Below it, all have been written.
    position: u64,
    waiting: VecDeque<(u64, NewRecord)>,
    busy: bool,
}

impl DeadLetters {
    pub fn start_at(&mut self, position: u64) {
        self.position = position;
    }
}

/// A batch of dead letters was acknowledged up to `position`.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Buried {
    position: u64,
}

impl Host {
    pub(super) fn dead_letters(&mut self, decoded: &Arc<Decoded>) {
        for (at, reason) in &decoded.unreadable {
            self.bury(&decoded.batch.records[*at], reason);
        }
    }

    /// Queues a dead letter. The queue is bounded by the batch in hand: while it is long, the lane is not drained.
    pub(super) fn bury(&mut self, record: &Record, reason: &Unreadable) {
        if record.offset < self.dead.position {
            return;
        }
        let detail = reason.to_string();
        tracing::warn!(
            partition = self.context.partition,
            offset = record.offset,
            code = reason.code(),
            detail,
            "record of conversation-events dead-lettered"
        );
        self.context.shared.metrics.dead_letter(reason.code());
        let letter = dead_letter(
            record,
            &Reason { code: reason.code(), detail: &detail, attempt: 1 },
            self.context.partition,
        );
        self.dead.waiting.push_back((record.offset, letter));
        self.bury_waiting();
    }

    fn bury_waiting(&mut self) {
        if self.dead.busy || self.dead.waiting.is_empty() {
            return;
        }
        self.dead.busy = true;
        let letters: Vec<(u64, NewRecord)> = self.dead.waiting.drain(..).collect();
        let position = letters.last().map_or(0, |(offset, _)| offset + 1);
        let records = letters.into_iter().map(|(_, letter)| letter).collect();
        let (context, host) = (self.context.clone(), self.addr.clone());
        self.task(async move {
            let ports = &context.shared.ports;
            append_until_acknowledged(&*ports.log, &*ports.clock, records, || context.orders.is_revoked())
                .await;
            let _ = host.send(Buried { position }).await;
        });
    }
}

impl Handler<Buried> for Host {
    type Result = ();

    fn handle(&mut self, message: Buried, _: &mut Self::Context) {
        self.dead.busy = false;
        self.dead.position = self.dead.position.max(message.position);
        if !self.context.orders.is_revoked() {
            let position = Committed { next_offset: self.dead.position, metadata: String::new() };
            self.feed.inbox.commit(Topic::ConversationEvents, self.context.partition, position);
        }
        self.bury_waiting();
    }
}
