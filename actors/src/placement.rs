//! Arbiters as a `Placement`: the one file that creates threads for actors, used by the wiring.

use std::sync::Arc;

use actix_rt::{Arbiter, ArbiterHandle};
use callboard_ports::placement::{Blocking, Job, Placement};
use futures_util::future::BoxFuture;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot;

/// Single-threaded executors, each on a thread of its own.
pub struct Arbiters {
    handles: Vec<ArbiterHandle>,
}

impl Arbiters {
    /// Starts `count` arbiters (at least one). Must be called inside an actix system.
    #[must_use]
    pub fn start(count: usize) -> Arc<Self> {
        let handles = (0..count.max(1)).map(|_| Arbiter::new().handle()).collect();
        Arc::new(Self { handles })
    }

    /// Ends them; actors on them are dropped.
    pub fn stop(&self) {
        for handle in &self.handles {
            handle.stop();
        }
    }
}

impl Placement for Arbiters {
    fn arbiters(&self) -> usize {
        self.handles.len()
    }

    fn spawn_on(&self, index: usize, job: Job) -> bool {
        self.handles[index % self.handles.len()].spawn_fn(move || {
            actix_rt::spawn(job());
        })
    }
}

/// A few threads with a bounded queue, for work that blocks (files).
pub struct BlockingThreads {
    queue: SyncSender<Box<dyn FnOnce() + Send>>,
}

impl BlockingThreads {
    /// Starts `threads` threads.
    #[must_use]
    pub fn start(threads: usize) -> Arc<Self> {
        /// Jobs that may wait: each is one small file write, and whoever is refused tries again.
        const QUEUE: usize = 64;
        let (queue, jobs) = sync_channel::<Box<dyn FnOnce() + Send>>(QUEUE);
        let jobs = Arc::new(std::sync::Mutex::new(jobs));
        for i in 0..threads.max(1) {
            let jobs = jobs.clone();
            let body = move || {
                loop {
                    let job = jobs.lock().expect("no holder of this lock panics").recv();
                    let Ok(job) = job else { return };
                    // A job that panics must not take the thread with it; its waiter sees the lost reply.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                }
            };
            std::thread::Builder::new()
                .name(format!("blocking-{i}"))
                .spawn(body)
                .expect("the system can start a handful of threads");
        }
        Arc::new(Self { queue })
    }
}

impl Blocking for BlockingThreads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, bool> {
        let (done, finished) = oneshot::channel();
        let job = Box::new(move || {
            work();
            let _ = done.send(());
        });
        match self.queue.try_send(job) {
            Ok(()) => Box::pin(async move { finished.await.is_ok() }),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Box::pin(async { false }),
        }
    }
}
