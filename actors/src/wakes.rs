//! When conversations want to be looked at again: the partition host's timers, kept for live and passivated
//! conversations alike. Single-threaded: host and conversations of a partition share an arbiter.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use callboard_domain::id::ConversationId;
use tokio::sync::Notify;

/// An index by wake time (epoch milliseconds).
#[derive(Debug, Default)]
pub struct Wakes {
    index: RefCell<Index>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Index {
    by_time: BTreeSet<(i64, ConversationId)>,
    of: HashMap<ConversationId, i64>,
}

impl Wakes {
    /// Replaces a conversation's wake time; `None` removes it.
    pub fn set(&self, conversation: &ConversationId, at_ms: Option<i64>) {
        let mut index = self.index.borrow_mut();
        let known = index.of.get(conversation).copied();
        if known == at_ms {
            return;
        }
        if let Some(known) = known {
            index.by_time.remove(&(known, conversation.clone()));
            index.of.remove(conversation);
        }
        if let Some(at_ms) = at_ms {
            let first = index.by_time.first().map(|(first, _)| *first);
            index.of.insert(conversation.clone(), at_ms);
            index.by_time.insert((at_ms, conversation.clone()));
            if first.is_none_or(|first| at_ms < first) {
                self.earlier.notify_one();
            }
        }
    }

    /// Takes out everybody whose time has come, at most `limit`.
    pub fn take_due(&self, now_ms: i64, limit: usize) -> Vec<ConversationId> {
        let mut index = self.index.borrow_mut();
        let mut due = Vec::new();
        while due.len() < limit && index.by_time.first().is_some_and(|(at, _)| *at <= now_ms) {
            if let Some((_, conversation)) = index.by_time.pop_first() {
                index.of.remove(&conversation);
                due.push(conversation);
            }
        }
        due
    }

    /// The earliest wake time.
    pub fn first_ms(&self) -> Option<i64> {
        self.index.borrow().by_time.first().map(|(at, _)| *at)
    }

    /// Waits until an earlier wake time was set than all known before.
    pub async fn earlier(&self) {
        self.earlier.notified().await;
    }

    pub fn len(&self) -> usize {
        self.index.borrow().of.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Wakes;
    use callboard_domain::id::ConversationId;

    #[test]
    fn wakes_in_order_and_forgets_what_is_withdrawn() {
        let id = |name: &str| ConversationId::new(name).unwrap();
        let wakes = Wakes::default();
        wakes.set(&id("late"), Some(30));
        wakes.set(&id("early"), Some(10));
        wakes.set(&id("gone"), Some(5));
        wakes.set(&id("gone"), None);
        assert_eq!(wakes.first_ms(), Some(10));
        assert_eq!(wakes.take_due(30, 9), vec![id("early"), id("late")]);
        assert_eq!((wakes.len(), wakes.first_ms()), (0, None));
    }
}
