//! A batch of `conversation-events`, decoded once and shared by everybody who folds it.

use callboard_domain::conversation::Recorded;
use callboard_domain::id::ConversationId;
use callboard_domain::wire::{self, Unreadable};
use callboard_ports::log::Batch;
use callboard_ports::partition::partition_of;

/// A readable record of a batch.
#[derive(Debug)]
pub struct Item {
    /// Its place in the batch.
    pub at: usize,
    pub conversation: ConversationId,
    pub recorded: Recorded,
}

/// A batch and what its records say.
#[derive(Debug)]
pub struct Decoded {
    pub batch: Batch,
    pub items: Vec<Item>,
    /// Records that are less than an envelope, with the reason: skipped by everybody, dead-lettered by the owner.
    pub unreadable: Vec<(usize, Unreadable)>,
}

impl Decoded {
    /// Decodes every record; `partitions` is the declared count, to tell misrouted records.
    #[must_use]
    pub fn new(batch: Batch, partitions: u32) -> Self {
        let mut items = Vec::with_capacity(batch.records.len());
        let mut unreadable = Vec::new();
        for (at, record) in batch.records.iter().enumerate() {
            let expected = partition_of(&record.key, partitions);
            match wire::read_event(&record.key, &record.value) {
                // Two hosts must never fold one conversation, so a record in the wrong place is no record of it.
                Ok(_) if expected != batch.partition => {
                    unreadable.push((at, Unreadable::Misrouted { found: batch.partition, expected }));
                }
                Ok((meta, body)) => {
                    let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
                    let recorded = Recorded { offset, timestamp_ms, command: meta.command, body };
                    items.push(Item { at, conversation: meta.conversation, recorded });
                }
                Err(reason) => unreadable.push((at, reason)),
            }
        }
        Self { batch, items, unreadable }
    }

    /// Offset behind the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.batch.records.last().map_or(0, |record| record.offset + 1)
    }

    /// Offset of the first record.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.batch.records.first().map_or(0, |record| record.offset)
    }
}
