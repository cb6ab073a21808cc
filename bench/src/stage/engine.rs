//! What carries the topics: a Kafka of our own, or the log in the server's data folder. Opened once more to be read.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use callboard_kafka::{KafkaConfig, KafkaLog};
use callboard_ports::admin::TopicAdmin;
use callboard_ports::log::Log;
use callboard_stores::{EmbeddedLog, EmbeddedOptions};
use callboard_testkit::kafka::{Cluster, ClusterOptions};
use callboard_testkit::process::Launch;
use callboard_testkit::unique_name;

use crate::arguments::LogKind;

/// A running log.
pub enum Engine {
    Embedded,
    Kafka(Box<Kafka>),
}

/// A cluster and the prefix of everything that this run writes.
pub struct Kafka {
    pub cluster: Cluster,
    prefix: String,
    /// How many brokers are being killed or started.
    away: AtomicUsize,
}

impl Kafka {
    fn connect(&self, partitions: u32) -> Result<Arc<KafkaLog>> {
        let mut config = KafkaConfig::new(self.cluster.bootstrap(), "bench");
        config.topic_prefix.clone_from(&self.prefix);
        "bench".clone_into(&mut config.client_role);
        config.partitions = partitions;
        config.create_topics = true;
        Ok(KafkaLog::connect(config)?)
    }

    pub fn all_on(&self) -> bool {
        self.away.load(Ordering::Acquire) == 0
    }

    pub fn kill(&self, broker: usize) -> Result<()> {
        self.away.fetch_add(1, Ordering::AcqRel);
        self.cluster.kill_broker(broker)?;
        Ok(())
    }

    /// Returns when the broker serves.
    pub fn restart(&self, broker: usize) -> Result<()> {
        self.cluster.restart_broker(broker)?;
        self.away.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }
}

impl Engine {
    pub fn start(kind: LogKind) -> Result<Self> {
        let options = match kind {
            LogKind::Embedded => return Ok(Self::Embedded),
            LogKind::Kafka1 => ClusterOptions::default(),
            LogKind::Kafka3 => ClusterOptions::three_brokers(),
        };
        let cluster = Cluster::start(options).context("Kafka does not start")?;
        Ok(Self::Kafka(Box::new(Kafka { cluster, prefix: unique_name("bench-"), away: AtomicUsize::new(0) })))
    }

    pub fn kafka(&self) -> Option<&Kafka> {
        match self {
            Self::Embedded => None,
            Self::Kafka(kafka) => Some(kafka),
        }
    }

    /// Tells a process which log is meant.
    pub fn configure(&self, launch: Launch) -> Launch {
        match self {
            Self::Embedded => launch,
            Self::Kafka(kafka) => launch
                .env("CALLBOARD__KAFKA__BROKERS", kafka.cluster.bootstrap())
                .env("CALLBOARD__KAFKA__TOPIC_PREFIX", &kafka.prefix),
        }
    }

    /// Opens the log to read it. The embedded one needs `data`, which nobody may hold any more.
    pub fn open(&self, data: &Path) -> Result<Opened> {
        self.open_with(data, EmbeddedOptions::default())
    }

    /// The same with other options, of which Kafka takes the number of partitions.
    pub fn open_with(&self, data: &Path, options: EmbeddedOptions) -> Result<Opened> {
        match self {
            Self::Embedded => {
                let log = EmbeddedLog::open(&data.join("log"), options);
                let log = log.context("the embedded log cannot be opened")?;
                Ok(Opened { log: log.clone(), embedded: Some(log) })
            }
            Self::Kafka(kafka) => Ok(Opened { log: kafka.connect(options.partitions)?, embedded: None }),
        }
    }

    /// Makes the topics where no process of Callboard has; the embedded log makes its own.
    pub async fn create_topics(&self, partitions: u32) -> Result<()> {
        let Self::Kafka(kafka) = self else { return Ok(()) };
        kafka.connect(partitions)?.create_missing().await.context("the topics cannot be made")?;
        Ok(())
    }

    /// What holds the log's own files, when it is not the server's data folder.
    pub fn folder(&self) -> Option<&Path> {
        self.kafka().map(|kafka| kafka.cluster.folder())
    }
}

/// A log that was opened to be read.
pub struct Opened {
    pub log: Arc<dyn Log>,
    embedded: Option<Arc<EmbeddedLog>>,
}

impl Opened {
    /// Frees the folder.
    pub async fn close(self) {
        if let Some(log) = self.embedded {
            log.close().await;
        }
    }
}
