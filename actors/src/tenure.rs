//! A membership as its lanes hold it: the inbox's control until the group ends, and nothing from then on. A lane on an
//! arbiter that stopped cannot be told that it is over; when it comes back it finds that it commits nothing, is fenced by
//! nothing and owns nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use callboard_ports::inbox::{Committed, InboxControl};
use callboard_ports::log::{LogError, TailControl};
use callboard_ports::record::Topic;
use futures_util::future::BoxFuture;

use crate::supervise::Life;
use crate::window::Window;

/// Something that may be taken away from whoever holds it.
pub trait Revoke: Send + Sync {
    fn revoke(&self);
}

impl<T: Clone + Send> Revoke for Window<T> {
    fn revoke(&self) {
        Window::revoke(self);
    }
}

/// See the module.
pub struct Tenure {
    control: Arc<dyn InboxControl>,
    tail: Option<Arc<dyn TailControl>>,
    partitions: u32,
    /// Lanes 0 to `lanes - 1` speak on the arbiters of the same numbers.
    lanes: usize,
    life: Arc<Life>,
    over: AtomicBool,
    windows: Mutex<Vec<Weak<dyn Revoke>>>,
}

impl Tenure {
    pub fn begin(
        control: Arc<dyn InboxControl>,
        tail: Option<Arc<dyn TailControl>>,
        (partitions, lanes): (u32, usize),
        life: &Arc<Life>,
    ) -> Arc<Self> {
        let tenure = Arc::new(Self {
            control,
            tail,
            partitions,
            lanes,
            life: life.clone(),
            over: AtomicBool::new(false),
            windows: Mutex::default(),
        });
        life.enter(&tenure);
        tenure
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) || self.life.is_over()
    }

    pub fn speaks_on(&self, arbiter: usize) -> bool {
        arbiter < self.lanes
    }

    /// What `window` holds is revoked when this ends.
    pub fn covers<T: Clone + Send + 'static>(&self, window: &Arc<Window<T>>) {
        let window: Arc<dyn Revoke> = window.clone();
        let mut windows = self.windows.lock().expect("no holder of this lock panics");
        windows.retain(|known| known.strong_count() > 0);
        windows.push(Arc::downgrade(&window));
    }

    /// From here on nothing is committed, read or believed by whoever holds this.
    pub fn end(&self) {
        if self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        let windows = std::mem::take(&mut *self.windows.lock().expect("no holder of this lock panics"));
        windows.iter().filter_map(Weak::upgrade).for_each(|window| window.revoke());
        if let Some(tail) = &self.tail {
            (0..self.partitions).for_each(|partition| tail.unassign(partition));
        }
    }
}

impl InboxControl for Tenure {
    fn commit(&self, topic: Topic, partition: u32, position: Committed) {
        if !self.is_over() {
            self.control.commit(topic, partition, position);
        }
    }

    fn committed(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        self.control.committed(topic, partition)
    }

    fn pause(&self, partition: u32) {
        self.control.pause(partition);
    }

    fn resume(&self, partition: u32) {
        self.control.resume(partition);
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        self.control.leave()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use callboard_ports::fakes::MemorySnapshots;
    use callboard_ports::inbox::{Committed, InboxControl};
    use callboard_ports::log::{LogError, LogIdentity, TailControl};
    use callboard_ports::record::Topic;
    use callboard_ports::snapshot::{Checkpoint, Flush, SnapshotStore};
    use futures_util::future::{BoxFuture, FutureExt};

    use super::{Revoke, Tenure};
    use crate::fenced::FencedSnapshots;
    use crate::supervise::Life;

    /// Notes what reaches the membership and the tail.
    #[derive(Default)]
    struct Spy(Mutex<Vec<String>>);

    impl Spy {
        fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }
    }

    impl InboxControl for Spy {
        fn commit(&self, _: Topic, partition: u32, position: Committed) {
            self.note(format!("commit {partition} {}", position.next_offset));
        }
        fn committed(&self, _: Topic, _: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
            Box::pin(async { Ok(None) })
        }
        fn pause(&self, _: u32) {}
        fn resume(&self, _: u32) {}
        fn leave(&self) -> BoxFuture<'_, ()> {
            self.note("leave".into());
            Box::pin(async {})
        }
    }

    impl TailControl for Spy {
        fn assign(&self, _: u32, _: u64, _: u64) {}
        fn unassign(&self, partition: u32) {
            self.note(format!("unassign {partition}"));
        }
    }

    impl Revoke for Spy {
        fn revoke(&self) {
            self.note("revoke".into());
        }
    }

    fn commit(tenure: &Tenure, next_offset: u64) {
        tenure.commit(Topic::UserCommands, 0, Committed { next_offset, metadata: String::new() });
    }

    fn begun(life: &Arc<Life>) -> (Arc<Spy>, Arc<Tenure>) {
        let spy = Arc::new(Spy::default());
        let tenure = Tenure::begin(spy.clone(), Some(spy.clone()), (2, 1), life);
        let window: Arc<dyn Revoke> = spy.clone();
        tenure.windows.lock().unwrap().push(Arc::downgrade(&window));
        (spy, tenure)
    }

    #[test]
    fn what_is_over_commits_nothing_reads_nothing_and_can_still_be_left() {
        let (spy, tenure) = begun(&Life::begin());
        commit(&tenure, 1);
        tenure.end();
        tenure.end();
        commit(&tenure, 2);
        tenure.leave().now_or_never().unwrap();
        assert_eq!(*spy.0.lock().unwrap(), ["commit 0 1", "revoke", "unassign 0", "unassign 1", "leave"]);
    }

    #[test]
    fn a_life_ends_all_its_memberships_and_knows_those_that_are_held() {
        let life = Life::begin();
        let (spy, tenure) = begun(&life);
        drop(begun(&life));
        assert_eq!(life.tenures().len(), 1, "the other one is gone");
        assert!(tenure.speaks_on(0) && !tenure.speaks_on(1));
        life.end();
        assert!(tenure.is_over());
        commit(&tenure, 1);
        assert!(spy.0.lock().unwrap().is_empty());
    }

    #[test]
    fn no_snapshot_is_written_over_those_of_a_successor() {
        let (_, tenure) = begun(&Life::begin());
        let store = Arc::new(MemorySnapshots::default());
        let fenced = FencedSnapshots { store: store.clone(), tenure: tenure.clone() };
        let checkpoint = |next_offset| Checkpoint { identity: LogIdentity("log".into()), next_offset };
        let write = |next_offset| {
            let flush = Flush { partition: 0, dirty: Vec::new(), checkpoint: checkpoint(next_offset) };
            fenced.flush(flush).now_or_never().unwrap()
        };
        write(5).unwrap();
        tenure.end();
        write(3).unwrap_err();
        fenced.discard(0).now_or_never().unwrap().unwrap_err();
        assert_eq!(store.checkpoint(0).now_or_never().unwrap().unwrap(), Some(checkpoint(5)));
    }
}
