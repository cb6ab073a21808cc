//! Arbiters as a `Placement`: the one file that creates threads for actors, used by the wiring. Neighbour: `watchdog`, which
//! judges whether an arbiter has stopped; the thread that asks it lives here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle, System};
use callboard_ports::clock::Clock;
use callboard_ports::placement::{Blocking, Job, OnReplaced, Placement};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::watchdog::{WatchBounds, Watchdog};

/// Single-threaded executors, each on a thread of its own, and a thread that notices when one of them has stopped.
pub struct Arbiters {
    seats: Mutex<Vec<Seat>>,
    told: Mutex<Vec<OnReplaced>>,
    /// Silence is in order from here on.
    stopped: AtomicBool,
    /// Milliseconds of the longest silence.
    silence_ms: AtomicU64,
    /// Dropped with this: the watchdog ends.
    _watched: SyncSender<()>,
}

/// An index and who sits there.
struct Seat {
    handle: ArbiterHandle,
    /// The watchdog's last question, and the last one that was answered.
    asked: u64,
    answered: Arc<AtomicU64>,
}

impl Seat {
    fn new() -> std::io::Result<Self> {
        Ok(Self { handle: Arbiter::try_new()?.handle(), asked: 0, answered: Arc::default() })
    }

    /// Whether the last question was answered; then it is asked the next.
    fn answers(&mut self) -> bool {
        let answers = self.answered.load(Ordering::Acquire) == self.asked;
        if answers {
            self.asked += 1;
            let (asked, answered) = (self.asked, self.answered.clone());
            self.handle.spawn_fn(move || answered.store(asked, Ordering::Release));
        }
        answers
    }
}

impl Arbiters {
    /// Starts `count` arbiters (at least one), watched by `clock`. Must be called inside an actix system.
    #[must_use]
    pub fn start(count: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::start_within(WatchBounds::default(), count, clock)
    }

    /// As [`Self::start`], with other bounds.
    ///
    /// # Panics
    /// When the system cannot start the threads.
    #[must_use]
    pub fn start_within(bounds: WatchBounds, count: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        let seats: Vec<Seat> = (0..count.max(1))
            .map(|_| Seat::new().expect("the system can start a handful of threads"))
            .collect();
        let (watched, unwatched) = sync_channel(1);
        let dog = Watchdog::new(bounds, seats.len(), clock.monotonic_ms());
        let all = Arc::new(Self {
            seats: Mutex::new(seats),
            told: Mutex::default(),
            stopped: AtomicBool::new(false),
            silence_ms: AtomicU64::new(0),
            _watched: watched,
        });
        let (weak, system) = (Arc::downgrade(&all), System::current());
        std::thread::Builder::new()
            .name("arbiter-watchdog".into())
            .spawn(move || {
                // A successor belongs to the same system.
                System::set_current(system);
                watch(&weak, dog, bounds.tick, &*clock, &unwatched);
            })
            .expect("the system can start a handful of threads");
        all
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().expect("no holder of this lock panics")
    }

    /// For how long the most silent arbiter has not answered.
    #[must_use]
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms.load(Ordering::Relaxed))
    }

    /// Ends them; actors on them are dropped.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for seat in &*self.seats() {
            seat.handle.stop();
        }
    }

    fn tick(&self, dog: &mut Watchdog, now_ms: u64) {
        if self.stopped.load(Ordering::Acquire) {
            return;
        }
        let answered: Vec<bool> = self.seats().iter_mut().map(Seat::answers).collect();
        let wedged = dog.tick(now_ms, &answered);
        let silence_ms = u64::try_from(dog.silence().as_millis()).unwrap_or(u64::MAX);
        self.silence_ms.store(silence_ms, Ordering::Relaxed);
        for index in wedged {
            self.replace(index);
        }
    }

    /// Abandons an arbiter: whatever wedged it goes on there for as long as it likes, and nothing after it.
    fn replace(&self, index: usize) {
        match Seat::new() {
            Ok(fresh) => {
                let old = std::mem::replace(&mut self.seats()[index], fresh);
                old.handle.stop();
            }
            Err(error) => {
                tracing::error!(arbiter = index, %error, "a wedged arbiter cannot be replaced");
            }
        }
        for told in &*self.told.lock().expect("no holder of this lock panics") {
            told(index);
        }
    }
}

/// The watchdog's thread. Ends with the arbiters.
fn watch(
    arbiters: &Weak<Arbiters>,
    mut dog: Watchdog,
    tick: Duration,
    clock: &dyn Clock,
    unwatched: &Receiver<()>,
) {
    while unwatched.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
        let Some(arbiters) = arbiters.upgrade() else { return };
        arbiters.tick(&mut dog, clock.monotonic_ms());
    }
}

impl Placement for Arbiters {
    fn arbiters(&self) -> usize {
        self.seats().len()
    }

    fn spawn_on(&self, index: usize, job: Job) -> bool {
        let seats = self.seats();
        seats[index % seats.len()].handle.spawn_fn(move || {
            actix_rt::spawn(job());
        })
    }

    fn on_replaced(&self, told: OnReplaced) {
        self.told.lock().expect("no holder of this lock panics").push(told);
    }
}

/// A few threads with a bounded queue, for work that blocks (files) and that nobody waits for: they run behind everything else.
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
        let jobs = Arc::new(Mutex::new(jobs));
        for i in 0..threads.max(1) {
            let jobs = jobs.clone();
            let body = move || {
                yield_to_others();
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

/// Lowers the calling thread's priority: writing a large file takes a processor for a while that turns want. On Linux alone,
/// where a thread has a priority of its own.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "work in the background keeps its priority");
    }
}

/// A tenth of the weight of the others: slow while they are busy, and not at a standstill.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

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
