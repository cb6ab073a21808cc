//! Membership: coming back fast, leaving fast, being replaced, and being wedged.

use std::time::{Duration, Instant};

use callboard_kafka::{GroupProtocol, KafkaConfig, KafkaLog};
use callboard_ports::Topic;
use callboard_ports::inbox::{Committed, InboxEvent};
use callboard_ports::log::Log;

use crate::stage::{self, PARTITIONS, join, next, record, until_whole};

/// The broker's session time: whoever waits for it to pass takes longer than this.
const SESSION: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_is_back_long_before_its_session_ends() {
    let Some((config, log, _)) = stage::shared().await else { return };
    let mut first = join(&log, "callboard-host");
    until_whole(&mut first).await;
    // As a kill would: without leaving.
    drop(first);
    let restarted = KafkaLog::connect(config).unwrap();
    let began = Instant::now();
    let mut second = join(&restarted, "callboard-host");
    until_whole(&mut second).await;
    eprintln!("static member back with all partitions after {:?}", began.elapsed());
    assert!(began.elapsed() < SESSION / 2, "{:?}", began.elapsed());
    second.control.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_hands_over_in_no_time() {
    let Some((config, log, _)) = stage::shared().await else { return };
    let mut first = join(&log, "callboard-host");
    until_whole(&mut first).await;
    let position = Committed { next_offset: 0, metadata: "kept".to_owned() };
    first.control.commit(Topic::UserCommands, 1, position.clone());
    let began = Instant::now();
    first.control.leave().await;
    let left = began.elapsed();
    assert!(first.lanes[0].recv().await.is_none(), "the lanes end with the membership");
    let next_node = KafkaLog::connect(stage::other_node(&config)).unwrap();
    let began = Instant::now();
    let mut second = join(&next_node, "callboard-host");
    let mut found = None;
    for _ in 0..PARTITIONS {
        match next(&mut second.lanes[0]).await {
            InboxEvent::Assigned { partition: 1, committed } => found = committed,
            InboxEvent::Assigned { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    eprintln!("left in {left:?}; the next member had all partitions after {:?}", began.elapsed());
    assert!(left + began.elapsed() < SESSION / 2, "{left:?} and {:?}", began.elapsed());
    assert_eq!(found, Some(position), "commits before leaving count");
    second.control.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_identity_twice_fences_the_first() {
    let Some((config, log, _)) = stage::shared().await else { return };
    let mut first = join(&log, "callboard-host");
    until_whole(&mut first).await;
    let twin = KafkaLog::connect(config).unwrap();
    let mut second = join(&twin, "callboard-host");
    loop {
        match next(&mut first.lanes[0]).await {
            InboxEvent::Fenced { reason } => {
                assert!(!reason.is_empty());
                break;
            }
            InboxEvent::Lost { .. } | InboxEvent::Revoked { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    until_whole(&mut second).await;
    second.control.leave().await;
    first.control.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_nobody_answers_does_not_hold_the_group() {
    let Some((config, log, _)) = stage::shared().await else { return };
    let mut deaf = join(&log, "callboard-host");
    until_whole(&mut deaf).await;
    // A lane full of records that nobody takes.
    for block in 0..40 {
        let batch = (0..512).map(|i| record(Topic::UserCommands, 0, "k", format!("{block}-{i}"))).collect();
        log.append(batch).unwrap().await.unwrap().unwrap();
    }
    let other = KafkaLog::connect(stage::other_node(&config)).unwrap();
    let mut second = join(&other, "callboard-host");
    match next(&mut second.lanes[0]).await {
        InboxEvent::Assigned { .. } => {}
        other => panic!("{other:?}"),
    }
    second.control.leave().await;
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wedged_process_gives_its_partitions_back_and_returns() {
    let Some((config, log, _)) = stage::shared().await else { return };
    let heartbeat = log.heartbeat();
    heartbeat.beat();
    let mut wedged = join(&log, "callboard-host");
    until_whole(&mut wedged).await;
    let other = KafkaLog::connect(stage::other_node(&config)).unwrap();
    // From here on nobody beats; the other one takes over without any word from the first.
    let mut second = join(&other, "callboard-host");
    let mut lost = 0;
    let mut mine = 0;
    while mine < PARTITIONS {
        tokio::select! {
            event = wedged.lanes[0].recv() => match event.expect("the lane goes on") {
                InboxEvent::Lost { .. } => lost += 1,
                InboxEvent::Revoked { ack, .. } => { let _ = ack.send(()); lost += 1; }
                other => panic!("{other:?}"),
            },
            event = next(&mut second.lanes[0]) => match event {
                InboxEvent::Assigned { .. } => mine += 1,
                other => panic!("{other:?}"),
            },
        }
    }
    while lost < PARTITIONS {
        match next(&mut wedged.lanes[0]).await {
            InboxEvent::Lost { .. } => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    let alive = tokio::spawn(async move {
        loop {
            heartbeat.beat();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    second.control.leave().await;
    until_whole(&mut wedged).await;
    wedged.control.leave().await;
    alive.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_own_protocol_works_too() {
    let Some((config, _, _)) = stage::shared().await else { return };
    let config = KafkaConfig { group_protocol: GroupProtocol::Consumer, ..config };
    let log = KafkaLog::connect(config).unwrap();
    log.append(vec![record(Topic::UserCommands, 2, "k", "v")]).unwrap().await.unwrap().unwrap();
    let mut member = join(&log, "callboard-host");
    let mut others = until_whole(&mut member).await;
    if others.is_empty() {
        others.push(next(&mut member.lanes[0]).await);
    }
    assert!(matches!(&others[0], InboxEvent::Batch(batch) if batch.partition == 2), "{others:?}");
    let position = Committed { next_offset: 1, metadata: "done".to_owned() };
    member.control.commit(Topic::UserCommands, 2, position.clone());
    assert_eq!(member.control.committed(Topic::UserCommands, 2).await, Ok(Some(position)));
    member.control.leave().await;
}
