//! Topics: what is missing is created, what differs is said and mended, what must not be mended is left.

use callboard_kafka::{KafkaConfig, KafkaLog};
use callboard_ports::Topic;
use callboard_ports::admin::TopicAdmin;
use callboard_testkit::unique_name;

use crate::stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_created_and_what_differs_is_mended() {
    let Some((shared, _, probe)) = stage::shared().await else { return };
    let config = KafkaConfig { topic_prefix: format!("{}-", unique_name("topics")), ..shared };
    let log = KafkaLog::connect(config.clone()).unwrap();
    let missing = log.diff().await.unwrap();
    assert_eq!(missing.len(), Topic::ALL.len());
    assert!(missing.iter().all(|d| d.what == "missing" && d.fatal && d.mendable), "{missing:?}");
    assert!(
        missing.iter().all(|d| d.topic.starts_with(&config.topic_prefix)),
        "the prefix is part of the name"
    );

    // A stranger was there first: too few partitions, a setting of his own, events that expire.
    let events = log.topic_name(Topic::ConversationEvents).to_owned();
    let requests = log.topic_name(Topic::SynthesisRequests).to_owned();
    let (theirs, few) = (events.clone(), requests.clone());
    tokio::task::spawn_blocking(move || {
        let settings = [("retention.ms", "1000"), ("segment.ms", "777000")];
        probe.create_topic(&theirs, stage::PARTITIONS as i32, &settings).unwrap();
        probe.create_topic(&few, 1, &[]).unwrap();
    })
    .await
    .unwrap();
    let drifts = log.diff().await.unwrap();
    let of = |topic: &str, what: &str| drifts.iter().find(|d| d.topic == topic && d.what == what);
    let expiring = of(&events, "retention.ms").expect("finite retention is seen");
    assert!(expiring.fatal && expiring.mendable && expiring.found == "1000", "{expiring:?}");
    let few = of(&requests, "partitions").expect("another partition count is seen");
    assert!(few.fatal && !few.mendable && few.found == "1", "{few:?}");

    let done = log.apply().await.unwrap();
    assert!(done.iter().any(|line| line.contains("created") && line.contains("user-commands")), "{done:?}");
    assert!(done.iter().any(|line| line.contains("retention.ms") && line.contains(&events)), "{done:?}");
    let left = log.diff().await.unwrap();
    assert_eq!(left.len(), 1, "only the partition count is left: {left:?}");
    assert_eq!((&*left[0].what, &*left[0].topic), ("partitions", &*requests));
    let again = log.apply().await.unwrap();
    assert_eq!(again.len(), 1, "nothing more to do: {again:?}");

    let cluster = callboard_testkit::kafka::shared().unwrap();
    let said = tokio::task::spawn_blocking(move || describe(cluster, &events)).await.unwrap();
    assert!(said.contains("segment.ms=777000"), "a setting beyond ours was kept: {said}");
    assert!(
        said.contains("retention.ms=-1") && said.contains("message.timestamp.type=LogAppendTime"),
        "{said}"
    );
}

/// As Kafka's own tool sees it.
fn describe(cluster: &callboard_testkit::kafka::Cluster, topic: &str) -> String {
    let class = "org.apache.kafka.tools.TopicCommand";
    let output = cluster.tool(class, &["--describe", "--topic", topic], stage::PATIENCE);
    output.expect("Kafka's own tool answers").stdout
}
