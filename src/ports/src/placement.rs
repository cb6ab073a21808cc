//! Where actors and blocking work run.

use std::sync::Arc;

use futures_util::future::{BoxFuture, LocalBoxFuture};

/// A job that builds a future on the thread it lands on.
pub type Job = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// Told of an arbiter that stopped: its index, which belongs to a fresh one already. Called on a thread of the placement.
pub type OnReplaced = Box<dyn Fn(usize) + Send + Sync>;

/// The arbiters: single-threaded executors, each hosting the actors of its partitions.
pub trait Placement: Send + Sync {
    /// How many there are, at least 1.
    fn arbiters(&self) -> usize;
    /// Runs `job` on arbiter `index mod arbiters()`. False when that arbiter is gone.
    fn spawn_on(&self, index: usize, job: Job) -> bool;
    /// Calls `told` for every arbiter that does not run any more and was replaced. What was on it is never dropped in
    /// order, and may go on late. A placement that cannot tell never calls.
    fn on_replaced(&self, told: OnReplaced) {
        drop(told);
    }
}

/// Work that blocks, on a bounded pool.
pub trait Blocking: Send + Sync {
    /// Runs `work`; the future ends with it, or early when the pool's queue is full (then `false`).
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, bool>;
}

/// Handles to both, shared.
pub type SharedPlacement = Arc<dyn Placement>;
