//! Arbiters in one thread and in virtual time. Any of them can be held, as a loop that never ends holds a real one; can be
//! abandoned, as the watchdog does with one that is held; and can go on late, when everybody has forgotten it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use callboard_ports::placement::{Job, OnReplaced, Placement};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet};

/// One arbiter.
pub struct Seat {
    jobs: mpsc::Sender<Job>,
    held: Arc<AtomicBool>,
    waker: Arc<Mutex<Option<Waker>>>,
    task: AbortHandle,
}

impl Seat {
    /// Must be called inside a `LocalSet`.
    fn take() -> Self {
        const WAITING_JOBS: usize = 1_024;
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_JOBS);
        let mut tasks = LocalSet::new();
        tasks.spawn_local(async move {
            while let Some(job) = waiting.recv().await {
                tokio::task::spawn_local(job());
            }
        });
        let (held, waker) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Option<Waker>>>::default());
        let (is_held, to_wake) = (held.clone(), waker.clone());
        let run = std::future::poll_fn(move |context| {
            *to_wake.lock().unwrap() = Some(context.waker().clone());
            if is_held.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            Future::poll(std::pin::Pin::new(&mut tasks), context)
        });
        let task = tokio::task::spawn_local(run).abort_handle();
        Self { jobs, held, waker, task }
    }

    /// Whoever was busy is done: everything else that was on this arbiter goes on where it stood.
    pub fn go_on(&self) {
        self.held.store(false, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().unwrap().take() {
            waker.wake();
        }
    }

    /// The thread ends.
    pub fn end(self) {
        self.task.abort();
    }
}

/// See the module.
#[derive(Default)]
pub struct Stage {
    seats: Mutex<Vec<Seat>>,
    told: Mutex<Vec<OnReplaced>>,
}

impl Stage {
    /// Must be called inside a `LocalSet`.
    pub fn with(arbiters: usize) -> Arc<Self> {
        let stage = Self::default();
        stage.seats.lock().unwrap().extend((0..arbiters).map(|_| Seat::take()));
        Arc::new(stage)
    }

    /// From here on nothing runs on arbiter `index`.
    pub fn hold(&self, index: usize) {
        self.seats.lock().unwrap()[index].held.store(true, Ordering::SeqCst);
    }

    /// It runs again.
    pub fn go_on(&self, index: usize) {
        self.seats.lock().unwrap()[index].go_on();
    }

    /// Gives the index to a fresh arbiter and tells everybody, as the watchdog does. Must be called inside a `LocalSet`.
    pub fn abandon(&self, index: usize) -> Seat {
        let old = std::mem::replace(&mut self.seats.lock().unwrap()[index], Seat::take());
        self.told.lock().unwrap().iter().for_each(|told| told(index));
        old
    }
}

impl Placement for Stage {
    fn arbiters(&self) -> usize {
        self.seats.lock().unwrap().len()
    }

    fn spawn_on(&self, index: usize, job: Job) -> bool {
        let seats = self.seats.lock().unwrap();
        seats[index % seats.len()].jobs.try_send(job).is_ok()
    }

    fn on_replaced(&self, told: OnReplaced) {
        self.told.lock().unwrap().push(told);
    }
}
