//! A real Kafka: it starts, it keeps its data over a kill, it survives the loss of one broker of three.

use std::path::Path;
use std::time::Duration;

use callboard_testkit::kafka::{self, Cluster, ClusterOptions, StartError};
use callboard_testkit::process::{Launch, ProcessError};
use callboard_testkit::{unique_name, wait};

use crate::runs;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn records_are_readable_with_the_console_consumer() {
    let Some(cluster) = kafka::shared() else { return };
    let topic = unique_name("readable");
    cluster.create_topic(&topic, 2, &[("message.timestamp.type", "LogAppendTime")]).unwrap();
    cluster.console_producer(&topic, &[("a", "one"), ("b", "two"), ("a", "three")]).unwrap();
    let read = cluster.console_consumer(&topic, 3, SOON, &[]).unwrap();
    let mut lines = read.lines();
    lines.sort_unstable_by_key(|line| line.rsplit('\t').next());
    assert_eq!(lines.len(), 3, "{read:?}");
    let [one, three, two] = lines[..] else { panic!("three lines: {lines:?}") };
    assert!(one.starts_with("LogAppendTime:") && one.ends_with("NO_HEADERS\ta\tone"), "{one}");
    let partition = |line: &str| line.split('\t').nth(1).unwrap().to_owned();
    assert_eq!(partition(one), partition(three), "the same key is the same partition");
    assert!(two.ends_with("b\ttwo"), "{two}");

    let described = cluster
        .tool("org.apache.kafka.tools.TopicCommand", &["--describe", "--topic", &topic], SOON)
        .unwrap();
    assert!(described.stdout.contains("PartitionCount: 2"), "{described:?}");
}

#[test]
fn a_killed_broker_comes_back_with_its_data_and_leaves_nothing() {
    if !kafka::require() {
        return;
    }
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let (bootstrap, pid) = (cluster.bootstrap(), cluster.broker_pid(0));
    cluster.create_topic("kept", 1, &[]).unwrap();
    cluster.console_producer("kept", &[("k", "before the kill")]).unwrap();
    let kept = |count| cluster.console_consumer("kept", count, SOON, &[]).unwrap().stdout;
    assert!(kept(1).contains("before the kill"));

    assert!(!cluster.kill_broker(0).unwrap().success());
    assert!(matches!(cluster.kill_broker(0), Err(ProcessError::NotRunning { .. })));
    cluster.restart_broker(0).unwrap();
    assert_eq!(cluster.bootstrap(), bootstrap);
    assert_ne!(cluster.broker_pid(0), pid);
    cluster.console_producer("kept", &[("k", "after the kill")]).unwrap();
    let read = kept(2);
    assert!(read.contains("before the kill") && read.contains("after the kill"), "{read}");

    cluster.pause_broker(0).unwrap();
    cluster.resume_broker(0).unwrap();
    cluster.stop_broker(0).unwrap();
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(!folder.exists());
}

#[test]
fn three_brokers_lose_one_and_serve_on() {
    if !kafka::require() {
        return;
    }
    let cluster = Cluster::start(ClusterOptions::three_brokers()).unwrap();
    cluster.create_topic("replicated", 3, &[("min.insync.replicas", "2")]).unwrap();
    cluster.kill_broker(2).unwrap();
    // The producer's few retries may end before the new leaders are known.
    wait::until(Duration::from_secs(60), "a record to be taken by two brokers", || {
        let records: Vec<_> = ["a", "b", "c", "d"].map(|key| (key, "survives")).into();
        cluster.console_producer("replicated", &records).is_ok_and(|said| !said.stderr.contains("ERROR"))
    })
    .unwrap();
    cluster.restart_broker(2).unwrap();
    let read = cluster.console_consumer("replicated", 4, SOON, &[]).unwrap();
    assert_eq!(read.lines().len(), 4, "{read:?}");
}

/// The test starts itself as the process to be killed: that one starts a broker and then waits for its end.
#[test]
fn a_broker_does_not_outlive_a_test_process_that_was_killed() {
    if !kafka::require() {
        return;
    }
    if std::env::var_os("TESTKIT_KAFKA_PARENT").is_some() {
        let cluster = kafka::shared().unwrap();
        println!("broker={} folder={}", cluster.broker_pid(0), cluster.folder().display());
        let _ = wait::until(Duration::from_secs(300), "the kill", || false);
        return;
    }
    let parent = Launch::new(std::env::current_exe().unwrap())
        .args(["kafka::a_broker_does_not_outlive_a_test_process_that_was_killed", "--exact", "--nocapture"])
        .env("TESTKIT_KAFKA_PARENT", "1")
        .start()
        .unwrap();
    let line = parent
        .wait_line(Duration::from_secs(200), "the cluster's folder", |line| line.text.contains("folder="))
        .unwrap();
    let (start, folder) = line.split_once(" folder=").unwrap();
    let (folder, broker) = (Path::new(folder), start.rsplit('=').next().unwrap().parse().unwrap());
    assert!(folder.join("broker-1").exists() && runs(broker));
    let announced = "testkit: real Kafka 4.1.0 with 1 broker(s) at 127.0.0.1:";
    parent.wait_line(SOON, "the announcement", |line| line.text.starts_with(announced)).unwrap();
    parent.sigkill().unwrap();
    wait::until(SOON, "the broker and its folder to be gone", || !runs(broker) && !folder.exists()).unwrap();
}

#[test]
fn a_broker_that_cannot_start_says_why() {
    if !kafka::require() {
        return;
    }
    let two = Cluster::start(ClusterOptions { brokers: 2, ..ClusterOptions::default() });
    assert!(matches!(two, Err(StartError::BrokerCount(2))));
    let nonsense = ClusterOptions::default().property("log.retention.ms", "soon");
    let error = Cluster::start(nonsense).unwrap_err().to_string();
    assert!(error.contains("log.retention.ms"), "{error}");
}
