//! A pool: requests of one group and lane, each run once by a supervised worker, answered into the log, and only then
//! committed. Tool pools and the synthesis pool are the same machine with another job.
//!
//! Duplicates by effect id join the first (single flight), and of two attempts only one is run at a time; what was answered
//! lately is remembered in a bounded, expiring cache. In the order of a request's life: `intake` (it comes in), `request` (what
//! it says), `flights` (it is in hand), `cancel` (it is called off), `dispatch` (its turn), `worker` and `job` (it is run;
//! what must not be done twice by `ledger`), `answers` (it is answered).

mod answers;
mod attempts;
mod cancel;
mod dispatch;
mod flights;
mod intake;
mod job;
mod request;
mod synthesis;
mod worker;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use callboard_ports::inbox::{InboxControl, InboxEvent};
use callboard_ports::record::Topic;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use attempts::Attempts;
use flights::{Flight, Stage};
pub use job::{Answer, Came, Invocation, Job, checked, within_bounds};
pub use request::Kind;
use worker::Worker;

use crate::ledger::Ledger;
use crate::limits::{CALLED_OFF, HOST_MAILBOX};
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

/// A worker as its pool sees it.
struct Bench {
    addr: Arc<std::sync::Mutex<Option<Addr<Worker>>>>,
    /// Key of the job in hand, and whether it counts as a call of its tool.
    job: Option<(Arc<str>, bool)>,
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
    windows: BTreeMap<u32, Arc<Window<()>>>,
    flights: BTreeMap<Arc<str>, Flight>,
    /// Answered lately: who asks again is a duplicate.
    answered: Attempts,
    /// Called off: what of it still comes in is not run.
    called_off: Attempts,
    ledger: Rc<Ledger>,
    /// This start of this pool, never used again; each claim adds its number.
    incarnation: String,
    claims: u64,
    /// Keys that wait for a worker, by tool.
    waiting: BTreeMap<Arc<str>, VecDeque<Arc<str>>>,
    /// Those that will not be called and need not wait for others.
    urgent: VecDeque<Arc<str>>,
    /// The tool whose turn it was when no worker was left.
    turn: Arc<str>,
    running: HashMap<Arc<str>, usize>,
    /// Lanes of this pool: they share a tool's concurrency.
    lanes: usize,
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
        let children = Children::new(&path, &shared, addr.clone().recipient(), addr.clone().recipient());
        let answered = Attempts::new(shared.limits.dedup_entries);
        let incarnation = format!("{}/{}", shared.worker_name, shared.ports.entropy.new_id());
        let (ledger, lanes) = (Ledger::new(shared.clone()), shared.ports.placement.arbiters());
        Self {
            path,
            kind,
            inbox: feed.inbox.clone(),
            topic: feed.topic,
            feed: Some(feed),
            shared,
            addr,
            ending,
            windows: BTreeMap::new(),
            flights: BTreeMap::new(),
            answered,
            called_off: Attempts::new(CALLED_OFF),
            ledger,
            incarnation,
            claims: 0,
            waiting: BTreeMap::new(),
            urgent: VecDeque::new(),
            turn: Arc::from(""),
            lanes,
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
            let ledger = self.ledger.clone();
            let (slot, pool) = (Arc::new(std::sync::Mutex::new(None)), self.addr.clone());
            self.workers.push(Bench { addr: slot.clone(), job: None, up: true });
            let factory = Box::new(move || {
                /// A worker has one job at a time; the rest is room for "show" and "die".
                const WORKER_MAILBOX: usize = 8;
                let (path, pool, with) = (path.clone(), pool.clone(), (shared.clone(), ledger.clone()));
                let (addr, started) =
                    local(WORKER_MAILBOX, |_, ending| Worker::new(path, i, with, pool, ending));
                *slot.lock().expect("no holder of this lock panics") = Some(addr);
                started
            });
            self.children.start(&format!("worker-{i}"), factory);
        }
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
        if let Some(flight) = self.flights.get_mut(&key) {
            flight.crashes += 1;
            flight.last_ending = Some(message.ending.as_str());
            let (owned, attempt) = (!flight.requests.is_empty(), flight.attempt());
            if flight.task.claim.is_none() && !owned {
                // Its partition is somebody else's, who runs it.
                self.settle(&key);
            } else if flight.task.claim.is_none()
                && self.called_off.holds(&key, attempt, self.shared.now_ms())
            {
                self.refuse(&key, job::called_off());
            } else {
                // First in its queue: it has waited already.
                flight.stage = Stage::Waiting;
                let tool = flight.job().tool.clone();
                self.waiting.entry(tool).or_default().push_front(key);
            }
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

/// What could be finished before the stop is.
#[derive(Message)]
#[rtype(result = "()")]
struct LetGo;

impl Pool {
    /// Says what is done, and that what is not was no crash: an orderly stop is nobody's fault.
    fn let_go(&self) {
        self.windows.values().for_each(|window| window.write_down());
        for (key, flight) in &self.flights {
            if flight.noted {
                self.shared.ports.in_hand.end(key);
            }
        }
    }
}

impl Handler<LetGo> for Pool {
    type Result = ();

    fn handle(&mut self, _: LetGo, _: &mut Self::Context) {
        self.let_go();
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
        // Whoever comes next waits for the ledger just as well.
        self.flights.retain(|_, flight| !matches!(flight.stage, Stage::Clearing { .. }));
        if self.flights.is_empty() {
            self.let_go();
            return Box::pin(async {});
        }
        let addr = self.addr.clone();
        let (done, drained) = oneshot::channel();
        self.drained = Some(done);
        let timeout = self.shared.ports.clock.sleep(DRAIN);
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = drained => {}
                () = timeout => {}
            }
            let _ = addr.send(LetGo).await;
        })
    }
}

impl Handler<Show> for Pool {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let mut view = ActorView::new(&self.path, self.kind.actor_kind(), "running", HOST_MAILBOX);
        let (partitions, effects) = self.ledger.size();
        view.work = serde_json::json!({
            "partitions": self.windows.len(),
            "under_way": self.flights.len(),
            "waiting": self.waiting.values().map(VecDeque::len).sum::<usize>() + self.urgent.len(),
            "busy_workers": self.workers.iter().filter(|bench| bench.job.is_some()).count(),
            "remembered": self.answered.len(),
            "called_off": self.called_off.len(),
            "ledger": { "partitions": partitions, "effects": effects },
            "breakers": self.shared.breakers.show(),
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

crate::supervise::answers_ping!(Pool);
