//! One life of the tree: everything that one guardian has started. It ends when the guardian does, and can be ended from
//! outside when the guardian's own arbiter does not run any more, so that no two trees ever act side by side.

use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use crate::tenure::Tenure;

/// See the module. Shared with the arbiters that the tree runs on.
pub struct Life {
    over: watch::Sender<bool>,
    tenures: Mutex<Vec<Weak<Tenure>>>,
}

impl Life {
    pub fn begin() -> Arc<Self> {
        Arc::new(Self { over: watch::channel(false).0, tenures: Mutex::default() })
    }

    /// Whoever was started in it ends as soon as its arbiter runs.
    pub fn end(&self) {
        self.over.send_replace(true);
    }

    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Resolves when it is over.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut over = self.over.subscribe();
        async move {
            // Without its sender nobody is left to begin another one either.
            let _ = over.wait_for(|over| *over).await;
        }
    }

    /// Remembers a membership of this life.
    pub fn enter(&self, tenure: &Arc<Tenure>) {
        let mut tenures = self.tenures.lock().expect("no holder of this lock panics");
        tenures.retain(|known| known.strong_count() > 0);
        tenures.push(Arc::downgrade(tenure));
    }

    /// The memberships that are still held.
    pub fn tenures(&self) -> Vec<Arc<Tenure>> {
        let tenures = self.tenures.lock().expect("no holder of this lock panics");
        tenures.iter().filter_map(Weak::upgrade).collect()
    }
}
