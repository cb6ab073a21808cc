//! The only place that names adapters and actors together: from a configuration to a running node.
//!
//! `storage` opens what is durable, `Models` and tools are built beside it, `node` starts the actors on all of
//! them; `toolbox` puts the tools together, `mcp` starts servers that bring tools of their own. Used by `serve` (a node),
//! `offline` (storage alone) and `doctor` (the parts one by one).

pub mod mcp;

mod chosen;
mod knowledge;
mod toolbox;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{Arbiters, BlockingThreads, Limits, Node, Ports, Roles};
use callboard_domain::event::TurnLimits;
use callboard_models::{Built, Connected, ModelsConfig};
use callboard_ports::clock::{Clock, Entropy};
use callboard_ports::inbox::Inbox;
use callboard_ports::log::Log;
use callboard_ports::snapshot::SnapshotStore;
use callboard_ports::tool::ToolRegistry;
use callboard_stores::{DataDir, EmbeddedLog, EmbeddedOptions, Engine as SnapshotsOf, Fsync, InHandJournal};
use callboard_tools::Registry;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cli::Failure;
use crate::config::{AgentSettings, Config, EmbeddingSettings, FsyncMode, SnapshotEngine};
use crate::system::{SystemClock, UuidEntropy};

pub use chosen::chosen;
pub use toolbox::{Beside, Written, tools};

/// Layout of the data folder that this build writes.
const DATA_FORMAT: u32 = 1;
/// Files are small and rare (`history.json`): two threads never wait for each other.
const BLOCKING_THREADS: usize = 2;

/// Claims the data folder.
///
/// # Errors
/// When it is held by another process, cannot be written or is of a newer format.
pub fn data_dir(config: &Config) -> Result<DataDir, Failure> {
    DataDir::acquire(&config.data_dir, DATA_FORMAT).map_err(Failure::usage)
}

/// Where the server that holds a data folder listens.
#[must_use]
pub fn holder_address(folder: &Path) -> Option<String> {
    DataDir::address_of_holder(folder)
}

/// What carries the topics.
#[derive(Clone)]
pub enum Engine {
    Embedded(Arc<EmbeddedLog>),
    #[cfg(feature = "kafka")]
    Kafka(Arc<callboard_kafka::KafkaLog>),
}

impl Engine {
    #[must_use]
    pub fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log) => log.clone(),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.clone(),
        }
    }

    fn inbox(&self) -> Arc<dyn Inbox> {
        match self {
            Self::Embedded(log) => log.clone(),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.clone(),
        }
    }

    /// Why the log takes nothing any more, for good: the process should end, so that the next one reads it back.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Embedded(log) => log.failure().map(str::to_owned),
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
        }
    }

    /// Writes what is under way, and frees what is held.
    pub async fn close(&self, within: Duration) {
        if let Err(error) = self.log().flush(within).await {
            tracing::warn!(%error, "the log could not be flushed in time");
        }
        match self {
            Self::Embedded(log) => drop(tokio::time::timeout(within, log.close()).await),
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => {}
        }
    }

    /// Why nothing can be reached now; always reachable without brokers.
    #[must_use]
    pub fn unreachable(&self) -> Option<String> {
        match self {
            Self::Embedded(_) => None,
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => {
                let status = log.status();
                let why = status.problem.map(|problem| format!(": {problem}")).unwrap_or_default();
                (!status.reachable)
                    .then(|| format!("no Kafka broker of {} is reachable{why}", status.brokers))
            }
        }
    }
}

/// Opens the log that the configuration names; on Kafka as `role` (`serve`, `worker-default`, …).
///
/// # Errors
/// When the folder's log is damaged, of another format or partition count, or the settings cannot work. That
/// brokers are away is no error.
pub fn engine(config: &Config, data: &DataDir, role: &str) -> Result<Engine, Failure> {
    match &config.kafka.brokers {
        Some(brokers) => kafka(config, brokers, data.node_id(), role),
        None => {
            let options = EmbeddedOptions {
                partitions: config.kafka.partitions,
                fsync: match config.log.fsync {
                    FsyncMode::Always => Fsync::Always,
                    FsyncMode::Group => Fsync::Group,
                    FsyncMode::Never => Fsync::Never,
                },
                ..EmbeddedOptions::default()
            };
            let log = EmbeddedLog::open(&log_folder(config), options).map_err(Failure::usage)?;
            Ok(Engine::Embedded(log))
        }
    }
}

/// Where the embedded log lies.
#[must_use]
pub fn log_folder(config: &Config) -> PathBuf {
    config.data_dir.join("log")
}

#[cfg(feature = "kafka")]
fn kafka(
    config: &Config,
    brokers: &crate::config::Brokers,
    node_id: &str,
    role: &str,
) -> Result<Engine, Failure> {
    Ok(Engine::Kafka(kafka_log(config, brokers, node_id, role)?))
}

/// Connects to Kafka; brokers that are away are waited for.
///
/// # Errors
/// When the settings cannot work whatever the brokers do.
#[cfg(feature = "kafka")]
pub fn kafka_log(
    config: &Config,
    brokers: &crate::config::Brokers,
    node_id: &str,
    role: &str,
) -> Result<Arc<callboard_kafka::KafkaLog>, Failure> {
    use crate::config::GroupProtocol;
    let mut kafka = callboard_kafka::KafkaConfig::new(brokers.0.as_str(), node_id);
    kafka.topic_prefix.clone_from(&config.kafka.topic_prefix);
    role.clone_into(&mut kafka.client_role);
    kafka.static_membership = config.kafka.static_membership;
    kafka.group_protocol = match config.kafka.group_protocol {
        GroupProtocol::Classic => callboard_kafka::GroupProtocol::Classic,
        GroupProtocol::Consumer => callboard_kafka::GroupProtocol::Consumer,
    };
    kafka.partitions = config.kafka.partitions;
    kafka.properties.clone_from(&config.kafka.properties);
    kafka.create_topics = config.kafka.create_topics;
    callboard_kafka::KafkaLog::connect(kafka).map_err(Failure::usage)
}

#[cfg(not(feature = "kafka"))]
fn kafka(_: &Config, brokers: &crate::config::Brokers, _: &str, _: &str) -> Result<Engine, Failure> {
    Err(Failure::usage(format!("this build has no Kafka; it cannot use the brokers {}", brokers.0)))
}

/// Opens the snapshot store. What does not verify is moved aside and rebuilt from the log.
///
/// # Errors
/// When the folder cannot be used at all.
pub fn snapshots(config: &Config, data: &DataDir) -> Result<Arc<dyn SnapshotStore>, Failure> {
    let engine = match config.snapshots.engine {
        SnapshotEngine::Sled => SnapshotsOf::Sled,
        SnapshotEngine::Fjall => SnapshotsOf::Fjall,
    };
    callboard_stores::open_snapshots(engine, data.path()).map_err(Failure::usage)
}

/// Opens the notes of what this process has in hand, which say at the next start what it died with.
#[must_use]
pub fn in_hand(data: &DataDir) -> Arc<InHandJournal> {
    Arc::new(InHandJournal::open(data.path()))
}

/// The limits that every new turn gets.
#[must_use]
pub fn turn_limits(config: &Config) -> TurnLimits {
    TurnLimits {
        planning_timeout_ms: config.turns.planning_timeout_ms,
        synthesis_timeout_ms: config.turns.synthesis_timeout_ms,
        turn_timeout_ms: config.turns.turn_timeout_ms,
        max_rounds: config.planner.max_rounds,
    }
}

/// The models as configured; looks whether a model server answers. Tools that ask models are built on it, planner
/// and synthesizer are built from it and the tools.
///
/// # Errors
/// A setting of `models.*` that is wrong.
pub async fn models(config: &Config, http: Handle) -> Result<Connected, Failure> {
    let agent = |(name, agent): (&String, &AgentSettings)| {
        let set = json!({ "instructions": agent.instructions, "tools": agent.tools, "model": agent.model });
        (name.clone(), set)
    };
    let mut written = json!({
        "planner": { "order": config.planner.order, "history_tokens": config.planner.history_tokens },
        "models": config.models,
        "agents": config.agents.iter().map(agent).collect::<serde_json::Map<_, _>>(),
    });
    if config.models.embeddings == EmbeddingSettings::default() {
        written["models"]["embeddings"] = Value::Null;
    }
    let settings: ModelsConfig =
        serde_json::from_value(without_nulls(written)).map_err(|e| Failure::usage(format!("models: {e}")))?;
    callboard_models::connect(&settings, http).await.map_err(Failure::usage)
}

/// What is not set is left out, so that the adapter's own defaults stand.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let set = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        other => other,
    }
}

/// The bounds of the actors, with what the configuration changes.
#[must_use]
pub fn limits(config: &Config) -> Limits {
    let (usual, set) = (Limits::default(), &config.limits);
    let number = |set: Option<NonZero<usize>>, usual: usize| set.map_or(usual, NonZero::get);
    let count = |set: Option<NonZero<u32>>, usual: u32| set.map_or(usual, NonZero::get);
    let time =
        |set: Option<NonZero<u64>>, usual: Duration| set.map_or(usual, |ms| Duration::from_millis(ms.get()));
    Limits {
        commands_in_flight: number(set.commands_in_flight, usual.commands_in_flight),
        requests_in_flight: number(set.requests_in_flight, usual.requests_in_flight),
        crashes_per_invocation: count(set.crashes_per_invocation, usual.crashes_per_invocation),
        claim: time(set.claim_ms, usual.claim),
        breaker_failures: count(set.breaker_failures, usual.breaker_failures),
        breaker_pause: time(set.breaker_pause_ms, usual.breaker_pause),
        workers_per_pool: number(set.workers_per_pool, usual.workers_per_pool),
        synthesis_workers: number(set.synthesis_workers, usual.synthesis_workers),
        planner_calls: number(set.planner_calls, usual.planner_calls),
        live_conversations: number(set.live_conversations, usual.live_conversations),
        open_turns: number(set.open_turns, usual.open_turns),
        waiters_per_conversation: number(set.waiters_per_conversation, usual.waiters_per_conversation),
        passivate_after: time(set.passivate_after_ms, usual.passivate_after),
        flush_every: time(set.flush_every_ms, usual.flush_every),
        history_conversations: number(set.history_conversations, usual.history_conversations),
        history_turns: number(set.history_turns, usual.history_turns),
        ..usual
    }
}

/// Everything a node is started on.
pub struct Parts {
    pub limits: Limits,
    pub engine: Engine,
    pub snapshots: Arc<dyn SnapshotStore>,
    pub tools: Arc<Registry>,
    pub models: Built,
    pub arbiters: Arc<Arbiters>,
    pub in_hand: Arc<InHandJournal>,
    pub mcp: Arc<mcp::Mcp>,
}

/// A started node and the clocks that HTTP shares with it.
pub struct Started {
    pub node: Node,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

/// Starts the actors.
#[must_use]
pub fn node(parts: Parts, roles: Roles, worker_name: &str) -> Started {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(UuidEntropy::new());
    for spec in parts.tools.specs().iter().filter(|spec| roles.pools.iter().any(|pool| **pool == *spec.pool))
    {
        if let Some(tool) = parts.tools.tool(&spec.name) {
            tool.prepare();
        }
    }
    let ports = Ports {
        log: parts.engine.log(),
        inbox: parts.engine.inbox(),
        snapshots: parts.snapshots,
        planner: parts.models.planner,
        synthesizer: parts.models.synthesizer,
        tools: parts.tools,
        clock: clock.clone(),
        entropy: entropy.clone(),
        placement: parts.arbiters,
        blocking: BlockingThreads::start(BLOCKING_THREADS),
        in_hand: parts.in_hand,
    };
    let node = callboard_actors::start(ports, roles, parts.limits, worker_name);
    Started { node, clock, entropy }
}

/// Saves what a damaged embedded log still holds, and says what was cut.
///
/// # Errors
/// When nothing can be saved.
pub fn repair_log(config: &Config) -> Result<String, Failure> {
    let report = callboard_stores::repair_log(&log_folder(config)).map_err(Failure::job)?;
    Ok(report.lines.join("; "))
}
