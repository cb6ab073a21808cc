//! [`KafkaLog`]: the ports, each answered by the file that does it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use callboard_ports::admin::{TopicAdmin, TopicDrift};
use callboard_ports::inbox::{Inbox, Joining, Membership};
use callboard_ports::log::{AppendError, Batch, Bounds, Log, LogError, LogIdentity, Receipt, Tail};
use callboard_ports::{NewRecord, Record, Topic};
use futures_util::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::admin::Admin;
use crate::bounds::bounds;
use crate::config::{KafkaConfig, all_loopback};
use crate::context::Events;
use crate::desk::Desk;
use crate::error::{ConnectError, sentence, unavailable};
use crate::heartbeat::Heartbeat;
use crate::inbox;
use crate::names::Names;
use crate::producer::Appender;
use crate::reach::{Reach, Status};
use crate::replay::Replays;
use crate::tail;

/// How long a question to the brokers may take.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A Kafka cluster as `Log`, `Inbox` and `TopicAdmin`.
pub struct KafkaLog {
    config: Arc<KafkaConfig>,
    names: Names,
    reach: Arc<Reach>,
    heartbeat: Arc<Heartbeat>,
    asker: Arc<BaseConsumer<Events>>,
    desk: Desk,
    appender: Appender,
    replays: Replays,
}

impl KafkaLog {
    /// Starts the clients. The brokers need not be there: they are looked for with back-off, and [`Self::status`] says
    /// how that goes.
    ///
    /// # Errors
    /// When the configuration cannot work, whatever the brokers do.
    pub fn connect(config: KafkaConfig) -> Result<Arc<Self>, ConnectError> {
        config.validate()?;
        let names = Names::new(&config.topic_prefix);
        let reach = Reach::new(&config.brokers);
        let asker: BaseConsumer<Events> = config
            .asker()
            .create_with_context(Events::new("asker", &reach))
            .map_err(|error| ConnectError::Client(sentence(&error)))?;
        let asker = Arc::new(asker);
        let appender = Appender::new(config.producer(), names.clone(), config.partitions, &reach)?;
        let watched =
            (Arc::clone(&reach), Arc::clone(&asker), Arc::clone(names.topic(Topic::ConversationEvents)));
        std::thread::Builder::new().name("kafka-reach".into()).spawn(move || {
            let (reach, asker, topic) = watched;
            reach.watch(&asker, &topic);
        })?;
        Ok(Arc::new(Self {
            replays: Replays::new(config.clone(), names.clone(), &reach),
            config: Arc::new(config),
            names,
            reach,
            heartbeat: Arc::default(),
            asker,
            desk: Desk::open()?,
            appender,
        }))
    }

    /// Whether the brokers can be reached, as it was last seen.
    #[must_use]
    pub fn status(&self) -> Status {
        self.reach.status()
    }

    /// Asks the brokers now.
    ///
    /// # Errors
    /// When none answers in time.
    pub fn reachable(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        let (asker, topic) =
            (Arc::clone(&self.asker), Arc::clone(self.names.topic(Topic::ConversationEvents)));
        let brokers = self.config.brokers.clone();
        Box::pin(self.desk.ask(move || {
            let answer = asker.fetch_metadata(Some(&topic), timeout);
            answer.map(|_| ()).map_err(|error| unavailable(&brokers, &error))
        }))
    }

    /// To be beaten by whoever watches over the process; from the first beat on, memberships give their partitions
    /// back while it stays away for more than 5 s, and come back with it.
    #[must_use]
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// Whether missing topics may be created without being asked for: it is configured, or all of this is one machine.
    #[must_use]
    pub fn may_create_topics(&self) -> bool {
        self.config.create_topics || all_loopback(&self.config.brokers)
    }

    /// A topic's name on the wire.
    #[must_use]
    pub fn topic_name(&self, topic: Topic) -> &str {
        self.names.topic(topic)
    }

    async fn first_record(
        &self,
        topic: Topic,
        partition: u32,
        bounds: Bounds,
    ) -> Result<Option<Record>, LogError> {
        /// Control records of a foreign transaction may come first; nobody writes so many of them.
        const LOOK: u64 = 1_000;
        let end = bounds.end.min(bounds.start + LOOK);
        let first = std::iter::once(bounds.start..end).collect();
        match self.replays.replay(topic, partition, first, None).recv().await {
            Some(Ok(batch)) => Ok(batch.records.first().cloned()),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.reach.stop();
    }
}

impl Log for KafkaLog {
    fn append(&self, batch: Vec<NewRecord>) -> Result<Receipt, AppendError> {
        self.appender.append(&batch)
    }

    fn partitions(&self) -> u32 {
        self.config.partitions
    }

    fn bounds(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        let (asker, name) = (Arc::clone(&self.asker), Arc::clone(self.names.topic(topic)));
        Box::pin(self.desk.ask(move || {
            let (start, end) = bounds(&asker, &name, partition, ANSWER_WAIT)
                .map_err(|error| unavailable(&format!("the bounds of {name}/{partition}"), &error))?;
            Ok(Bounds { start, end: end.max(start) })
        }))
    }

    fn identity(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<LogIdentity, LogError>> {
        Box::pin(async move {
            let asker = Arc::clone(&self.asker);
            let cluster = self.desk.ask(move || {
                let id = asker.client().fetch_cluster_id(ANSWER_WAIT);
                id.ok_or_else(|| LogError::Unavailable("no broker says the cluster's id".into()))
            });
            let cluster = cluster.await?;
            let bounds = self.bounds(topic, partition).await?;
            let content = if bounds.start == bounds.end {
                "empty".to_owned()
            } else {
                self.first_record(topic, partition, bounds)
                    .await?
                    .map_or_else(|| "empty".to_owned(), |r| digest(&r))
            };
            Ok(LogIdentity(format!("{cluster}:{content}")))
        })
    }

    fn replay(
        &self,
        topic: Topic,
        partition: u32,
        ranges: Vec<Range<u64>>,
        key: Option<String>,
    ) -> mpsc::Receiver<Result<Batch, LogError>> {
        self.replays.replay(topic, partition, ranges, key)
    }

    fn tail(&self, topic: Topic, lanes: usize) -> Result<Tail, LogError> {
        tail::open(&self.config, &self.names, &self.reach, topic, lanes)
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(self.appender.open().settled(timeout))
    }
}

impl Inbox for KafkaLog {
    fn join(&self, joining: Joining) -> Result<Membership, LogError> {
        let ground = inbox::Ground {
            config: &self.config,
            names: &self.names,
            reach: &self.reach,
            heartbeat: &self.heartbeat,
        };
        inbox::join(&ground, &joining)
    }
}

impl TopicAdmin for KafkaLog {
    fn diff(&self) -> BoxFuture<'_, Result<Vec<TopicDrift>, LogError>> {
        let (config, names, asker) = (Arc::clone(&self.config), self.names.clone(), Arc::clone(&self.asker));
        Box::pin(self.desk.ask(move || Admin { config: &config, names: &names, asker: &asker }.diff()))
    }

    fn create_missing(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>> {
        let (config, names, asker) = (Arc::clone(&self.config), self.names.clone(), Arc::clone(&self.asker));
        Box::pin(
            self.desk.ask(move || Admin { config: &config, names: &names, asker: &asker }.create_missing()),
        )
    }

    fn apply(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>> {
        let (config, names, asker) = (Arc::clone(&self.config), self.names.clone(), Arc::clone(&self.asker));
        Box::pin(self.desk.ask(move || Admin { config: &config, names: &names, asker: &asker }.apply()))
    }
}

/// 128 bits of everything that makes a record this record.
fn digest(record: &Record) -> String {
    let mut hash = Sha256::new();
    hash.update(record.offset.to_be_bytes());
    hash.update(record.timestamp_ms.to_be_bytes());
    hash.update((record.key.len() as u64).to_be_bytes());
    hash.update(&record.key);
    hash.update(&record.value);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
