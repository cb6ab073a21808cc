//! Contract of `Log::append`, `bounds`, `identity` and `flush`. Reading back is in `replay` and `tail`.

use std::time::Duration;

use bytes::Bytes;
use callboard_domain::limits::MAX_RECORD_BYTES;

use super::harness::LogHarness;
use super::story::{append, fresh, record, replay, within};
use crate::log::AppendError;
use crate::record::{Headers, MAX_KEY_AND_HEADERS_BYTES, NewRecord, Topic};

pub async fn all(harness: &dyn LogHarness) {
    super::run!(
        harness,
        "append",
        a_batch_gets_ascending_offsets_and_is_readable_when_its_receipt_comes,
        a_batch_may_span_topics_and_partitions,
        order_is_kept_over_many_batches,
        bytes_come_back_as_they_went,
        timestamps_are_the_logs_append_time,
        bounds_grow_with_the_log,
        what_is_too_large_or_has_no_place_is_refused,
        a_dropped_receipt_does_not_stop_the_append,
        flush_waits_for_every_receipt,
        a_reopened_log_goes_on,
    );
}

pub async fn a_batch_gets_ascending_offsets_and_is_readable_when_its_receipt_comes(harness: &dyn LogHarness) {
    let key = fresh("batch");
    let batch = (0..10).map(|i| record(Topic::ConversationEvents, 1, &key, format!("{i}"))).collect();
    let offsets = append(harness, batch).await;
    assert_eq!(offsets.len(), 10);
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
    let end = offsets[9] + 1;
    let bounds = harness.log().bounds(Topic::ConversationEvents, 1).await.expect("bounds");
    assert!(bounds.end >= end, "the end {} is behind an acknowledged record {}", bounds.end, offsets[9]);
    let (records, error) =
        replay(harness, Topic::ConversationEvents, 1, vec![offsets[0]..end], Some(&key)).await;
    assert_eq!(error, None);
    assert_eq!(records.iter().map(|r| r.offset).collect::<Vec<_>>(), offsets);
    let empty = append(harness, Vec::new()).await;
    assert!(empty.is_empty(), "an empty batch is acknowledged with no offsets");
}

pub async fn a_batch_may_span_topics_and_partitions(harness: &dyn LogHarness) {
    let key = fresh("span");
    let places = [
        (Topic::ToolInvocationRequests, 0),
        (Topic::ConversationEvents, 1),
        (Topic::ToolInvocationRequests, 1),
        (Topic::DeadLetterQueue, 0),
        (Topic::ConversationEvents, 1),
    ];
    let batch = places.iter().map(|(topic, p)| record(*topic, *p, &key, "v")).collect();
    let offsets = append(harness, batch).await;
    assert_eq!(offsets.len(), places.len(), "one offset a record, in the batch's order");
    assert!(offsets[1] < offsets[4]);
    for ((topic, partition), offset) in places.into_iter().zip(offsets) {
        let (records, _) = replay(harness, topic, partition, vec![offset..offset + 1], None).await;
        assert_eq!(records.len(), 1, "{topic}/{partition} at {offset}");
        assert_eq!((records[0].topic, records[0].partition), (topic, partition));
        assert_eq!(records[0].key, key.as_bytes());
    }
}

pub async fn order_is_kept_over_many_batches(harness: &dyn LogHarness) {
    let key = fresh("order");
    let log = harness.log();
    let mut receipts = Vec::new();
    for i in 0..200_u32 {
        let partition = i % 2;
        let batch = (0..5)
            .map(|j| record(Topic::ConversationEvents, partition, &key, format!("{:05}", i * 5 + j)))
            .collect();
        receipts.push((partition, log.append(batch).expect("200 small batches fit any queue")));
    }
    let mut of_partition = [Vec::new(), Vec::new()];
    for (partition, receipt) in receipts {
        let offsets = within(harness, "a receipt", receipt).await.expect("answered").expect("acknowledged");
        of_partition[partition as usize].extend(offsets);
    }
    for (partition, offsets) in of_partition.iter().enumerate() {
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "behind everything enqueued before");
        let range = offsets[0]..offsets[offsets.len() - 1] + 1;
        let (records, _) =
            replay(harness, Topic::ConversationEvents, partition as u32, vec![range], Some(&key)).await;
        let values: Vec<_> = records.iter().map(|r| r.value.clone()).collect();
        assert_eq!(values.len(), 500);
        assert!(values.is_sorted(), "written in order, read in order");
    }
}

pub async fn bytes_come_back_as_they_went(harness: &dyn LogHarness) {
    let binary: Bytes = (0..=255_u8).collect::<Vec<_>>().into();
    let headers = [("ce_id", &b"1"[..]), ("twice", b"a"), ("twice", &binary), ("empty", b"")];
    let full = NewRecord {
        topic: Topic::DeadLetterQueue,
        partition: 0,
        key: Bytes::from(fresh("ünïcode")),
        headers: headers.into_iter().collect(),
        value: binary.clone(),
    };
    let bare =
        NewRecord { key: Bytes::new(), headers: Headers::default(), value: Bytes::new(), ..full.clone() };
    let binary_key = NewRecord { key: binary, ..full.clone() };
    let largest = NewRecord { value: vec![7; full.topic.max_value_bytes()].into(), ..full.clone() };
    for new in [full, bare, binary_key, largest] {
        let offset = append(harness, vec![new.clone()]).await[0];
        let (records, _) = replay(harness, new.topic, 0, vec![offset..offset + 1], None).await;
        assert_eq!(records.len(), 1);
        let read = &records[0];
        assert_eq!((&read.key, &read.headers), (&new.key, &new.headers));
        assert!(read.value == new.value, "{} bytes came back as {}", new.value.len(), read.value.len());
    }
}

pub async fn timestamps_are_the_logs_append_time(harness: &dyn LogHarness) {
    /// A broker's clock is the machine's; a coarse timer may be this far off.
    const TOLERANCE_MS: i64 = 1_000;
    let key = fresh("time");
    let before = harness.now_ms();
    let mut offsets = Vec::new();
    for _ in 0..20 {
        offsets.extend(append(harness, vec![record(Topic::ConversationEvents, 0, &key, "t")]).await);
    }
    let after = harness.now_ms();
    let (records, _) =
        replay(harness, Topic::ConversationEvents, 0, vec![offsets[0]..offsets[19] + 1], Some(&key)).await;
    assert_eq!(records.len(), 20);
    let mut latest = before - TOLERANCE_MS;
    for record in &records {
        let at = record.timestamp_ms;
        assert!((before - TOLERANCE_MS..=after + TOLERANCE_MS).contains(&at), "{before} ≤ {at} ≤ {after}");
        assert!(at >= latest - TOLERANCE_MS, "the log's clock does not run backwards");
        latest = latest.max(at);
    }
}

pub async fn bounds_grow_with_the_log(harness: &dyn LogHarness) {
    let key = fresh("bounds");
    let log = harness.log();
    assert!(log.partitions() >= 2, "the suites need two partitions");
    let before = log.bounds(Topic::SynthesisRequests, 0).await.expect("bounds");
    assert!(before.start <= before.end);
    let offset = append(harness, vec![record(Topic::SynthesisRequests, 0, &key, "v")]).await[0];
    let after = log.bounds(Topic::SynthesisRequests, 0).await.expect("bounds");
    assert!(offset >= before.end && after.end > offset, "{before:?} then {offset} then {after:?}");
    let once = log.identity(Topic::SynthesisRequests, 0).await.expect("identity");
    let again = log.identity(Topic::SynthesisRequests, 0).await.expect("identity");
    assert_eq!(once, again, "a log is itself");
}

pub async fn what_is_too_large_or_has_no_place_is_refused(harness: &dyn LogHarness) {
    let key = fresh("refused");
    let log = harness.log();
    let fits = record(Topic::ConversationEvents, 0, &key, vec![b' '; MAX_RECORD_BYTES]);
    let offset = append(harness, vec![fits]).await[0];
    let nowhere = record(Topic::ConversationEvents, log.partitions(), &key, "v");
    let mut long_headers = record(Topic::ConversationEvents, 0, &key, "v");
    long_headers.headers = [("long", vec![b'x'; MAX_KEY_AND_HEADERS_BYTES])].into_iter().collect();
    let long = record(Topic::ConversationEvents, 0, &key, vec![b' '; MAX_RECORD_BYTES + 1]);
    for refused in [nowhere, long_headers, long] {
        let small = record(Topic::ConversationEvents, 0, &key, "small");
        match log.append(vec![small, refused]) {
            Err(AppendError::Refused(why)) => assert!(!why.is_empty()),
            other => panic!("refused at once, not {other:?}"),
        }
    }
    let last = append(harness, vec![record(Topic::ConversationEvents, 0, &key, "last")]).await[0];
    let (records, _) =
        replay(harness, Topic::ConversationEvents, 0, vec![offset + 1..last + 1], Some(&key)).await;
    assert_eq!(records.len(), 1, "nothing of a refused batch was enqueued");
}

pub async fn a_dropped_receipt_does_not_stop_the_append(harness: &dyn LogHarness) {
    let key = fresh("dropped");
    let from = harness.log().bounds(Topic::UserCommands, 0).await.expect("bounds").end;
    drop(harness.log().append(vec![record(Topic::UserCommands, 0, &key, "unheard")]).expect("enqueued"));
    let last = append(harness, vec![record(Topic::UserCommands, 0, &key, "heard")]).await[0];
    let (records, _) = replay(harness, Topic::UserCommands, 0, vec![from..last + 1], Some(&key)).await;
    assert_eq!(records.len(), 2);
}

pub async fn flush_waits_for_every_receipt(harness: &dyn LogHarness) {
    let key = fresh("flush");
    let log = harness.log();
    let mut receipts: Vec<_> = (0..50)
        .map(|i| log.append(vec![record(Topic::UserCommands, i % 2, &key, "v")]).expect("enqueued"))
        .collect();
    log.flush(Duration::from_secs(30)).await.expect("flushed in time");
    for receipt in &mut receipts {
        receipt.try_recv().expect("its fate is known after the flush").expect("acknowledged");
    }
    log.flush(Duration::from_secs(30)).await.expect("nothing to flush is no error");
}

pub async fn a_reopened_log_goes_on(harness: &dyn LogHarness) {
    let key = fresh("reopen");
    let place = (Topic::ConversationEvents, 1);
    let first = append(harness, vec![record(place.0, place.1, &key, "before")]).await[0];
    let identity = harness.log().identity(place.0, place.1).await.expect("identity");
    let (old, _) = replay(harness, place.0, place.1, vec![first..first + 1], None).await;
    if !harness.reopen().await {
        eprintln!("  left out: this log cannot be reopened");
        return;
    }
    assert_eq!(harness.log().identity(place.0, place.1).await.expect("identity"), identity);
    let second = append(harness, vec![record(place.0, place.1, &key, "after")]).await[0];
    assert!(second > first, "offsets go on: {first} then {second}");
    let (records, _) = replay(harness, place.0, place.1, vec![first..second + 1], Some(&key)).await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[0], old[0], "the same record to the byte");
    assert!(records[1].timestamp_ms >= records[0].timestamp_ms);
}
