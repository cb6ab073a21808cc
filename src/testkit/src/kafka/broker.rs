//! One broker: its folder, its ports, its process. Ports and data outlive the process, so it can come back.
//!
//! [`super::cluster`] holds one to three of them; [`super::tools`] shares the way to start Java.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::probe;
use crate::ports::free_port;
use crate::process::{Launch, Process, ProcessError};
use crate::wait;

const LOG4J: &str = include_str!("log4j2.properties");
/// Written at the end of a start, when the broker is no longer fenced.
const STARTED: &str = "Kafka Server started";

/// Where Java finds Kafka, and its logging settings.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    jars: PathBuf,
    log_settings: PathBuf,
}

impl Installation {
    /// Kafka from `jars`, with logging settings written to `folder`.
    pub(super) fn new(jars: PathBuf, folder: &Path) -> io::Result<Self> {
        let log_settings = folder.join("log4j2.properties");
        std::fs::write(&log_settings, LOG4J)?;
        Ok(Self { jars, log_settings })
    }

    /// A Java process that runs `class`, with extra flags for the virtual machine.
    pub(super) fn java(&self, flags: &[&str], class: &str) -> Launch {
        let mut class_path = self.jars.clone().into_os_string();
        class_path.push("/*");
        let mut log_settings = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
        log_settings.push(&self.log_settings);
        Launch::new(super::jars::java()).args(flags).arg(log_settings).arg("-cp").arg(class_path).arg(class)
    }

    /// A short-lived tool: starting fast matters, running fast does not.
    pub(super) fn tool(&self, class: &str) -> Launch {
        self.java(&["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"], class)
    }
}

/// What stays the same over all starts of one broker.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: usize,
    pub(super) port: u16,
    pub(super) controller_port: u16,
    folder: PathBuf,
}

impl Node {
    /// The `id`th broker of the cluster in `cluster_folder`, on ports of its own.
    pub(super) fn new(id: usize, cluster_folder: &Path) -> io::Result<Self> {
        let folder = cluster_folder.join(format!("broker-{id}"));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { id, port: free_port(), controller_port: free_port(), folder })
    }

    /// Writes `server.properties`. `voters` lists every controller; `extra` comes last and so wins.
    pub(super) fn configure(
        &self,
        voters: &str,
        brokers: usize,
        extra: &[(String, String)],
    ) -> io::Result<()> {
        let Self { id, port, controller_port, .. } = self;
        let data = self.folder.join("data");
        let in_sync = brokers.div_ceil(2);
        let mut properties = format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={data}\n\
             default.replication.factor={brokers}\n\
             min.insync.replicas={in_sync}\n\
             auto.create.topics.enable=false\n\
             group.initial.rebalance.delay.ms=0\n\
             offsets.topic.num.partitions=4\n\
             offsets.topic.replication.factor={brokers}\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor={brokers}\n\
             transaction.state.log.min.isr={in_sync}\n\
             share.coordinator.state.topic.num.partitions=1\n\
             share.coordinator.state.topic.replication.factor={brokers}\n\
             share.coordinator.state.topic.min.isr={in_sync}\n",
            data = data.display(),
        );
        for (name, value) in extra {
            properties.push_str(&format!("{name}={value}\n"));
        }
        std::fs::write(self.properties(), properties)
    }

    /// Starts formatting its data folder for the cluster `cluster_id`.
    pub(super) fn format(&self, kafka: &Installation, cluster_id: &str) -> Result<Process, ProcessError> {
        kafka
            .tool("kafka.tools.StorageTool")
            .args(["format", "-t", cluster_id, "-c"])
            .arg(self.properties())
            .start()
    }

    /// Starts its process; [`Broker::wait_ready`] says when it serves.
    pub(super) fn start(&self, kafka: &Installation, heap_mb: u32) -> Result<Process, ProcessError> {
        let heap = format!("-Xmx{heap_mb}m");
        kafka
            .java(&[&heap, "-Dtestkit.log.level=info"], "kafka.Kafka")
            .arg(self.properties())
            .log_to(self.log())
            .start()
    }

    /// What the broker said, over all its starts.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }
}

/// A broker and its newest process.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) node: Node,
    pub(super) process: Process,
    pub(super) paused: bool,
}

impl Broker {
    /// Whether it runs and answers: not killed, not frozen.
    pub(super) fn serves(&self) -> bool {
        !self.paused && self.process.is_running()
    }

    /// Waits until the broker is unfenced and itself says that `live` brokers are alive.
    pub(super) fn wait_ready(&self, live: usize, deadline: Instant) -> Result<(), ProcessError> {
        let left = || deadline.saturating_duration_since(Instant::now());
        self.process
            .wait_line(left(), "the line that says it started", |line| line.text.contains(STARTED))?;
        let what = format!("answer on port {} that tells of {live} live brokers", self.node.port);
        wait::until(left(), &what, || probe::live_brokers(self.node.port).is_some_and(|alive| alive >= live))
            .map_err(|late| self.process.timed_out(&late.what, late.after))
    }
}
