//! A pool: requests of one group and lane, each run once by a supervised worker, answered into the log, and only then
//! committed. Tool pools and the synthesis pool are the same machine with another job.
//!
//! Duplicates by effect id and attempt join the first (single flight); what was answered lately is remembered in a bounded,
//! expiring cache. Neighbours: `worker` (its children), `job` (what a request comes to), `intake` (requests coming in).

mod answers;
mod intake;
mod job;
mod worker;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use callboard_ports::inbox::{InboxControl, InboxEvent};
use callboard_ports::record::Topic;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use answers::Finished;
pub use job::{Job, Kind};
use worker::{Run, Worker};

use crate::limits::HOST_MAILBOX;
use crate::observe::{ActorView, Show};
use crate::shared::Shared;
use crate::supervise::{Children, Drain, Ended, EndingCell, Kill, RestartChild, local};
use crate::window::Window;

/// One lane of a group on a request topic.
pub struct PoolFeed {
    pub records: mpsc::Receiver<InboxEvent>,
    pub inbox: Arc<dyn InboxControl>,
    pub topic: Topic,
}

/// A request under way and every request that waits for it.
struct Flight {
    job: Arc<Job>,
    /// (partition, offset) of the request and of its duplicates.
    requests: Vec<(u32, u64)>,
    /// Workers that died with it in hand.
    crashes: u32,
    worker: Option<usize>,
    /// Its answer was refused by the log; the error that replaces it is on its way.
    refused: bool,
}

/// A worker as its pool sees it.
struct Bench {
    addr: Arc<std::sync::Mutex<Option<Addr<Worker>>>>,
    /// Key of the job in hand.
    job: Option<Arc<str>>,
    /// Between an ending and its restart a worker is down.
    up: bool,
}

/// The pool of one lane.
pub struct Pool {
    path: String,
    kind: Kind,
    shared: Arc<Shared>,
    addr: Addr<Self>,
    ending: EndingCell,
    feed: Option<PoolFeed>,
    inbox: Arc<dyn InboxControl>,
    topic: Topic,
    windows: HashMap<u32, Arc<Window<()>>>,
    flights: HashMap<Arc<str>, Flight>,
    answered: moka::sync::Cache<Arc<str>, ()>,
    /// Keys that wait for a worker, by tool.
    waiting: BTreeMap<Arc<str>, VecDeque<Arc<str>>>,
    running: HashMap<Arc<str>, usize>,
    workers: Vec<Bench>,
    children: Children,
    pumps: Vec<AbortHandle>,
    drained: Option<oneshot::Sender<()>>,
}

impl Pool {
    pub fn new(
        path: String,
        kind: Kind,
        shared: Arc<Shared>,
        feed: PoolFeed,
        addr: Addr<Self>,
        ending: EndingCell,
    ) -> Self {
        let ports = &shared.ports;
        let children = Children::new(
            &path,
            ports.clock.clone(),
            ports.entropy.clone(),
            shared.metrics.clone(),
            addr.clone().recipient(),
            addr.clone().recipient(),
        );
        let answered = moka::sync::Cache::builder()
            .max_capacity(shared.limits.dedup_entries)
            .time_to_live(shared.limits.dedup_ttl)
            .build();
        Self {
            path,
            kind,
            inbox: feed.inbox.clone(),
            topic: feed.topic,
            feed: Some(feed),
            shared,
            addr,
            ending,
            windows: HashMap::new(),
            flights: HashMap::new(),
            answered,
            waiting: BTreeMap::new(),
            running: HashMap::new(),
            workers: Vec::new(),
            children,
            pumps: Vec::new(),
            drained: None,
        }
    }

    fn start_workers(&mut self) {
        let limits = &self.shared.limits;
        let count = match self.kind {
            Kind::Tools(_) => limits.workers_per_pool,
            Kind::Synthesis => limits.synthesis_workers,
        };
        for i in 0..count {
            let (path, shared) = (format!("{}/worker-{i}", self.path), self.shared.clone());
            let (slot, pool) = (Arc::new(std::sync::Mutex::new(None)), self.addr.clone());
            self.workers.push(Bench { addr: slot.clone(), job: None, up: true });
            let factory = Box::new(move || {
                /// A worker has one job at a time; the rest is room for "show" and "die".
                const WORKER_MAILBOX: usize = 8;
                let (path, shared, pool) = (path.clone(), shared.clone(), pool.clone());
                let (addr, started) =
                    local(WORKER_MAILBOX, |_, ending| Worker::new(path, i, shared, pool, ending));
                *slot.lock().expect("no holder of this lock panics") = Some(addr);
                started
            });
            self.children.start(&format!("worker-{i}"), factory);
        }
    }

    /// Gives waiting jobs to idle workers, within each tool's concurrency.
    fn dispatch(&mut self) {
        let tools: Vec<Arc<str>> = self.waiting.keys().cloned().collect();
        for tool in tools {
            let most = self.kind.concurrency(&*self.shared.ports.tools, &tool);
            while self.running.get(&tool).copied().unwrap_or(0) < most {
                let Some(worker) = self.workers.iter().position(|bench| bench.up && bench.job.is_none())
                else {
                    return;
                };
                let Some(key) = self.waiting.get_mut(&tool).and_then(VecDeque::pop_front) else { break };
                self.run(key, worker);
            }
            if self.waiting.get(&tool).is_some_and(VecDeque::is_empty) {
                self.waiting.remove(&tool);
            }
        }
    }

    fn run(&mut self, key: Arc<str>, worker: usize) {
        let Some(flight) = self.flights.get_mut(&key) else { return };
        if self.shared.now_ms() > flight.job.not_after_ms {
            self.shared.metrics.requests_expired.fetch_add(1, Relaxed);
            self.settle(&key);
            return;
        }
        let bench = &mut self.workers[worker];
        let addr = bench.addr.lock().expect("no holder of this lock panics").clone();
        // A worker that cannot be reached has just ended: its ending, on the way, gives the job back.
        let _ = addr.map(|addr| addr.try_send(Run(flight.job.clone())));
        bench.job = Some(key);
        flight.worker = Some(worker);
        *self.running.entry(flight.job.tool.clone()).or_default() += 1;
        if matches!(self.kind, Kind::Tools(_)) {
            self.shared.metrics.invocations_run.fetch_add(1, Relaxed);
        }
    }

    /// The worker has nothing in hand any more. Gives what it had.
    fn free(&mut self, worker: usize) -> Option<Arc<str>> {
        let key = self.workers[worker].job.take()?;
        if let Some(flight) = self.flights.get_mut(&key) {
            flight.worker = None;
            if let Some(running) = self.running.get_mut(&flight.job.tool) {
                *running = running.saturating_sub(1);
                // Foreign requests may name any tool: nothing is kept of those that are done.
                if *running == 0 {
                    self.running.remove(&flight.job.tool);
                }
            }
        }
        Some(key)
    }
}

fn worker_index(name: &str) -> Option<usize> {
    name.strip_prefix("worker-")?.parse().ok()
}

impl Actor for Pool {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.start_workers();
        self.start_intake();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.pumps.iter().for_each(AbortHandle::abort);
    }
}

impl Handler<Ended> for Pool {
    type Result = ();

    fn handle(&mut self, message: Ended, _: &mut Self::Context) {
        if let Some(name) = self.children.ended(&message) {
            crate::supervise::escalate(&self.path, &name);
        }
        let Some(worker) = worker_index(&message.name) else { return };
        self.workers[worker].up = false;
        let Some(key) = self.free(worker) else { return };
        let most = self.shared.limits.crashes_per_invocation;
        let Some(flight) = self.flights.get_mut(&key) else { return };
        flight.crashes += 1;
        if flight.crashes >= most {
            let words = format!("{most} workers ended ({}) with it in hand", message.ending.as_str());
            let event = flight.job.failure(&self.shared, "panicked", &words);
            self.answer(key, &event);
        } else {
            let tool = flight.job.tool.clone();
            self.waiting.entry(tool).or_default().push_front(key);
        }
        self.dispatch();
    }
}

impl Handler<RestartChild> for Pool {
    type Result = ();

    fn handle(&mut self, message: RestartChild, _: &mut Self::Context) {
        self.children.restart(&message);
        if let Some(worker) = worker_index(&message.name) {
            self.workers[worker].up = true;
        }
        self.dispatch();
    }
}

impl Handler<Drain> for Pool {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        /// What is in hand may finish within this; the rest is run again by whoever comes next.
        const DRAIN: std::time::Duration = std::time::Duration::from_secs(3);
        for partition in self.windows.keys() {
            self.inbox.pause(*partition);
        }
        if self.flights.is_empty() {
            return Box::pin(async {});
        }
        let (done, drained) = oneshot::channel();
        self.drained = Some(done);
        let timeout = self.shared.ports.clock.sleep(DRAIN);
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = drained => {}
                () = timeout => {}
            }
        })
    }
}

impl Handler<Show> for Pool {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let mut view = ActorView::new(&self.path, self.kind.actor_kind(), "running", HOST_MAILBOX);
        view.work = serde_json::json!({
            "partitions": self.windows.len(),
            "under_way": self.flights.len(),
            "waiting": self.waiting.values().map(VecDeque::len).sum::<usize>(),
            "busy_workers": self.workers.iter().filter(|bench| bench.job.is_some()).count(),
            "remembered": self.answered.entry_count(),
        });
        let children = self.children.show();
        Box::pin(async move {
            view.children = children.await;
            view
        })
    }
}

impl Handler<Kill> for Pool {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, message: Kill, context: &mut Self::Context) -> Self::Result {
        if !message.path.is_empty() {
            return self.children.kill(message);
        }
        let told = self.ending.die_as_told(message.how, &self.path, context);
        Box::pin(async move { told })
    }
}
