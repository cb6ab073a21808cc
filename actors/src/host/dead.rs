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
    waiting: VecDeque<(u64, NewRecord)>,
    /// First offset of the letters that are being written.
    burying: Option<u64>,
}

impl DeadLetters {
    /// The lowest offset whose letter is not written yet: the checkpoint stays there.
    pub fn first_open(&self) -> Option<u64> {
        self.burying.or_else(|| self.waiting.front().map(|(offset, _)| *offset))
    }
}

/// An attempt at writing letters is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Buried {
    letters: Vec<(u64, NewRecord)>,
    written: bool,
}

impl Host {
    pub(super) fn dead_letters(&mut self, decoded: &Arc<Decoded>) {
        for (at, reason) in &decoded.unreadable {
            self.bury(&decoded.batch.records[*at], reason);
        }
    }

    /// Queues a dead letter.
    pub(super) fn bury(&mut self, record: &Record, reason: &Unreadable) {
        if record.offset < self.context.memory.dead_position() {
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
        /// Letters of one append: originals may have almost a megabyte each.
        const AT_ONCE: usize = 64;
        if self.dead.burying.is_some() || self.dead.waiting.is_empty() {
            return;
        }
        let count = self.dead.waiting.len().min(AT_ONCE);
        let letters: Vec<(u64, NewRecord)> = self.dead.waiting.drain(..count).collect();
        self.dead.burying = letters.first().map(|(offset, _)| *offset);
        let records = letters.iter().map(|(_, letter)| letter.clone()).collect();
        let (context, host) = (self.context.clone(), self.addr.clone());
        self.task(async move {
            let ports = &context.shared.ports;
            let give_up = || context.orders.is_revoked();
            let written = append_until_acknowledged(&*ports.log, &*ports.clock, records, give_up).await;
            let _ = host.send(Buried { letters, written }).await;
        });
    }
}

impl Handler<Buried> for Host {
    type Result = ();

    fn handle(&mut self, message: Buried, _: &mut Self::Context) {
        self.dead.burying = None;
        if !message.written {
            // The log is closed or the partition is going: whoever comes next finds them above the checkpoint.
            for letter in message.letters.into_iter().rev() {
                self.dead.waiting.push_front(letter);
            }
            return;
        }
        let end = message.letters.last().map_or(0, |(offset, _)| offset + 1);
        let next_offset = self.context.memory.dead_position().max(end);
        self.context.memory.dead_position.set(Some(next_offset));
        if !self.context.orders.is_revoked() {
            let position = Committed { next_offset, metadata: String::new() };
            self.feed.inbox.commit(Topic::ConversationEvents, self.context.partition, position);
        }
        self.bury_waiting();
    }
}
