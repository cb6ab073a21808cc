//! A window over one partition of an inbox: what has been taken and is not yet done. The committed position is the
//! lowest offset not done; too much in hand pauses the partition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use callboard_ports::inbox::{Committed, InboxControl};
use callboard_ports::record::Topic;

/// What a window may hold before its partition pauses.
#[derive(Debug, Clone, Copy)]
pub struct WindowBounds {
    pub entries: usize,
    pub bytes: usize,
}

struct Inner<T> {
    /// Taken and not done, by offset.
    open: BTreeMap<u64, (T, usize)>,
    bytes: usize,
    /// Offset behind the last one taken.
    taken: u64,
    committed: u64,
    paused: bool,
    revoked: bool,
}

/// The window of one assignment of one partition. Shared by whoever may finish an entry.
pub struct Window<T> {
    topic: Topic,
    partition: u32,
    bounds: WindowBounds,
    control: Arc<dyn InboxControl>,
    inner: Mutex<Inner<T>>,
}

impl<T: Clone> Window<T> {
    pub fn new(
        topic: Topic,
        partition: u32,
        committed: u64,
        bounds: WindowBounds,
        control: Arc<dyn InboxControl>,
    ) -> Self {
        let inner = Inner {
            open: BTreeMap::new(),
            bytes: 0,
            taken: committed,
            committed,
            paused: false,
            revoked: false,
        };
        Self { topic, partition, bounds, control, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner<T>> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Takes an entry in hand. False when the offset was taken before (a redelivery within the assignment).
    pub fn take(&self, offset: u64, entry: T, bytes: usize) -> bool {
        let mut inner = self.inner();
        if offset < inner.taken {
            return false;
        }
        inner.taken = offset + 1;
        inner.open.insert(offset, (entry, bytes));
        inner.bytes += bytes;
        let full = inner.open.len() >= self.bounds.entries || inner.bytes >= self.bounds.bytes;
        if full && !inner.paused && !inner.revoked {
            inner.paused = true;
            self.control.pause(self.partition);
        }
        true
    }

    /// The entry is done: acknowledged, known, or dead-lettered. Moves the committed position when it was the
    /// lowest.
    pub fn done(&self, offset: u64) {
        let mut inner = self.inner();
        let Some((_, bytes)) = inner.open.remove(&offset) else { return };
        inner.bytes -= bytes;
        let low = inner.open.keys().next().copied().unwrap_or(inner.taken);
        if low > inner.committed && !inner.revoked {
            inner.committed = low;
            self.control.commit(
                self.topic,
                self.partition,
                Committed { next_offset: low, metadata: String::new() },
            );
        }
        let relaxed = inner.open.len() <= self.bounds.entries / 2 && inner.bytes <= self.bounds.bytes / 2;
        if relaxed && inner.paused && !inner.revoked {
            inner.paused = false;
            self.control.resume(self.partition);
        }
    }

    /// Lets the partition flow, unless there is too much in hand already.
    pub fn flow(&self) {
        let inner = self.inner();
        if !inner.paused && !inner.revoked {
            self.control.resume(self.partition);
        }
    }

    /// What is in hand, in offset order: to be worked on again when the worker was lost.
    pub fn open(&self) -> Vec<(u64, T)> {
        self.inner().open.iter().map(|(offset, (entry, _))| (*offset, entry.clone())).collect()
    }

    /// Whether `offset` still waits.
    pub fn is_open(&self, offset: u64) -> bool {
        self.inner().open.contains_key(&offset)
    }

    /// The partition is not ours any more: nothing is committed from here on.
    pub fn revoke(&self) {
        self.inner().revoked = true;
    }

    pub fn is_revoked(&self) -> bool {
        self.inner().revoked
    }

    pub fn len(&self) -> usize {
        self.inner().open.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use callboard_ports::inbox::{Committed, InboxControl};
    use callboard_ports::log::LogError;
    use callboard_ports::record::Topic;
    use futures_util::future::BoxFuture;

    use super::{Window, WindowBounds};

    #[derive(Default)]
    struct Spy(Mutex<Vec<String>>);

    impl InboxControl for Spy {
        fn commit(&self, _: Topic, _: u32, position: Committed) {
            self.0.lock().unwrap().push(format!("commit {}", position.next_offset));
        }
        fn committed(&self, _: Topic, _: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
            Box::pin(async { Ok(None) })
        }
        fn pause(&self, _: u32) {
            self.0.lock().unwrap().push("pause".into());
        }
        fn resume(&self, _: u32) {
            self.0.lock().unwrap().push("resume".into());
        }
        fn leave(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {})
        }
    }

    #[test]
    fn commits_the_low_water_mark_and_pauses_when_full() {
        let spy = Arc::new(Spy::default());
        let bounds = WindowBounds { entries: 3, bytes: 1_000 };
        let window = Window::new(Topic::UserCommands, 0, 5, bounds, spy.clone());
        for offset in [5, 6, 9] {
            assert!(window.take(offset, (), 1));
        }
        assert!(!window.take(6, (), 1), "a redelivery is not taken twice");
        window.done(6);
        window.done(9);
        window.done(5);
        window.revoke();
        window.take(10, (), 1);
        window.done(10);
        assert_eq!(*spy.0.lock().unwrap(), ["pause", "resume", "commit 10"]);
    }
}
