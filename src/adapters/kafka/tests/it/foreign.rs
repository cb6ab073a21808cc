//! What strangers write: any bytes pass through as they are, and nothing of it stops a partition.

use std::sync::Arc;

use bytes::Bytes;
use callboard_kafka::probe::Raw;
use callboard_ports::Topic;
use callboard_ports::inbox::InboxEvent;
use callboard_ports::log::Log;

use crate::raw_produce;
use crate::stage::{self, PATIENCE, join, next, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_passes_through_as_raw_bytes() {
    let Some((_, log, probe)) = stage::shared().await else { return };
    let commands = log.topic_name(Topic::UserCommands).to_owned();
    let garbage: Vec<u8> = (0..=255).collect();
    let theirs = garbage.clone();
    tokio::task::spawn_blocking(move || {
        let full = Raw {
            partition: Some(1),
            key: Some(&theirs),
            value: Some(&theirs),
            headers: &[("ce_type", &[0xff, 0xfe]), ("", b"nameless")],
        };
        probe.produce(&commands, full).unwrap();
        probe.produce(&commands, Raw { partition: Some(1), ..Raw::default() }).unwrap();
    })
    .await
    .unwrap();
    log.append(vec![record(Topic::UserCommands, 1, "k", "after")]).unwrap().await.unwrap().unwrap();

    let mut member = join(&log, "callboard-host");
    let mut records = Vec::new();
    while records.len() < 3 {
        if let InboxEvent::Batch(batch) = next(&mut member.lanes[0]).await {
            records.extend(batch.records.iter().cloned());
        }
    }
    assert_eq!((&records[0].key, &records[0].value), (&Bytes::from(garbage.clone()), &Bytes::from(garbage)));
    assert_eq!(records[0].header("ce_type"), None, "not text, and no reason to stop");
    assert_eq!(records[0].headers.get("ce_type").unwrap(), [0xff, 0xfe]);
    assert!(records[1].key.is_empty() && records[1].value.is_empty() && records[1].headers.is_empty());
    assert_eq!(records[2].value, "after");
    assert!(records.iter().all(|record| record.timestamp_ms > 0));
    member.control.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_whose_name_is_not_text_stops_nothing() {
    let Some((config, log, _)) = stage::shared().await else { return };
    let commands = log.topic_name(Topic::UserCommands).to_owned();
    tokio::task::spawn_blocking(move || {
        raw_produce::one(&config.brokers, &commands, 1, b"value", b"\xff\xfe")
    })
    .await
    .unwrap();
    log.append(vec![record(Topic::UserCommands, 1, "k", "after")]).unwrap().await.unwrap().unwrap();
    let mut member = join(&log, "callboard-host");
    let mut records = Vec::new();
    while records.len() < 2 {
        if let InboxEvent::Batch(batch) = next(&mut member.lanes[0]).await {
            records.extend(batch.records.iter().cloned());
        }
    }
    assert_eq!(
        (&records[0].value[..], records[0].headers.len()),
        (&b"value"[..], 0),
        "the header is left out"
    );
    assert_eq!(records[1].value, "after");
    member.control.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_reads_what_we_write() {
    let Some((_, log, probe)) = stage::shared().await else { return };
    let mut ours = record(Topic::ConversationEvents, 3, "a conversation", "{\"type\":\"X\"}");
    ours.headers = [("ce_type", "io.callboard.event.X.v1")].into_iter().collect();
    let offset = log.append(vec![ours]).unwrap().await.unwrap().unwrap()[0];
    let name = log.topic_name(Topic::ConversationEvents).to_owned();
    let probe = Arc::new(probe);
    let reading = Arc::clone(&probe);
    let topic = name.clone();
    let read =
        tokio::task::spawn_blocking(move || reading.consume(&topic, 3, offset, 1, PATIENCE)).await.unwrap();
    let read = read.unwrap();
    assert_eq!(read[0].key.as_deref(), Some(&b"a conversation"[..]));
    assert_eq!(read[0].value.as_deref(), Some(&b"{\"type\":\"X\"}"[..]));
    assert_eq!(read[0].headers, [("ce_type".to_owned(), b"io.callboard.event.X.v1".to_vec())]);
    let hops = tokio::task::spawn_blocking(move || {
        probe.hops(
            &name,
            200,
            Raw { partition: Some(2), key: Some(b"k"), value: Some(&[b'x'; 500]), headers: &[] },
        )
    });
    let hops = hops.await.unwrap().unwrap();
    eprintln!("plain hop: {hops:?}");
    assert!(hops.p50_us > 0 && hops.p50_us <= hops.p99_us && hops.p99_us <= hops.max_us);
}
