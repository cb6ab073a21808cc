//! The broker goes away: nothing acknowledged is lost, everything else is said to be unknown, and it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use callboard_kafka::KafkaLog;
use callboard_ports::Topic;
use callboard_ports::log::{AppendError, Log, LogError, Receipt};
use callboard_testkit::kafka::{self, Cluster, ClusterOptions};

use crate::stage::{self, PATIENCE, record};

const EVENTS: Topic = Topic::ConversationEvents;

/// One per story, since they kill it.
async fn own_cluster() -> Option<Arc<Cluster>> {
    if !kafka::require() {
        return None;
    }
    let started = tokio::task::spawn_blocking(|| Cluster::start(ClusterOptions::default()));
    Some(Arc::new(started.await.unwrap().expect("a broker")))
}

async fn on(cluster: &Arc<Cluster>, what: impl FnOnce(&Cluster) + Send + 'static) {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || what(&cluster)).await.unwrap();
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "still waiting until {what}");
}

/// Appends numbered records until told to stop; gives each one's receipt.
async fn write(
    log: Arc<KafkaLog>,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
) -> Vec<(usize, Receipt)> {
    let mut receipts = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = receipts.len();
        match log.append(vec![record(EVENTS, 0, "k", format!("{number}"))]) {
            Ok(receipt) => receipts.push((number, receipt)),
            Err(AppendError::Full) => {}
            Err(error) => panic!("{error}"),
        }
        written.store(receipts.len(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    receipts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_broker_is_killed() {
    let Some(cluster) = own_cluster().await else { return };
    let log = stage::connect(&stage::config(&cluster.bootstrap())).await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn(write(Arc::clone(&log), Arc::clone(&stop), Arc::clone(&written)));
    let mut tail = log.tail(EVENTS, 1).unwrap();
    tail.control.assign(0, 0, 1);
    until("records flow", || written.load(Ordering::Relaxed) > 100).await;

    on(&cluster, |cluster| {
        cluster.kill_broker(0).unwrap();
    })
    .await;
    until("the outage is noticed", || !log.status().reachable).await;
    assert!(matches!(log.bounds(EVENTS, 0).await, Err(LogError::Unavailable(_))));
    let during = written.load(Ordering::Relaxed);
    until("records are appended meanwhile", || written.load(Ordering::Relaxed) > during + 50).await;
    on(&cluster, |cluster| cluster.restart_broker(0).unwrap()).await;
    until("the broker is found again", || log.status().reachable).await;
    let after = written.load(Ordering::Relaxed);
    until("records flow again", || written.load(Ordering::Relaxed) > after + 100).await;
    stop.store(true, Ordering::Relaxed);

    let mut acknowledged = Vec::new();
    for (number, receipt) in writer.await.unwrap() {
        match tokio::time::timeout(PATIENCE * 2, receipt).await.expect("every receipt is answered").unwrap() {
            Ok(offsets) => acknowledged.push((number, offsets[0])),
            Err(AppendError::Unknown(why)) => assert!(!why.is_empty()),
            Err(error) => panic!("acknowledged or unknown, not {error}"),
        }
    }
    log.flush(PATIENCE).await.expect("every batch has its fate");
    assert!(acknowledged.len() > 200, "{}", acknowledged.len());
    assert!(acknowledged.windows(2).all(|pair| pair[0].1 < pair[1].1), "in order");
    let bounds = log.bounds(EVENTS, 0).await.unwrap();
    let mut replay = log.replay(EVENTS, 0, std::iter::once(0..bounds.end).collect(), None);
    let mut found = std::collections::BTreeMap::new();
    while let Some(batch) = replay.recv().await {
        for record in batch.unwrap().records.iter() {
            found.insert(record.offset, record.value.clone());
        }
    }
    for (number, offset) in &acknowledged {
        assert_eq!(found.get(offset).map(|v| &v[..]), Some(number.to_string().as_bytes()), "at {offset}");
    }
    let last = acknowledged.last().unwrap().1;
    let mut seen = 0;
    while seen <= last {
        let event = tokio::time::timeout(PATIENCE, tail.lanes[0].recv()).await.expect("the tail goes on");
        match event.expect("the lane goes on") {
            callboard_ports::log::TailEvent::Batch { batch, .. } => {
                assert_eq!(batch.records[0].offset, seen, "the tail misses and repeats nothing");
                seen = batch.records.last().unwrap().offset + 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_come_later_are_found() {
    let Some(cluster) = own_cluster().await else { return };
    let config = stage::config(&cluster.bootstrap());
    drop(stage::connect(&config).await);
    on(&cluster, |cluster| {
        cluster.kill_broker(0).unwrap();
    })
    .await;

    let log = KafkaLog::connect(config).expect("the brokers need not be there");
    let mut membership = stage::join(&log, "callboard-host");
    until("the reason is known", || log.status().problem.is_some()).await;
    assert!(!log.status().reachable && log.reachable(Duration::from_millis(300)).await.is_err());
    let receipt = log.append(vec![record(Topic::UserCommands, 0, "k", "early")]).expect("enqueued meanwhile");
    on(&cluster, |cluster| cluster.restart_broker(0).unwrap()).await;
    let offsets = tokio::time::timeout(PATIENCE, receipt).await.unwrap().unwrap();
    assert!(offsets.is_ok() || matches!(offsets, Err(AppendError::Unknown(_))), "{offsets:?}");
    until("the broker is found", || log.status().reachable).await;
    stage::until_whole(&mut membership).await;
    membership.control.leave().await;
}
