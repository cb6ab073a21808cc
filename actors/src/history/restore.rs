//! Conversations that come back into the book: what they said before is read again. Where the host's index says that there is
//! nothing before, or where it is, little or nothing is read; for many at once, or without an index, the partition is read
//! through once, however many they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use callboard_domain::id::ConversationId;
use callboard_ports::log::LogError;
use callboard_ports::record::Topic;
use callboard_ports::snapshot;

use super::keeper::Keeper;
use crate::decode::Decoded;
use crate::host::{Indexed, Offsets};

/// Conversations read one by one, each with a reader of its own; more are read in one pass over their partition.
const ONE_BY_ONE: usize = 32;

/// By partition: conversations of which the book has the records from this offset on, and may lack earlier ones.
pub(super) type Owed = BTreeMap<u32, BTreeMap<ConversationId, u64>>;

impl Keeper {
    /// Reads what is missing of the conversations that came back. What fails is owed still.
    pub(super) async fn settle(&mut self, partition: u32) -> Result<(), LogError> {
        let Some(owed) = self.owed.get(&partition).cloned() else { return Ok(()) };
        let bounds = self.shared.ports.log.bounds(Topic::ConversationEvents, partition).await?;
        let mut known: Vec<(ConversationId, Vec<Range<u64>>)> = Vec::new();
        let mut unknown: BTreeSet<ConversationId> = BTreeSet::new();
        for (id, first) in owed.into_iter().filter(|(id, _)| self.book.contains(id)) {
            match self.indexed(partition, &id).await {
                Some(index) if index.below >= first => {
                    let mut ranges = index.ranges;
                    ranges.retain(|range| range.end > bounds.start);
                    if ranges.iter().any(|range| range.start < first) {
                        ranges.push(index.below..self.book.position(partition));
                        known.push((id, ranges));
                    }
                }
                _ => {
                    unknown.insert(id);
                }
            }
        }
        if known.len() > ONE_BY_ONE {
            unknown.extend(known.drain(..).map(|(id, _)| id));
        }
        let whole = bounds.start..self.book.position(partition);
        for (id, ranges) in known {
            let within = |range: Range<u64>| range.start.max(whole.start)..range.end.min(whole.end);
            let ranges = ranges.into_iter().map(within).filter(|range| range.start < range.end);
            self.read_again(partition, &BTreeSet::from([id]), snapshot::coalesce(ranges, 0)).await?;
        }
        if !unknown.is_empty() {
            self.read_again(partition, &unknown, vec![whole]).await?;
        }
        self.owed.remove(&partition);
        Ok(())
    }

    /// What the host's index has of a conversation.
    async fn indexed(&self, partition: u32, id: &ConversationId) -> Option<Indexed> {
        let host = self.shared.directory.host(partition)?;
        host.send(Offsets(id.clone())).await.ok().flatten()
    }

    async fn read_again(
        &mut self,
        partition: u32,
        ids: &BTreeSet<ConversationId>,
        ranges: Vec<Range<u64>>,
    ) -> Result<(), LogError> {
        ids.iter().for_each(|id| self.book.begin_again(id));
        let log = self.shared.ports.log.clone();
        let key = ids.first().filter(|_| ids.len() == 1).map(|id| id.as_str().to_owned());
        let mut batches = log.replay(Topic::ConversationEvents, partition, ranges, key);
        while let Some(batch) = batches.recv().await {
            let decoded = Decoded::new(batch?, log.partitions());
            for item in decoded.items.iter().filter(|item| ids.contains(&item.conversation)) {
                self.book.fold(item, &self.shared.limits);
            }
        }
        self.changed = true;
        Ok(())
    }
}
