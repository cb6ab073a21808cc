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
