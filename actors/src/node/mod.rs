//! The running node as the outside sees it: ask, wait, read, follow, show, kill, stop. Every call may come
//! from any thread; nothing here holds state of its own.

mod answers;
mod commands;
mod follow;
mod near;
mod open_turns;
mod root;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::Addr;
use callboard_domain::State;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::limits::MAX_QUEUED_TURNS;
use callboard_domain::view::{self, TurnView};
use callboard_ports::log::LogError;
use callboard_ports::partition::partition_of;
use tokio::sync::{oneshot, watch};

use crate::breaker::Breakers;
use crate::conversation::{AwaitEnd, Look};
use crate::directory::{Directory, RUNNING};
use crate::guardian::Guardian;
use crate::host::List;
use crate::limits::Limits;
use crate::observe::{ActorView, KillHow, Metrics, Show};
use crate::shared::{Ports, Roles, Shared};
use crate::supervise::{Drain, Kill};

pub use commands::Commanded;
pub use follow::Follow;
pub use open_turns::{NoCursor, OpenCursor, OpenFilter, OpenPage};
pub use root::{Lost, Root};

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
    #[error("there is no actor {path:?}; near it are {}", near.join(", "))]
    NoSuchActor { path: String, near: Vec<String> },
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
    /// What does not work as it should, though it serves.
    pub notes: Vec<String>,
}

impl Readiness {
    fn not_yet(why: String) -> Self {
        Self { ready: false, waiting_for: vec![why], notes: Vec::new() }
    }
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
    let metrics = Arc::new(Metrics::default());
    let specs = ports.tools.specs().into_iter();
    let run_here =
        specs.filter(|spec| roles.pools.iter().any(|pool| **pool == *spec.pool)).map(|spec| spec.name);
    let breakers = Breakers::new(ports.clock.clone(), metrics.clone(), &limits, run_here);
    let shared = Arc::new(Shared {
        ports,
        limits,
        metrics,
        breakers: Arc::new(breakers),
        gauges: Arc::default(),
        streams: Arc::default(),
        reader: Arc::default(),
        directory: Arc::new(Directory::default()),
        worker_name: Arc::from(worker_name),
        root: Arc::default(),
        fatal: watch::channel(None).0,
        tenure: None,
    });
    let stop = Arc::new(watch::channel(false).0);
    let started_ms = shared.ports.clock.monotonic_ms();
    root::watch_arbiters(&shared, &roles, stop.subscribe());
    if !root::begin(&shared, &roles, stop.subscribe()) {
        shared.fail(Fatal::Wedged("the first arbiter takes no work".into()));
    }
    if roles.host {
        root::measure_start(&shared, started_ms);
    }
    Node { shared, roles, stop, started_ms }
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
            let sent = async { addr.send(look).await.ok().map(|()| seen) };
            if let Some(Some(seen)) = self.of_conversation((conversation, &addr), sent).await
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
        let asked = self.read(conversation, look).await?;
        if asked == Ok(Asked::QueueFull) {
            self.shared.metrics.refused("queued_turns");
        }
        asked
    }

    /// Whether a new question is taken: memory must not grow with what is asked faster than it is answered.
    ///
    /// # Errors
    /// [`NodeError::Busy`].
    pub fn admit(&self) -> Result<(), NodeError> {
        let (metrics, most) = (&self.shared.metrics, self.shared.limits.open_turns);
        let live = metrics.turns_live.load(Ordering::Relaxed);
        if usize::try_from(live).unwrap_or(0) < most {
            return Ok(());
        }
        metrics.refused("open_turns");
        Err(NodeError::Busy(format!("{live} turns are open on this node; at most {most} may be")))
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
                let ask = AwaitEnd { command: command.clone(), reply };
                let answer = async {
                    match addr.send(ask).await {
                        Ok(Ok(())) => ended.await.ok().map(Ok),
                        Ok(Err(busy)) => Some(Err(busy)),
                        Err(_) => None,
                    }
                };
                match self.of_conversation((conversation, &addr), answer).await.flatten() {
                    Some(Ok(view)) => return Ok(view),
                    Some(Err(_)) => {
                        self.shared.metrics.refused("waiters_per_conversation");
                        let most = self.shared.limits.waiters_per_conversation;
                        return Err(NodeError::Busy(format!("{most} wait for this conversation")));
                    }
                    None => {}
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
        let hosts = self.shared.directory.host_states().into_keys();
        let ask = |partition| self.of_host(partition, List { after: after.clone(), limit });
        let mut all = Vec::new();
        for answer in futures_util::future::join_all(hosts.map(ask)).await {
            let gone = |_| NodeError::Gone("a partition host has just ended".into());
            all.extend(answer.map_err(gone)?.map_err(|error| NodeError::Gone(error.to_string()))?);
        }
        all.sort();
        all.dedup();
        all.truncate(limit);
        Ok(all)
    }

    fn guardian(&self) -> Option<Addr<Guardian>> {
        self.shared.root().guardian.clone()
    }

    /// The whole actor tree.
    pub async fn actors(&self) -> ActorView {
        self.of_guardian(Show).await.unwrap_or_else(|| ActorView::restarting("/"))
    }

    /// Kills the actor at `path` (`/bridge-0/host-3/ID`).
    ///
    /// # Errors
    /// [`NodeError::NoSuchActor`].
    pub async fn kill(&self, path: &str, how: KillHow) -> Result<(), NodeError> {
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if self.guardian().is_none() {
            return Err(NodeError::Gone("the guardian is being started".into()));
        }
        // Whoever panics as told answers with a closed mailbox.
        let found = self.of_guardian(Kill { path: parts, how }).await.unwrap_or(true);
        if found {
            return Ok(());
        }
        Err(NodeError::NoSuchActor { path: path.to_owned(), near: self.paths_near(path).await })
    }

    /// Whether every partition of this node is caught up.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if let Some(fatal) = &*self.shared.fatal.borrow() {
            return Readiness::not_yet(fatal.to_string());
        }
        if *self.stop.borrow() {
            return Readiness::not_yet("the node is stopping".into());
        }
        if !self.roles.host {
            return Readiness { ready: true, waiting_for: Vec::new(), notes: Vec::new() };
        }
        let states = self.shared.directory.host_states();
        if states.is_empty() {
            return Readiness::not_yet("no partition is assigned yet".into());
        }
        let (assigned, all) = (states.len(), self.shared.ports.log.partitions() as usize);
        let up_ms = self.shared.ports.clock.monotonic_ms().saturating_sub(self.started_ms);
        if assigned < all && Duration::from_millis(up_ms) < root::ALONE {
            let words = format!("{assigned} of {all} partitions are assigned yet");
            return Readiness::not_yet(words);
        }
        let waiting_for: Vec<String> = states
            .iter()
            .filter(|(_, state)| **state != RUNNING)
            .map(|(partition, state)| format!("partition {partition} is {state}"))
            .collect();
        let without = self.shared.metrics.partitions_without_snapshots.load(Ordering::Relaxed);
        let note = format!(
            "{without} partitions run without snapshots: the next start reads their log from its beginning"
        );
        let notes = if without > 0 { vec![note] } else { Vec::new() };
        Readiness { ready: waiting_for.is_empty(), waiting_for, notes }
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
        self.shared.root().guardian = None;
    }
}
