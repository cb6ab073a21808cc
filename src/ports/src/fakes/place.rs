//! Placement on one thread: everything lands on the `LocalSet` that the test runs in.

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::placement::{Blocking, Job, Placement};

/// Jobs that wait to be started; they are started as soon as the thread is free, so a few are enough.
const WAITING_JOBS: usize = 1_024;

/// One arbiter: the current `LocalSet` (or actix system).
#[derive(Debug, Clone)]
pub struct OneArbiter {
    jobs: mpsc::Sender<Job>,
}

impl OneArbiter {
    /// Starts it; must be called inside a `LocalSet`.
    #[must_use]
    pub fn start() -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_JOBS);
        tokio::task::spawn_local(async move {
            while let Some(job) = waiting.recv().await {
                tokio::task::spawn_local(job());
            }
        });
        Self { jobs }
    }
}

impl Placement for OneArbiter {
    fn arbiters(&self) -> usize {
        1
    }

    fn spawn_on(&self, _index: usize, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

/// "Blocking" work done at once, where it is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Blocking for Inline {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, bool> {
        work();
        Box::pin(std::future::ready(true))
    }
}
