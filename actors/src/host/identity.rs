//! Which log a partition is: asked for once while the partition is ours, since the answer takes a read of the log's first
//! record, and a host that died and comes back should not wait for it.

use std::cell::RefCell;

use callboard_ports::log::{Bounds, LogError, LogIdentity};
use callboard_ports::record::Topic;

use super::HostContext;

/// The answer, where there is one that lasts, and the bounds that the partition had then.
#[derive(Default)]
pub(super) struct KnownIdentity(RefCell<Option<(Option<LogIdentity>, Bounds)>>);

impl KnownIdentity {
    /// The log has lost records that were not read: it may be another one.
    pub fn doubt(&self) {
        self.0.borrow_mut().take();
    }

    /// What is known, of a log that begins where it did and has lost nothing of its end since.
    fn of(&self, bounds: Bounds) -> Option<LogIdentity> {
        let known = self.0.borrow();
        let (identity, before) = known.as_ref()?;
        if before.start == bounds.start && before.end <= bounds.end { identity.clone() } else { None }
    }

    /// An empty partition has no identity yet that would last.
    fn learn(&self, identity: &LogIdentity, bounds: Bounds) {
        let lasts = bounds.start < bounds.end;
        *self.0.borrow_mut() = Some((lasts.then(|| identity.clone()), bounds));
    }

    /// The partition was empty and has its first records now, up to `end`.
    pub fn confirm(&self, identity: &LogIdentity, end: u64) {
        if let Some((known, bounds)) = &mut *self.0.borrow_mut() {
            (*known, bounds.end) = (Some(identity.clone()), end);
        }
    }
}

/// The identity of the context's partition, whose bounds are these now.
pub(super) async fn identity(context: &HostContext, bounds: Bounds) -> Result<LogIdentity, LogError> {
    let known = &context.memory.identity;
    let identity = match known.of(bounds) {
        Some(identity) => identity,
        None => context.shared.ports.log.identity(Topic::ConversationEvents, context.partition).await?,
    };
    known.learn(&identity, bounds);
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::{Bounds, KnownIdentity, LogIdentity};

    #[test]
    fn it_is_known_of_the_same_log_only() {
        let (known, identity) = (KnownIdentity::default(), LogIdentity("a log".into()));
        let bounds = |start, end| Bounds { start, end };
        known.learn(&identity, bounds(0, 0));
        assert_eq!(known.of(bounds(0, 0)), None, "an empty log is none yet");
        known.confirm(&identity, 3);
        assert_eq!(known.of(bounds(0, 3)).as_ref(), Some(&identity));
        known.learn(&identity, bounds(0, 10));
        assert_eq!(known.of(bounds(0, 12)), Some(identity));
        assert_eq!(known.of(bounds(0, 9)), None, "a shorter one is another");
        assert_eq!(known.of(bounds(5, 12)), None, "and one that begins elsewhere may be");
        known.doubt();
        assert_eq!(known.of(bounds(0, 12)), None);
    }
}
