//! A member dies between the two steps of a cooperative rebalance and comes back under its name.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use callboard_kafka::{KafkaConfig, KafkaLog};
use callboard_ports::Topic;
use callboard_ports::inbox::InboxEvent;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::stage::{self, PARTITIONS, PATIENCE, join};

const GROUP: &str = "callboard-host";

/// Takes what it is given, and never gives anything back.
#[derive(Default)]
struct Dying {
    has: AtomicUsize,
    asked_back: AtomicBool,
}

impl ClientContext for Dying {}

impl ConsumerContext for Dying {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            consumer.incremental_assign(list).unwrap();
            self.has.fetch_add(list.count(), Ordering::SeqCst);
        } else {
            self.asked_back.store(true, Ordering::SeqCst);
        }
    }
}

/// A process with the identity of `config`'s member that owns all partitions.
fn dying(config: &KafkaConfig, topic: &str) -> BaseConsumer<Dying> {
    let consumer: BaseConsumer<Dying> = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", format!("{}{GROUP}", config.topic_prefix))
        .set("group.instance.id", format!("{}-{}", config.node_id, config.client_role))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .create_with_context(Dying::default())
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    poll_until(&consumer, |context| context.has.load(Ordering::SeqCst) == PARTITIONS as usize);
    consumer
}

fn poll_until(consumer: &BaseConsumer<Dying>, done: impl Fn(&Dying) -> bool) {
    let began = std::time::Instant::now();
    while !done(consumer.context()) {
        assert!(began.elapsed() < PATIENCE, "the group does not move");
        consumer.poll(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_a_dead_member_was_giving_back_find_an_owner() {
    let Some((config, log, _)) = stage::shared().await else { return };
    let (of, topic) = (config.clone(), log.topic_name(Topic::UserCommands).to_owned());
    let first = tokio::task::spawn_blocking(move || dying(&of, &topic)).await.unwrap();
    let other = KafkaLog::connect(stage::other_node(&config)).unwrap();
    let mut second = join(&other, GROUP);
    tokio::task::spawn_blocking(move || {
        poll_until(&first, |context| context.asked_back.load(Ordering::SeqCst));
        // Dead: it says nothing more, not even that it goes.
        std::mem::forget(first);
    })
    .await
    .unwrap();
    let mut back = join(&log, GROUP);
    let mut owned: [BTreeSet<u32>; 2] = Default::default();
    let whole = async {
        while owned[0].len() + owned[1].len() < PARTITIONS as usize {
            let (who, event) = tokio::select! {
                event = back.lanes[0].recv() => (0, event),
                event = second.lanes[0].recv() => (1, event),
            };
            match event.expect("the lane goes on") {
                InboxEvent::Assigned { partition, .. } => _ = owned[who].insert(partition),
                InboxEvent::Revoked { partition, ack } => {
                    owned[who].remove(&partition);
                    let _ = ack.send(());
                }
                InboxEvent::Lost { partition } => _ = owned[who].remove(&partition),
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(2 * PATIENCE, whole).await.expect("every partition has an owner");
    assert!(owned[0].is_disjoint(&owned[1]), "{owned:?}");
    second.control.leave().await;
    back.control.leave().await;
}
