//! The cluster that a test holds: start, kill, freeze and restart brokers; its end removes everything.
//!
//! [`super::broker`] is one of its brokers; [`super::tools`] adds Kafka's own command-line tools to it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::broker::{Broker, Installation, Node};
use super::jars::{self, JarsError, KAFKA_VERSION};
use crate::process::{FolderGuard, ProcessError};

/// A broker that leads partitions hands them over first; without a quorum it cannot, and gets this long to
/// find out.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// 1 or 3. Replication factors and in-sync minimums follow from it.
    pub brokers: usize,
    /// More lines for every broker's `server.properties`; they win over the testkit's.
    pub properties: Vec<(String, String)>,
    /// Each broker's Java heap.
    pub heap_mb: u32,
    /// How long the whole start may take, without fetching the jars.
    pub start_timeout: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            brokers: 1,
            properties: Vec::new(),
            heap_mb: 512,
            // Ten times what a busy two-core machine needs for three brokers.
            start_timeout: Duration::from_secs(180),
        }
    }
}

impl ClusterOptions {
    /// A cluster of three brokers, any one of which may be lost.
    pub fn three_brokers() -> Self {
        Self { brokers: 3, ..Self::default() }
    }

    /// One more line for `server.properties`.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Java or Maven is missing.
    #[error("Kafka cannot run here: {0}")]
    Unavailable(String),
    /// A controller quorum of two is lost with any one of them.
    #[error("a cluster has 1 or 3 brokers, not {0}")]
    BrokerCount(usize),
    /// The jars could not be fetched.
    #[error(transparent)]
    Jars(#[from] JarsError),
    /// The cluster's folder cannot be written.
    #[error("the cluster's folder: {0}")]
    Folder(#[from] io::Error),
    /// A broker's data folder could not be formatted.
    #[error("broker {broker} cannot be formatted:\n{said}")]
    Format {
        /// Which, from 0.
        broker: usize,
        /// What the tool said last.
        said: String,
    },
    /// A broker did not start, or not in time. It says which and what it logged last.
    #[error("broker {broker} does not start: {source}")]
    Broker {
        /// Which, from 0.
        broker: usize,
        /// What happened.
        source: ProcessError,
    },
}

/// A running Kafka. Dropping it kills every broker by its process id and removes the folder. Brokers count
/// from 0.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Mutex<Broker>>,
    bootstrap: String,
    pub(super) kafka: Installation,
    options: ClusterOptions,
    /// After the brokers: they write to it until they are gone.
    folder: tempfile::TempDir,
    _guard: FolderGuard,
}

impl Cluster {
    /// Starts a cluster and returns when every broker serves.
    pub fn start(options: ClusterOptions) -> Result<Self, StartError> {
        if !matches!(options.brokers, 1 | 3) {
            return Err(StartError::BrokerCount(options.brokers));
        }
        super::available().map_err(StartError::Unavailable)?;
        let jars = jars::ensure()?;
        let began = Instant::now();
        let deadline = began + options.start_timeout;
        let folder = tempfile::Builder::new().prefix("callboard-kafka-").tempdir()?;
        let guard = FolderGuard::over(folder.path())?;
        let kafka = Installation::new(jars, folder.path())?;
        let nodes = prepare(&kafka, &options, folder.path(), deadline)?;
        let bootstrap = join(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));

        let mut brokers = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let process = node.start(&kafka, options.heap_mb).map_err(broker_error(index))?;
            brokers.push(Broker { node, process, paused: false });
        }
        for (index, broker) in brokers.iter().enumerate() {
            broker.wait_ready(options.brokers, deadline).map_err(broker_error(index))?;
        }
        crate::announce(&format!(
            "testkit: real Kafka {KAFKA_VERSION} with {} broker(s) at {bootstrap}, started in {:.1} s",
            options.brokers,
            began.elapsed().as_secs_f64()
        ));
        let brokers = brokers.into_iter().map(Mutex::new).collect();
        Ok(Self { brokers, bootstrap, kafka, options, folder, _guard: guard })
    }

    /// What clients connect to: `host:port`, separated by commas.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// How many brokers it has, running or not.
    pub fn broker_count(&self) -> usize {
        self.brokers.len()
    }

    /// Kills a broker as a power cut would. Returns when it is gone.
    pub fn kill_broker(&self, broker: usize) -> Result<ExitStatus, ProcessError> {
        self.broker(broker).process.sigkill()
    }

    /// Stops a broker in order: it hands its partitions over and leaves. Returns when it is gone.
    pub fn stop_broker(&self, broker: usize) -> Result<ExitStatus, ProcessError> {
        let broker = self.broker(broker);
        broker.process.sigterm()?;
        broker.process.wait_exit(STOP_WAIT)
    }

    /// Starts a broker again, on the same ports with the same data, and returns when it serves. One that
    /// still runs is killed first.
    pub fn restart_broker(&self, broker: usize) -> Result<(), StartError> {
        let others = (0..self.brokers.len()).filter(|other| *other != broker);
        let live = 1 + others.filter(|other| self.broker(*other).serves()).count();
        let error = broker_error(broker);
        let mut held = self.broker(broker);
        if held.process.is_running() {
            held.process.sigkill().map_err(&error)?;
        }
        held.process = held.node.start(&self.kafka, self.options.heap_mb).map_err(&error)?;
        held.paused = false;
        held.wait_ready(live, Instant::now() + self.options.start_timeout).map_err(&error)
    }

    /// Freezes a broker: its connections stay open and nothing answers.
    pub fn pause_broker(&self, broker: usize) -> Result<(), ProcessError> {
        let mut broker = self.broker(broker);
        broker.process.sigstop()?;
        broker.paused = true;
        Ok(())
    }

    /// Thaws a frozen broker.
    pub fn resume_broker(&self, broker: usize) -> Result<(), ProcessError> {
        let mut broker = self.broker(broker);
        broker.process.sigcont()?;
        broker.paused = false;
        Ok(())
    }

    /// A broker's process id; another after a restart.
    pub fn broker_pid(&self, broker: usize) -> u32 {
        self.broker(broker).process.pid()
    }

    /// The file with everything that a broker logged, over all its starts. Gone with the cluster.
    pub fn broker_log(&self, broker: usize) -> PathBuf {
        self.broker(broker).node.log()
    }

    /// The cluster's folder. Gone with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// # Panics
    /// When there is no such broker: the test's own mistake.
    fn broker(&self, index: usize) -> MutexGuard<'_, Broker> {
        self.brokers[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ports, settings and formatted data folders for every broker. The formatting tools run side by side.
fn prepare(
    kafka: &Installation,
    options: &ClusterOptions,
    folder: &Path,
    deadline: Instant,
) -> Result<Vec<Node>, StartError> {
    let nodes = (1..=options.brokers).map(|id| Node::new(id, folder)).collect::<io::Result<Vec<_>>>()?;
    let voters = join(nodes.iter().map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller_port)));
    // 22 characters as Kafka's own ids have, and never a leading '-', which its tool takes for an option.
    let cluster_id = format!("cbtest{:016x}", crate::random_bits());
    let mut formatting = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        node.configure(&voters, options.brokers, &options.properties)?;
        formatting.push(node.format(kafka, &cluster_id).map_err(broker_error(index))?);
    }
    for (broker, tool) in formatting.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        if !tool.wait_exit(left).map_err(broker_error(broker))?.success() {
            return Err(StartError::Format { broker, said: tool.tail() });
        }
    }
    Ok(nodes)
}

fn broker_error(broker: usize) -> impl Fn(ProcessError) -> StartError {
    move |source| StartError::Broker { broker, source }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}
