//! The running node as the outside sees it: ask, wait, read, follow, show, kill, stop. Every call may come
//! from any thread; nothing here holds state of its own.

use std::sync::Arc;
use std::time::Duration;

use callboard_domain::State;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::view::TurnView;
use callboard_ports::log::{LogError, Batch};
use tokio::sync::mpsc;

use crate::limits::Limits;
use crate::observe::{ActorView, KillHow, Metrics};

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
    #[error("the conversation is held at offset {offset} by a {kind} of version {version}, which this build does not know")]
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

/// Records of one conversation, live: everything after the asked offset, in order, first from the log, then
/// as it happens. Ends when the node stops or the reader is too slow twice; ask again from the last offset seen.
pub type Follow = mpsc::Receiver<Result<(Batch, usize), LogError>>;

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub ready: bool,
    /// One line a partition that is not ready, or why nothing is.
    pub waiting_for: Vec<String>,
}

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Node { inner: Arc<()> }

impl Node {
    /// Which partition a conversation belongs to.
    pub fn partition_of(&self, conversation: &ConversationId) -> u32 { todo!() }
    /// What the log knows of `command`. Loads the conversation when need be.
    pub async fn ask(&self, conversation: &ConversationId, command: &CommandId) -> Result<Asked, NodeError> { todo!() }
    /// The turn of `command`, as soon as it has ended; waits across restarts of the conversation's actor. The
    /// caller bounds the wait. Register (poll once) before appending to miss nothing; a command that never arrives waits for ever.
    pub async fn ended(&self, conversation: &ConversationId, command: &CommandId) -> Result<TurnView, NodeError> { todo!() }
    /// Runs `look` on the conversation's state, inside its actor.
    pub async fn read<R: Send + 'static>(&self, conversation: &ConversationId, look: impl FnOnce(&State) -> R + Send + 'static) -> Result<R, NodeError> { todo!() }
    /// All records of a conversation from the log, oldest first (for replay, verify, history of old turns).
    pub async fn records(&self, conversation: &ConversationId) -> Result<mpsc::Receiver<Result<Batch, LogError>>, NodeError> { todo!() }
    pub async fn follow(&self, conversation: &ConversationId, after: Option<u64>) -> Result<Follow, NodeError> { todo!() }
    /// Conversation ids in order, after `after`, at most `limit`, of the partitions served here.
    pub async fn conversations(&self, after: Option<ConversationId>, limit: usize) -> Result<Vec<ConversationId>, NodeError> { todo!() }
    /// The whole actor tree.
    pub async fn actors(&self) -> ActorView { todo!() }
    pub async fn kill(&self, path: &str, how: KillHow) -> Result<(), NodeError> { todo!() }
    pub fn readiness(&self) -> Readiness { todo!() }
    pub fn metrics(&self) -> Arc<Metrics> { todo!() }
    /// Resolves when the node cannot go on: fenced, wedged, restart budget exhausted.
    pub async fn failed(&self) -> Fatal { todo!() }
    /// Stops taking, hands over, flushes; everything durable when it returns, or `deadline` passed.
    pub async fn stop(&self, deadline: Duration) { todo!() }
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
