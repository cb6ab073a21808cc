//! A topic with more partitions than a client has been told of: what a broker that has just started may cause.

use std::time::Duration;

use callboard_kafka::{KafkaConfig, KafkaLog};
use callboard_ports::Topic;
use callboard_ports::log::{AppendError, Log};
use callboard_testkit::{kafka, unique_name};

use crate::stage::{self, PARTITIONS, PATIENCE, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_a_client_was_not_told_of_is_found_all_the_same() {
    let Some((shared, _, probe)) = stage::shared().await else { return };
    let config = KafkaConfig { topic_prefix: format!("{}-", unique_name("growth")), ..shared };
    let log = KafkaLog::connect(config).unwrap();
    let topic = Topic::ConversationEvents;
    let name = log.topic_name(topic).to_owned();
    let small = name.clone();
    tokio::task::spawn_blocking(move || probe.create_topic(&small, 1, &[]).unwrap()).await.unwrap();
    // Both clients have seen the topic now, with one partition.
    append(&log, 0).await;
    assert_eq!(log.bounds(topic, 0).await.unwrap().end, 1);

    let wanted = PARTITIONS.to_string();
    tokio::task::spawn_blocking(move || {
        let class = "org.apache.kafka.tools.TopicCommand";
        let arguments = ["--alter", "--topic", &name, "--partitions", &wanted];
        kafka::shared().unwrap().tool(class, &arguments, PATIENCE).unwrap();
    })
    .await
    .unwrap();
    for partition in 1..PARTITIONS {
        assert_eq!(log.bounds(topic, partition).await.unwrap().end, 0, "partition {partition}");
        append(&log, partition).await;
        assert_eq!(log.bounds(topic, partition).await.unwrap().end, 1, "partition {partition}");
    }
}

/// Appends one record. What there is no room for at the moment is appended later; refused it must never be.
async fn append(log: &KafkaLog, partition: u32) {
    let appended = async {
        loop {
            match log.append(vec![record(Topic::ConversationEvents, partition, "key", "value")]) {
                Ok(receipt) => return receipt.await.unwrap().expect("it is acknowledged"),
                Err(AppendError::Full) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("partition {partition}: {error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, appended).await.expect("the picture of the topic becomes whole");
}
