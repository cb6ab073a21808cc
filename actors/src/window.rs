//! A window over one partition of an inbox: what has been taken and is not yet done. The committed position is the
//! lowest offset not done; too much in hand pauses the partition. A window that [`keeps notes`](Window::noting) says in the
//! commit's metadata which later offsets are done too ([`notes`]), so that one long call does not make a restart repeat
//! the short ones behind it.

mod notes;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use callboard_domain::planted::{self, Defect};
use callboard_ports::inbox::{Committed, InboxControl};
use callboard_ports::record::Topic;

use crate::gauges::Progress;

use crate::limits::COMMIT_LATER_EVERY;
use crate::observe::Metrics;
use notes::Done;

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
    /// What is done from `committed` on, where notes are kept.
    done: Done,
    /// Done since the last commit.
    unsaid: usize,
    paused: bool,
    /// Somebody looks now and then whether it may go on.
    watched: bool,
    revoked: bool,
}

/// The window of one assignment of one partition. Shared by whoever may finish an entry.
pub struct Window<T> {
    topic: Topic,
    partition: u32,
    bounds: WindowBounds,
    control: Arc<dyn InboxControl>,
    notes: bool,
    counted: Option<(Arc<Metrics>, &'static str)>,
    most_turns: Option<(Arc<Metrics>, usize)>,
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
            done: Done::default(),
            unsaid: 0,
            paused: false,
            watched: false,
            revoked: false,
        };
        let (notes, counted, most_turns) = (false, None, None);
        Self { topic, partition, bounds, control, notes, counted, most_turns, inner: Mutex::new(inner) }
    }

    /// Keeps notes of what is done out of order, beginning with those of whoever committed last.
    pub fn noting(mut self, committed: Option<&Committed>) -> Self {
        self.notes = true;
        let inner = self.inner.get_mut().expect("no holder of this lock panics");
        if let Some(position) = committed {
            inner.done = Done::parse(&position.metadata, position.next_offset);
        }
        self
    }

    /// Counts its pauses as refusals of `what`.
    pub fn counted(mut self, metrics: Arc<Metrics>, what: &'static str) -> Self {
        self.counted = Some((metrics, what));
        self
    }

    /// Pauses too while the node has so many turns open. Nothing tells the window when those have ended:
    /// [`Self::wants_watch`].
    pub fn held_at(mut self, metrics: Arc<Metrics>, most_turns: usize) -> Self {
        self.most_turns = Some((metrics, most_turns));
        self
    }

    /// Whether the node has as many turns open as may be before commands pause.
    fn too_many_turns(&self) -> bool {
        self.most_turns.as_ref().is_some_and(|(metrics, most)| {
            usize::try_from(metrics.turns_live.load(Relaxed)).is_ok_and(|live| live >= *most)
        })
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner<T>> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Takes an entry in hand. False when the offset was taken before (a redelivery within the assignment), or done by
    /// whoever had the partition before.
    pub fn take(&self, offset: u64, entry: T, bytes: usize) -> bool {
        let mut inner = self.inner();
        if offset < inner.taken {
            return false;
        }
        inner.taken = offset + 1;
        if inner.done.holds(offset) {
            self.say(&mut inner);
            return false;
        }
        inner.open.insert(offset, (entry, bytes));
        inner.bytes += bytes;
        if planted::is(Defect::CommitTooEarly) {
            self.commit(&mut inner, offset + 1);
        }
        let full = inner.open.len() >= self.bounds.entries
            || inner.bytes >= self.bounds.bytes
            || self.too_many_turns();
        if full && !inner.paused && !inner.revoked && !planted::is(Defect::NeverPause) {
            inner.paused = true;
            self.control.pause(self.partition);
            if let Some((metrics, what)) = &self.counted {
                metrics.refused(what);
            }
        }
        true
    }

    /// The entry is done: acknowledged, known, or dead-lettered. Moves the committed position when it was the
    /// lowest.
    pub fn done(&self, offset: u64) {
        let mut inner = self.inner();
        let Some((_, bytes)) = inner.open.remove(&offset) else { return };
        inner.bytes -= bytes;
        if self.notes {
            inner.done.add(offset);
        }
        inner.unsaid += 1;
        self.say(&mut inner);
        self.resume_if_relaxed(&mut inner);
    }

    fn resume_if_relaxed(&self, inner: &mut Inner<T>) {
        let relaxed = inner.open.len() <= self.bounds.entries / 2 && inner.bytes <= self.bounds.bytes / 2;
        if relaxed && inner.paused && !inner.revoked && !self.too_many_turns() {
            inner.paused = false;
            self.control.resume(self.partition);
        }
    }

    /// Whether somebody should call [`Self::relax`] until it is over: true once for each pause that open turns may prolong.
    pub fn wants_watch(&self) -> bool {
        let mut inner = self.inner();
        let wants = self.most_turns.is_some() && inner.paused && !inner.revoked && !inner.watched;
        inner.watched |= wants;
        wants
    }

    /// Resumes if nothing is too much any more. False when there is nothing left to watch.
    pub fn relax(&self) -> bool {
        let mut inner = self.inner();
        self.resume_if_relaxed(&mut inner);
        inner.watched = inner.paused && !inner.revoked;
        inner.watched
    }

    /// Commits what there is to say: a lower mark that moved at once, notes alone now and then.
    fn say(&self, inner: &mut Inner<T>) {
        let low = inner.open.keys().next().copied().unwrap_or(inner.taken);
        if low > inner.committed || (self.notes && inner.unsaid >= COMMIT_LATER_EVERY) {
            self.commit(inner, low);
        }
    }

    fn commit(&self, inner: &mut Inner<T>, low: u64) {
        if inner.revoked {
            return;
        }
        inner.committed = low;
        inner.unsaid = 0;
        inner.done.forget_below(low);
        let metadata = inner.done.written(low);
        self.control.commit(self.topic, self.partition, Committed { next_offset: low, metadata });
    }

    /// As [`Self::revoke`], after saying what was done since the last commit: what is committed before the partition is
    /// handed over counts.
    pub fn hand_over(&self) {
        let mut inner = self.inner();
        if self.notes && inner.unsaid > 0 {
            let low = inner.open.keys().next().copied().unwrap_or(inner.taken);
            self.commit(&mut inner, low);
        }
        inner.revoked = true;
    }

    /// Says what was done since the last commit.
    pub fn write_down(&self) {
        let mut inner = self.inner();
        if self.notes && inner.unsaid > 0 {
            let low = inner.open.keys().next().copied().unwrap_or(inner.taken);
            self.commit(&mut inner, low);
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

impl<T: Clone + Send> Progress for Window<T> {
    fn done_below(&self) -> Option<u64> {
        let inner = self.inner();
        (!inner.revoked).then_some(inner.committed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::{Arc, Mutex};

    use callboard_ports::inbox::{Committed, InboxControl};
    use callboard_ports::log::LogError;
    use callboard_ports::record::Topic;
    use futures_util::future::BoxFuture;

    use super::{Window, WindowBounds};
    use crate::observe::Metrics;

    #[derive(Default)]
    struct Spy(Mutex<Vec<String>>);

    impl InboxControl for Spy {
        fn commit(&self, _: Topic, _: u32, position: Committed) {
            let said = format!("commit {} {}", position.next_offset, position.metadata);
            self.0.lock().unwrap().push(said.trim_end().to_owned());
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

    #[test]
    fn open_turns_of_the_node_pause_it_until_enough_have_ended() {
        let (spy, metrics) = (Arc::new(Spy::default()), Arc::new(Metrics::default()));
        let bounds = WindowBounds { entries: 100, bytes: 1_000 };
        let window = Window::new(Topic::UserCommands, 0, 0, bounds, spy.clone())
            .counted(metrics.clone(), "commands_paused")
            .held_at(metrics.clone(), 10);
        let said = || -> Vec<String> {
            spy.0.lock().unwrap().iter().filter(|said| !said.starts_with("commit")).cloned().collect()
        };
        metrics.turns_live.store(9, Relaxed);
        window.take(0, (), 1);
        assert!(!window.wants_watch());
        metrics.turns_live.store(10, Relaxed);
        window.take(1, (), 1);
        assert!(window.wants_watch() && !window.wants_watch(), "one watches");
        window.done(0);
        window.done(1);
        assert!(window.relax(), "nothing in hand, and too many open");
        assert_eq!(said(), ["pause"]);
        metrics.turns_live.store(9, Relaxed);
        assert!(!window.relax() && !window.wants_watch());
        assert_eq!(said(), ["pause", "resume"]);
    }

    #[test]
    fn notes_say_what_is_done_behind_a_long_call_and_the_next_owner_skips_it() {
        let spy = Arc::new(Spy::default());
        let bounds = WindowBounds { entries: 1_000, bytes: 1_000 };
        let window = Window::new(Topic::UserCommands, 0, 0, bounds, spy.clone()).noting(None);
        (0..40).for_each(|offset| assert!(window.take(offset, (), 1)));
        (1..35).for_each(|offset| window.done(offset));
        let said = spy.0.lock().unwrap().clone();
        assert_eq!(said, ["commit 0 done=1+16", "commit 0 done=1+32"], "now and then, not for each");
        window.done(36);
        window.hand_over();
        window.done(37);
        assert_eq!(spy.0.lock().unwrap()[2..], ["commit 0 done=1+34,1+1"]);

        let next = Arc::new(Spy::default());
        let committed = Committed { next_offset: 0, metadata: "done=1+34,1+1".into() };
        let window = Window::new(Topic::UserCommands, 0, 0, bounds, next.clone()).noting(Some(&committed));
        let taken: Vec<u64> = (0..40).filter(|offset| window.take(*offset, (), 1)).collect();
        assert_eq!(taken, [0, 35, 37, 38, 39]);
        assert!(next.0.lock().unwrap().is_empty());
        window.done(0);
        window.done(35);
        window.done(38);
        assert_eq!(*next.0.lock().unwrap(), ["commit 35 done=1+1", "commit 37"]);
    }
}
