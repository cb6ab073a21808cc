//! The running node as the outside sees it: ask, wait, read, follow, show, kill, stop. Every call may come
//! from any thread; nothing here holds state of its own.

mod follow;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Addr;
use callboard_domain::State;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::limits::MAX_QUEUED_TURNS;
use callboard_domain::view::{self, TurnView};
use callboard_ports::log::LogError;
use callboard_ports::partition::partition_of;
use futures_util::future::FutureExt;
use tokio::sync::{oneshot, watch};

use crate::conversation::{AwaitEnd, Conversation, Look};
use crate::directory::Directory;
use crate::guardian::Guardian;
use crate::host::{List, Open};
use crate::limits::{BATCH_MAILBOX, Limits};
use crate::observe::{ActorView, KillHow, Metrics, Show};
use crate::shared::{Ports, Roles, Shared};
use crate::supervise::{Budget, Drain, Ending, Kill, Restart, remote};

pub use follow::Follow;

/// Why a question to a node was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// This node does not own the conversation's partition (now), or has not caught up with it yet.
    #[error("partition {partition} is not served here yet: {state}")]
    NotReady { partition: u32, state: String },
    /// A queue on the way is full: 429.
    #[error("too many requests are waiting: {0}")]
    Busy(String),
    /// A record that this build cannot read holds the conversation.
    #[error(
        "the conversation is held at offset {offset} by a {kind} of version {version}, which this build does not know"
    )]
    Blocked { offset: u64, kind: String, version: u32 },
    #[error("the log cannot be read: {0}")]
    Log(#[from] LogError),
    /// The node is stopping or the actor ended meanwhile: ask again.
    #[error("the node cannot answer now: {0}")]
    Gone(String),
    #[error("there is no actor {0:?}")]
    NoSuchActor(String),
}

/// What the log knows of a command before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Never seen: append it.
    New,
    /// Seen with this fingerprint; the turn as it stands (`None` for a command that made no turn).
    Known { body_hash: u64, turn: Option<TurnView> },
    /// As many messages wait in this conversation as may: 429.
    QueueFull,
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub ready: bool,
    /// One line a partition that is not ready, or why nothing is.
    pub waiting_for: Vec<String>,
}

/// Why a node cannot go on; each has its exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    #[error("another process with this identity took over: {0}")]
    Fenced(String),
    #[error("an arbiter is wedged: {0}")]
    Wedged(String),
    #[error("the guardian's restart budget is exhausted: {0}")]
    BudgetExhausted(String),
}

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    roles: Roles,
    stop: Arc<watch::Sender<bool>>,
    /// Monotonic.
    started_ms: u64,
}

/// Starts the actors. `worker_name` names this process in events.
#[must_use]
pub fn start(ports: Ports, roles: Roles, limits: Limits, worker_name: &str) -> Node {
    let shared = Arc::new(Shared {
        ports,
        limits,
        metrics: Arc::new(Metrics::default()),
        directory: Arc::new(Directory::default()),
        worker_name: Arc::from(worker_name),
        guardian: Mutex::new(None),
        fatal: watch::channel(None).0,
    });
    let stop = Arc::new(watch::channel(false).0);
    let (root, of) = (shared.clone(), roles.clone());
    let stopped = stop.subscribe();
    let job = Box::new(move || keep_guardian(root, of, stopped).boxed_local());
    if !shared.ports.placement.spawn_on(0, job) {
        shared.fail(Fatal::Wedged("the first arbiter takes no work".into()));
    }
    let started_ms = shared.ports.clock.monotonic_ms();
    Node { shared, roles, stop, started_ms }
}

/// Runs the guardian, again when it dies, until the node is stopped.
async fn keep_guardian(shared: Arc<Shared>, roles: Roles, mut stopped: watch::Receiver<bool>) {
    let mut budget = Budget::default();
    while !*stopped.borrow_and_update() {
        let (of, with) = (shared.clone(), roles.clone());
        let guardian = remote(&*shared.ports.placement, 0, BATCH_MAILBOX, move |addr, ending| {
            *of.guardian.lock().expect("no holder of this lock panics") = Some(Addr::clone(&addr));
            Guardian::new(of.clone(), with, addr, ending)
        });
        let ending = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            ending = guardian.ended => ending,
        };
        shared.metrics.ending("guardian", ending);
        tracing::error!(ending = ending.as_str(), "the guardian ended; it starts again");
        match budget.spend(shared.ports.clock.monotonic_ms(), shared.ports.entropy.next_u64()) {
            Restart::After(pause) => shared.ports.clock.sleep(pause).await,
            Restart::Exhausted => {
                shared
                    .fail(Fatal::BudgetExhausted(format!("the guardian itself: {}", Ending::as_str(ending))));
                return;
            }
        }
    }
}

impl Node {
    /// Which partition a conversation belongs to.
    #[must_use]
    pub fn partition_of(&self, conversation: &ConversationId) -> u32 {
        partition_of(conversation.as_str().as_bytes(), self.shared.ports.log.partitions())
    }

    fn not_ready(&self, partition: u32) -> NodeError {
        let states = self.shared.directory.host_states();
        let state = states.get(&partition).copied().unwrap_or("not assigned").to_owned();
        NodeError::NotReady { partition, state }
    }

    /// The conversation's actor, loaded when need be.
    async fn conversation(&self, id: &ConversationId) -> Result<Addr<Conversation>, NodeError> {
        if let Some(addr) = self.shared.directory.conversation(id)
            && addr.connected()
        {
            return Ok(addr);
        }
        let partition = self.partition_of(id);
        let host = self.shared.directory.host(partition).ok_or_else(|| self.not_ready(partition))?;
        let (reply, addr) = oneshot::channel();
        let open = Open { conversation: id.clone(), reply };
        host.send(open).await.map_err(|_| self.not_ready(partition))?;
        addr.await.map_err(|_| self.not_ready(partition))
    }

    /// Runs `look` on the conversation's state, inside its actor. Asked again where the actor ends meanwhile, so it may
    /// look more than once.
    ///
    /// # Errors
    /// [`NodeError::NotReady`] or [`NodeError::Gone`].
    pub async fn read<R: Send + 'static>(
        &self,
        conversation: &ConversationId,
        look: impl Fn(&State) -> R + Send + Sync + 'static,
    ) -> Result<R, NodeError> {
        /// An actor that leaves is back at once; one that crashes is back after its back-off.
        const TRIES: u32 = 5;
        const PAUSE: Duration = Duration::from_millis(20);
        let look = Arc::new(look);
        for _ in 0..TRIES {
            let addr = self.conversation(conversation).await?;
            let (reply, seen) = oneshot::channel();
            let of = look.clone();
            let look = Look(Box::new(move |state| {
                // Whoever asked may have gone away meanwhile.
                let _ = reply.send(of(state));
            }));
            if addr.send(look).await.is_ok()
                && let Ok(seen) = seen.await
            {
                return Ok(seen);
            }
            self.shared.ports.clock.sleep(PAUSE).await;
        }
        Err(NodeError::Gone("the conversation's actor ended several times".into()))
    }

    /// What the log knows of `command`. Loads the conversation when need be.
    ///
    /// # Errors
    /// As [`Self::read`], and [`NodeError::Blocked`].
    pub async fn ask(&self, conversation: &ConversationId, command: &CommandId) -> Result<Asked, NodeError> {
        let command = command.clone();
        let look = move |state: &State| {
            if let Some(blocked) = &state.blocked {
                let (offset, kind, version) = (blocked.offset, blocked.kind.to_string(), blocked.version);
                return Err(NodeError::Blocked { offset, kind, version });
            }
            if let Some(known) = state.known(command.as_str()) {
                let turn = view::turn(state, command.as_str());
                return Ok(Asked::Known { body_hash: known.body_hash, turn });
            }
            Ok(if state.open.len() > MAX_QUEUED_TURNS { Asked::QueueFull } else { Asked::New })
        };
        self.read(conversation, look).await?
    }

    /// The turn of `command`, as soon as it has ended; waits across restarts of the conversation's actor. The caller
    /// bounds the wait: for a command that never arrives it waits for ever.
    ///
    /// # Errors
    /// [`NodeError::Busy`] when as many wait for this conversation as may, [`NodeError::Gone`] when the node stops.
    pub async fn ended(
        &self,
        conversation: &ConversationId,
        command: &CommandId,
    ) -> Result<TurnView, NodeError> {
        /// Between two tries while the actor is being restarted.
        const PAUSE: Duration = Duration::from_millis(25);
        while !*self.stop.borrow() {
            if let Ok(addr) = self.conversation(conversation).await {
                let (reply, ended) = oneshot::channel();
                match addr.send(AwaitEnd { command: command.clone(), reply }).await {
                    Ok(Ok(())) => {
                        if let Ok(view) = ended.await {
                            return Ok(view);
                        }
                    }
                    Ok(Err(_)) => {
                        let words = format!(
                            "{} wait for this conversation",
                            self.shared.limits.waiters_per_conversation
                        );
                        return Err(NodeError::Busy(words));
                    }
                    Err(_) => {}
                }
            }
            self.shared.ports.clock.sleep(PAUSE).await;
        }
        Err(NodeError::Gone("the node is stopping".into()))
    }

    /// Conversation ids in order, after `after`, at most `limit`, of the partitions served here.
    ///
    /// # Errors
    /// [`NodeError::Gone`] when a host ends meanwhile.
    pub async fn conversations(
        &self,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Vec<ConversationId>, NodeError> {
        let hosts = self.shared.directory.hosts();
        let ask = |host: Addr<crate::host::Host>| {
            let after = after.clone();
            async move { host.send(List { after, limit }).await }
        };
        let mut all = Vec::new();
        for answer in futures_util::future::join_all(hosts.into_iter().map(ask)).await {
            let gone = |_| NodeError::Gone("a partition host has just ended".into());
            all.extend(answer.map_err(gone)?.map_err(|error| NodeError::Gone(error.to_string()))?);
        }
        all.sort();
        all.dedup();
        all.truncate(limit);
        Ok(all)
    }

    fn guardian(&self) -> Option<Addr<Guardian>> {
        self.shared.guardian.lock().expect("no holder of this lock panics").clone()
    }

    /// The whole actor tree.
    pub async fn actors(&self) -> ActorView {
        match self.guardian() {
            Some(guardian) => guardian.send(Show).await.unwrap_or_else(|_| ActorView::silent("/")),
            None => ActorView::silent("/"),
        }
    }

    /// Kills the actor at `path` (`/bridge-0/host-3/ID`).
    ///
    /// # Errors
    /// [`NodeError::NoSuchActor`].
    pub async fn kill(&self, path: &str, how: KillHow) -> Result<(), NodeError> {
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let guardian =
            self.guardian().ok_or_else(|| NodeError::Gone("the guardian is being started".into()))?;
        // Whoever panics as told answers with a closed mailbox.
        let found = guardian.send(Kill { path: parts, how }).await.unwrap_or(true);
        if found { Ok(()) } else { Err(NodeError::NoSuchActor(path.to_owned())) }
    }

    /// Whether every partition of this node is caught up.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if let Some(fatal) = &*self.shared.fatal.borrow() {
            return Readiness { ready: false, waiting_for: vec![fatal.to_string()] };
        }
        if *self.stop.borrow() {
            return Readiness { ready: false, waiting_for: vec!["the node is stopping".into()] };
        }
        if !self.roles.host {
            return Readiness { ready: true, waiting_for: Vec::new() };
        }
        let states = self.shared.directory.host_states();
        if states.is_empty() {
            return Readiness { ready: false, waiting_for: vec!["no partition is assigned yet".into()] };
        }
        /// A node that is alone gets every partition within this; one of several never gets them all.
        const ALONE_MS: u64 = 10_000;
        let (assigned, all) = (states.len(), self.shared.ports.log.partitions() as usize);
        let up_ms = self.shared.ports.clock.monotonic_ms().saturating_sub(self.started_ms);
        if assigned < all && up_ms < ALONE_MS {
            let words = format!("{assigned} of {all} partitions are assigned yet");
            return Readiness { ready: false, waiting_for: vec![words] };
        }
        let waiting_for: Vec<String> = states
            .iter()
            .filter(|(_, state)| **state != "running")
            .map(|(partition, state)| format!("partition {partition} is {state}"))
            .collect();
        Readiness { ready: waiting_for.is_empty(), waiting_for }
    }

    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.shared.metrics.clone()
    }

    /// Resolves when the node cannot go on.
    pub async fn failed(&self) -> Fatal {
        let mut fatal = self.shared.fatal.subscribe();
        loop {
            if let Some(fatal) = &*fatal.borrow_and_update() {
                return fatal.clone();
            }
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops taking, hands over, writes down; everything durable when it returns, or `deadline` has passed.
    pub async fn stop(&self, deadline: Duration) {
        let drained = async {
            if let Some(guardian) = self.guardian() {
                let _ = guardian.send(Drain).await;
            }
        };
        tokio::select! {
            biased;
            () = drained => {}
            () = self.shared.ports.clock.sleep(deadline) => {
                tracing::warn!("the node did not stop in time; what is unfinished goes on from the log");
            }
        }
        self.stop.send_replace(true);
        *self.shared.guardian.lock().expect("no holder of this lock panics") = None;
    }
}
