//! Which conversations the store has something of, kept beside it in memory: a conversation that is new, as that of a first
//! question is, need not wait for the store's thread and the flush that it may be busy with.
//!
//! Only "there is nothing" is ever concluded from it. Hashes of ids in place of ids: 10 MB for a million conversations, and
//! where two collide the store is asked.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use callboard_domain::id::{ConversationId, fnv1a};

#[derive(Default)]
struct Partition {
    /// All of what lies in the store has been seen.
    is_complete: bool,
    ids: HashSet<u32>,
}

#[derive(Default)]
struct Inner {
    partitions: HashMap<u32, Partition>,
    is_closed: bool,
}

/// See the module. Nothing ever leaves it: of a partition that was discarded it knows too many, which does no harm.
#[derive(Default)]
pub(super) struct Known(RwLock<Inner>);

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is one too")]
fn hash(conversation: &ConversationId) -> u32 {
    fnv1a(&[conversation.as_str().as_bytes()]) as u32
}

impl Known {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store has these, or is about to: to be said before the write is asked for.
    pub(super) fn add<'a>(&self, partition: u32, ids: impl IntoIterator<Item = &'a ConversationId>) {
        let mut inner = self.write();
        inner.partitions.entry(partition).or_default().ids.extend(ids.into_iter().map(hash));
    }

    /// Everything that lies in the store of a partition has been added.
    pub(super) fn complete(&self, partition: u32) {
        self.write().partitions.entry(partition).or_default().is_complete = true;
    }

    /// From here on only the store itself answers.
    pub(super) fn close(&self) {
        *self.write() = Inner { is_closed: true, ..Inner::default() };
    }

    /// Whether the store has nothing of this conversation, for certain.
    pub(super) fn lacks(&self, partition: u32, conversation: &ConversationId) -> bool {
        let inner = self.read();
        !inner.is_closed
            && inner
                .partitions
                .get(&partition)
                .is_some_and(|known| known.is_complete && !known.ids.contains(&hash(conversation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_for_certain_is_lacking() {
        let id = |name: &str| ConversationId::new(name).unwrap();
        let known = Known::default();
        known.add(0, [&id("early")]);
        assert!(!known.lacks(0, &id("new")), "the store has not been looked through yet");
        known.add(0, [&id("stored")]);
        known.complete(0);
        assert!(known.lacks(0, &id("new")) && !known.lacks(1, &id("new")));
        assert!(!known.lacks(0, &id("early")) && !known.lacks(0, &id("stored")));
        known.add(0, [&id("new")]);
        assert!(!known.lacks(0, &id("new")));
        known.close();
        assert!(!known.lacks(0, &id("another")));
    }
}
