//! What every handler shares: the running node, once there is one, and the rules of the house.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use callboard_actors::Node;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_ports::clock::{Clock, Entropy};
use callboard_ports::log::Log;
use callboard_ports::tool::ToolRegistry;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::openai::Joins;
use super::problem::Problem;
use crate::config::{Config, DemoSettings};
use crate::dead_letters::DeadLetters;
use crate::wiring::mcp::Mcp;

/// The node and what HTTP needs beside it.
pub struct Running {
    pub node: Node,
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub tools: Arc<dyn ToolRegistry>,
    pub dead_letters: DeadLetters,
    /// Why the log cannot be reached now, if so.
    pub unreachable: Box<dyn Fn() -> Option<String> + Send + Sync>,
    pub mcp: Arc<Mcp>,
    /// What the calls to models came to.
    pub models: callboard_models::Meters,
}

/// Rules that come from the configuration.
pub struct Rules {
    /// How long a chat waits unless it prefers otherwise.
    pub wait: Duration,
    pub allowed_hosts: Vec<String>,
    /// SHA-256 of each key, with its owner: comparing digests takes the same time whatever was sent.
    keys: Vec<(String, [u8; 32])>,
    pub allow_chaos: bool,
    /// The demo that the page shows.
    pub demo: DemoSettings,
    /// Whether conversations are served here; a worker shows only itself.
    pub conversations: bool,
    /// The agents that a message may be for, in order.
    pub agents: Vec<String>,
}

impl Rules {
    #[must_use]
    pub fn of(config: &Config, conversations: bool) -> Self {
        let digest = |key: &String| <[u8; 32]>::from(Sha256::digest(key.as_bytes()));
        Self {
            wait: Duration::from_millis(config.http.wait_ms),
            allowed_hosts: config.http.allowed_hosts.clone(),
            keys: config.http.api_keys.0.iter().map(|(name, key)| (name.clone(), digest(key))).collect(),
            allow_chaos: config.allow_chaos,
            demo: config.demo.clone(),
            conversations,
            agents: config.agent_names(),
        }
    }

    /// Whether callers need a key.
    #[must_use]
    pub fn keyed(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The owner of a key. Every known key is looked at, so that the time tells nothing.
    #[must_use]
    pub fn owner(&self, key: &str) -> Option<&str> {
        let sent = <[u8; 32]>::from(Sha256::digest(key.as_bytes()));
        let mut found = None;
        for (name, known) in &self.keys {
            let difference = known.iter().zip(&sent).fold(0_u8, |all, (a, b)| all | (a ^ b));
            if difference == 0 {
                found = Some(name.as_str());
            }
        }
        found
    }
}

/// Commands accepted and not yet read back that are remembered: seconds of a busy node, in about 200 kB.
const MAX_UNREAD: usize = 1_024;

/// Shared by all handlers.
pub struct Api {
    running: OnceLock<Running>,
    /// Why there is no node yet, for `/readyz`.
    starting: Mutex<String>,
    stopping: AtomicBool,
    /// Whether the node has ended, so that nobody need wait any longer.
    over: watch::Sender<bool>,
    /// Commands that a 202 was given for before their conversation had read them back.
    unread: Mutex<VecDeque<(ConversationId, CommandId)>>,
    pub rules: Rules,
    /// Requests that clients may repeat by themselves.
    pub joins: Joins,
    /// Answers by the first digit of their status.
    pub answers: [AtomicU64; 6],
    /// Problems by status and code.
    refusals: Mutex<BTreeMap<(u16, String), u64>>,
}

impl Api {
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            running: OnceLock::new(),
            starting: Mutex::new("the node is starting".to_owned()),
            stopping: AtomicBool::new(false),
            over: watch::channel(false).0,
            unread: Mutex::default(),
            rules,
            joins: Joins::default(),
            answers: Default::default(),
            refusals: Mutex::default(),
        }
    }

    /// A request was refused.
    pub fn refused(&self, status: u16, code: &str) {
        let mut refusals = self.refusals.lock().expect("no holder of this lock panics");
        *refusals.entry((status, code.to_owned())).or_default() += 1;
    }

    /// Refused requests by status and code.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<(u16, String), u64> {
        self.refusals.lock().expect("no holder of this lock panics").clone()
    }

    /// Says why there is no node yet.
    pub fn starting(&self, why: &str) {
        why.clone_into(&mut self.starting.lock().expect("no holder of this lock panics"));
    }

    /// The node runs. Only the first call counts.
    pub fn run(&self, running: Running) {
        let _ = self.running.set(running);
    }

    /// From now on nothing new is taken.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The node has ended: whoever waits is answered with what is known.
    pub fn release(&self) {
        self.over.send_replace(true);
    }

    /// Resolves when the node has ended.
    pub async fn released(&self) {
        // The sender lives as long as `self`.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// The outcome of `ended`, unless the wait or the node is over before.
    pub async fn wait_for<T>(&self, wait: Duration, ended: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            ended = ended => Some(ended),
            () = tokio::time::sleep(wait) => None,
            () = self.released() => None,
        }
    }

    /// Remembers that a command is in the log although its conversation has not read it back yet.
    pub fn accepted(&self, conversation: &ConversationId, command: &CommandId) {
        let mut unread = self.unread.lock().expect("no holder of this lock panics");
        if unread.len() >= MAX_UNREAD {
            unread.pop_front();
        }
        unread.push_back((conversation.clone(), command.clone()));
    }

    /// Whether a 202 was given for this command before it was read back.
    #[must_use]
    pub fn is_accepted(&self, conversation: &ConversationId, command: &CommandId) -> bool {
        let unread = self.unread.lock().expect("no holder of this lock panics");
        unread.iter().any(|(of, known)| of == conversation && known == command)
    }

    /// # Errors
    /// 503 while there is no node.
    pub fn running(&self) -> Result<&Running, Problem> {
        self.running.get().ok_or_else(|| {
            let why = self.starting.lock().expect("no holder of this lock panics").clone();
            Problem::unavailable("starting", why)
        })
    }

    /// The node, for something new.
    ///
    /// # Errors
    /// 503 while there is no node, and once it stops.
    pub fn taking(&self) -> Result<&Running, Problem> {
        if self.is_stopping() {
            return Err(Problem::unavailable(
                "stopping",
                "this server is stopping; another will answer soon",
            ));
        }
        self.running()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use callboard_domain::id::{CommandId, ConversationId};

    use super::{Api, MAX_UNREAD, Rules};
    use crate::config::Config;

    #[actix_web::test]
    async fn nobody_waits_for_a_node_that_has_ended() {
        let api = Api::new(Rules::of(&Config::default(), true));
        api.release();
        assert_eq!(api.wait_for(Duration::MAX, std::future::pending::<()>()).await, None);
    }

    #[test]
    fn accepted_commands_are_remembered_within_their_bound() {
        let api = Api::new(Rules::of(&Config::default(), true));
        let conversation = ConversationId::new("c").unwrap();
        let command = |i: usize| CommandId::new(&format!("k{i}")).unwrap();
        for i in 0..=MAX_UNREAD {
            api.accepted(&conversation, &command(i));
        }
        assert!(!api.is_accepted(&conversation, &command(0)));
        assert!(api.is_accepted(&conversation, &command(MAX_UNREAD)));
    }
}
