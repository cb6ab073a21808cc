//! What the stories stand on: a connected log with its topics under a prefix of its own, and records for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callboard_kafka::probe::Probe;
use callboard_kafka::{KafkaConfig, KafkaLog};
use callboard_ports::admin::TopicAdmin;
use callboard_ports::inbox::{Inbox, InboxEvent, Joining, Membership};
use callboard_ports::{Headers, NewRecord, Topic};
use callboard_testkit::{kafka, unique_name};
use tokio::sync::mpsc;

pub const PARTITIONS: u32 = 4;
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration for tests on `brokers`, under a prefix that nobody else uses.
pub fn config(brokers: &str) -> KafkaConfig {
    KafkaConfig {
        topic_prefix: format!("{}.", unique_name("it")),
        partitions: PARTITIONS,
        ..KafkaConfig::new(brokers, unique_name("node"))
    }
}

/// Another process on the same topics.
pub fn other_node(config: &KafkaConfig) -> KafkaConfig {
    KafkaConfig { node_id: unique_name("node"), ..config.clone() }
}

/// A log whose topics exist.
pub async fn connect(config: &KafkaConfig) -> Arc<KafkaLog> {
    let log = KafkaLog::connect(config.clone()).expect("a good configuration");
    log.apply().await.expect("the topics are created");
    log
}

/// The shared broker, a configuration, a connected log and a stranger; nothing where Kafka cannot run.
pub async fn shared() -> Option<(KafkaConfig, Arc<KafkaLog>, Probe)> {
    let cluster = tokio::task::spawn_blocking(kafka::shared).await.expect("the cluster starts")?;
    let config = config(&cluster.bootstrap());
    let log = connect(&config).await;
    let probe = Probe::new(&cluster.bootstrap()).expect("a stranger");
    Some((config, log, probe))
}

pub fn record(topic: Topic, partition: u32, key: &str, value: impl Into<Bytes>) -> NewRecord {
    let key = Bytes::from(key.to_owned());
    NewRecord { topic, partition, key, headers: Headers::default(), value: value.into() }
}

pub fn join(log: &KafkaLog, group: &str) -> Membership {
    let joining = Joining { group: group.to_owned(), topic: Topic::UserCommands, lanes: 1 };
    log.join(joining).expect("a member")
}

pub async fn next(lane: &mut mpsc::Receiver<InboxEvent>) -> InboxEvent {
    let event = tokio::time::timeout(PATIENCE, lane.recv()).await;
    event.expect("an event in time").expect("the lane goes on")
}

/// Waits until the member has all partitions; other events are handed back.
pub async fn until_whole(membership: &mut Membership) -> Vec<InboxEvent> {
    let (mut assigned, mut others) = (0, Vec::new());
    while assigned < PARTITIONS {
        match next(&mut membership.lanes[0]).await {
            InboxEvent::Assigned { .. } => assigned += 1,
            other => others.push(other),
        }
    }
    others
}
