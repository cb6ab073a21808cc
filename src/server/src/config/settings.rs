//! The settings by subject, each with its default and, where it is a bound, the reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;

use serde::{Deserialize, Deserializer, Serialize};

use callboard_domain::event::TurnLimits;

/// A role that `serve` can leave to worker processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Tools,
    Synthesis,
    History,
}

/// `HOST:PORT`, the host being an address or `localhost`: names in general would have to be looked up.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.clone(),
    };
    numeric.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is no address to listen on; write 127.0.0.1:8080, for example"
        ))
    })
}

/// HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// How long a chat waits for its answer before it says 202: below the usual proxy's 30 s.
    pub wait_ms: u64,
    /// Host and Origin names besides loopback.
    pub allowed_hosts: Vec<String>,
    /// Keys by the name of their owner; empty: nobody is asked for one.
    pub api_keys: ApiKeys,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { wait_ms: 15_000, allowed_hosts: Vec::new(), api_keys: ApiKeys::default() }
    }
}

/// Keys by owner. A plain list is taken too; its owners are `key-1`, `key-2`, …
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct ApiKeys(pub BTreeMap<String, String>);

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for ApiKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Named(BTreeMap<String, String>),
            Listed(Vec<String>),
        }
        let keys = match Written::deserialize(deserializer) {
            Ok(Written::Named(keys)) => keys,
            Ok(Written::Listed(keys)) => {
                keys.into_iter().enumerate().map(|(i, key)| (format!("key-{}", i + 1), key)).collect()
            }
            Err(_) => {
                let words = "expected a list of keys, or a table NAME = \"key\"";
                return Err(serde::de::Error::custom(words));
            }
        };
        match keys.iter().find(|(_, key)| key.len() < 16) {
            // Shorter ones can be guessed over the network in days.
            Some((name, _)) => {
                Err(serde::de::Error::custom(format!("the key of {name:?} is shorter than 16 characters")))
            }
            None => Ok(Self(keys)),
        }
    }
}

/// Kafka; without `brokers` the embedded log serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    pub brokers: Option<Brokers>,
    /// Before every topic, group and client id.
    pub topic_prefix: String,
    /// Of the conversation topics, for ever.
    pub partitions: u32,
    /// Create missing topics although not every broker is loopback.
    pub create_topics: bool,
    /// Keep the group membership over a restart (`group.instance.id`).
    pub static_membership: bool,
    pub group_protocol: GroupProtocol,
    /// Any librdkafka property.
    #[serde(deserialize_with = "properties")]
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: None,
            topic_prefix: String::new(),
            partitions: 8,
            create_topics: false,
            static_membership: true,
            group_protocol: GroupProtocol::default(),
            properties: BTreeMap::new(),
        }
    }
}

/// `host:port,host:port`, written so or as a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brokers(pub String);

impl<'de> Deserialize<'de> for Brokers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            List(Vec<String>),
        }
        let listed = match Written::deserialize(deserializer)? {
            Written::Text(text) => text.split(',').map(str::to_owned).collect(),
            Written::List(list) => list,
        };
        let brokers: Vec<&str> = listed.iter().map(|b| b.trim()).filter(|b| !b.is_empty()).collect();
        for broker in &brokers {
            let port = broker.rsplit_once(':').map(|(_, port)| port);
            if port.is_some_and(|port| port.parse::<u16>().is_err()) {
                let words = format!("{broker:?} is no broker address; write HOST:PORT,HOST:PORT");
                return Err(serde::de::Error::custom(words));
            }
        }
        if brokers.is_empty() {
            return Err(serde::de::Error::custom("no broker is named; write HOST:PORT,HOST:PORT"));
        }
        Ok(Self(brokers.join(",")))
    }
}

/// How members of a group agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    /// By the members: static ones come back at once.
    #[default]
    Classic,
    /// By the broker (KIP-848), with dynamic members only.
    Consumer,
}

/// librdkafka takes text; people write numbers and switches.
fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let written = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(written.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// The embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    pub fsync: FsyncMode,
}

/// When the embedded log says that a record is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FsyncMode {
    /// After an fsync of each append.
    Always,
    /// After one fsync of everything that waited.
    #[default]
    Group,
    /// After the write: survives a killed process, not a power cut.
    Never,
}

/// Snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotSettings {
    pub engine: SnapshotEngine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotEngine {
    Sled,
    #[default]
    Fjall,
}

/// Limits of a turn, written into its first event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnSettings {
    pub planning_timeout_ms: u64,
    pub synthesis_timeout_ms: u64,
    /// The waiting for approvals does not count.
    pub turn_timeout_ms: u64,
    /// Tokens that a conversation may use, all its turns together; as many as it takes without it.
    pub token_budget: Option<NonZero<u64>>,
}

impl Default for TurnSettings {
    fn default() -> Self {
        let limits = TurnLimits::default();
        Self {
            planning_timeout_ms: limits.planning_timeout_ms,
            synthesis_timeout_ms: limits.synthesis_timeout_ms,
            turn_timeout_ms: limits.turn_timeout_ms,
            token_budget: None,
        }
    }
}

/// Bounds that a deployment may change; what is not set is `actors::limits`'s to choose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Commands of one partition taken and not yet done.
    pub commands_in_flight: Option<NonZero<usize>>,
    /// Requests of one partition that a pool has taken and not yet answered.
    pub requests_in_flight: Option<NonZero<usize>>,
    /// Crashes with the same invocation in hand before it is poison.
    pub crashes_per_invocation: Option<NonZero<u32>>,
    /// An effect is started within this of its reservation, or not at all.
    pub claim_ms: Option<NonZero<u64>>,
    /// Failures in a row that open a tool's circuit breaker…
    pub breaker_failures: Option<NonZero<u32>>,
    /// …for this long at first.
    pub breaker_pause_ms: Option<NonZero<u64>>,
    /// Invocations at once in one pool on one arbiter.
    pub workers_per_pool: Option<NonZero<usize>>,
    /// Answers written at once.
    pub synthesis_workers: Option<NonZero<usize>>,
    /// Planner calls at once.
    pub planner_calls: Option<NonZero<usize>>,
    /// Live conversations of one partition.
    pub live_conversations: Option<NonZero<usize>>,
    /// Turns open in memory on this node; new questions beyond it are answered with 429, and at twice as many `user-commands`
    /// pause.
    pub open_turns: Option<NonZero<usize>>,
    /// HTTP requests that may wait for one conversation.
    pub waiters_per_conversation: Option<NonZero<usize>>,
    /// Idle time after which a conversation is passivated.
    pub passivate_after_ms: Option<NonZero<u64>>,
    /// Between snapshots.
    pub flush_every_ms: Option<NonZero<u64>>,
    /// Conversations in `history.json`.
    pub history_conversations: Option<NonZero<usize>>,
    /// Turns kept of each.
    pub history_turns: Option<NonZero<usize>>,
}

/// What is said to the operator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Log lines as JSON objects.
    pub json: bool,
    /// As `CALLBOARD_LOG`, which goes before.
    pub filter: Option<String>,
}
