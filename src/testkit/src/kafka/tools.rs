//! Kafka's own command-line tools, from the same jars: what a stranger would read and write the topics with.
//!
//! Adds to [`super::cluster::Cluster`]. Each call starts a Java process and takes one to two seconds.

use std::process::ExitStatus;
use std::time::Duration;

use super::cluster::Cluster;
use crate::process::{Launch, ProcessError};

/// Create, describe and delete take one second; this long on a machine that builds meanwhile.
const ADMIN_WAIT: Duration = Duration::from_secs(60);
/// A tool's own start and end, on top of the time that it was given for its work.
const JAVA_WAIT: Duration = Duration::from_secs(30);
/// Lines that a tool may print besides one per record.
const OTHER_LINES: usize = 10_000;

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It did not start, or did not end in time.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It ended badly.
    #[error("{class} ended with {status}:\n{said}")]
    Failed {
        /// The tool.
        class: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        said: String,
    },
}

/// What a tool printed.
#[derive(Debug, Clone)]
pub struct ToolOutput {
    /// The answer.
    pub stdout: String,
    /// Remarks and errors.
    pub stderr: String,
}

impl ToolOutput {
    /// The lines of the answer.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

impl Cluster {
    /// Creates a topic with as many replicas as there are brokers; returns when the cluster knows it.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> Result<(), ToolError> {
        let partitions = partitions.to_string();
        let replicas = self.broker_count().to_string();
        let mut args = vec!["--create", "--topic", topic, "--partitions", &partitions];
        args.extend(["--replication-factor", &replicas]);
        let config: Vec<String> = config.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for setting in &config {
            args.extend(["--config", setting]);
        }
        self.tool("org.apache.kafka.tools.TopicCommand", &args, ADMIN_WAIT).map(drop)
    }

    /// Writes records with the console producer, which acknowledges nothing back: read them to know that they
    /// are in. Neither key nor value may hold a tab or a line end.
    pub fn console_producer(&self, topic: &str, records: &[(&str, &str)]) -> Result<ToolOutput, ToolError> {
        let class = "org.apache.kafka.tools.ConsoleProducer";
        let input: String = records.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
        let launch = self
            .bootstrapped(class)
            .args(["--topic", topic, "--property", "parse.key=true", "--property", "key.separator=\t"])
            .input(input);
        finish(class, launch, ADMIN_WAIT)
    }

    /// Reads a topic from its beginning with the console consumer, until `max_messages` or until none has
    /// come for `timeout`. Prints a line per record: timestamp, partition, offset, headers, key, value,
    /// separated by tabs.
    pub fn console_consumer(
        &self,
        topic: &str,
        max_messages: usize,
        timeout: Duration,
        extra: &[&str],
    ) -> Result<ToolOutput, ToolError> {
        let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let mut launch = self
            .bootstrapped(class)
            .args(["--topic", topic, "--from-beginning"])
            .args(["--max-messages".to_owned(), max_messages.to_string()])
            .args(["--timeout-ms".to_owned(), timeout.as_millis().to_string()]);
        for shown in ["timestamp", "partition", "offset", "headers", "key"] {
            launch = launch.args(["--property".to_owned(), format!("print.{shown}=true")]);
        }
        let kept = max_messages.saturating_add(OTHER_LINES);
        // The tool's timeout starts anew with every record.
        let overall = timeout.saturating_mul(2) + JAVA_WAIT;
        finish(class, launch.args(extra.iter().copied()).keep_lines(kept), overall)
    }

    /// Runs any of Kafka's tools against this cluster: `class` with `--bootstrap-server` and `args`.
    pub fn tool(&self, class: &str, args: &[&str], timeout: Duration) -> Result<ToolOutput, ToolError> {
        finish(class, self.bootstrapped(class).args(args.iter().copied()), timeout)
    }

    fn bootstrapped(&self, class: &str) -> Launch {
        self.kafka.tool(class).args(["--bootstrap-server".to_owned(), self.bootstrap()])
    }
}

fn finish(class: &str, launch: Launch, timeout: Duration) -> Result<ToolOutput, ToolError> {
    let process = launch.start()?;
    let status = process.wait_exit(timeout)?;
    if !status.success() {
        return Err(ToolError::Failed { class: class.to_owned(), status, said: process.tail() });
    }
    Ok(ToolOutput { stdout: process.stdout(), stderr: process.stderr() })
}
