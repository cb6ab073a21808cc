//! Contract of `Log::replay`: ranges read once, filtered, to the end and no further.

use super::harness::LogHarness;
use super::story::{append, fresh, record, replay};
use crate::log::LogError;
use crate::record::Topic;

pub async fn all(harness: &dyn LogHarness) {
    super::run!(
        harness,
        "replay",
        ranges_are_read_and_what_lies_between_is_not,
        a_key_filters,
        a_replay_ends_at_the_end,
        no_ranges_is_no_records,
        a_long_replay_is_whole_and_in_order,
        a_dropped_replay_harms_nobody,
        what_retention_took_is_out_of_range,
    );
}

pub async fn ranges_are_read_and_what_lies_between_is_not(harness: &dyn LogHarness) {
    let key = fresh("ranges");
    let batch = (0..30).map(|i| record(Topic::ConversationEvents, 0, &key, format!("{i:02}"))).collect();
    let at = append(harness, batch).await;
    let ranges = vec![at[2]..at[5], at[9]..at[9], at[10]..at[11], at[28]..at[29] + 1];
    let (records, error) = replay(harness, Topic::ConversationEvents, 0, ranges, Some(&key)).await;
    assert_eq!(error, None);
    let values: Vec<_> = records.iter().map(|r| std::str::from_utf8(&r.value).unwrap()).collect();
    assert_eq!(values, ["02", "03", "04", "10", "28", "29"]);
}

pub async fn a_key_filters(harness: &dyn LogHarness) {
    let (key, other) = (fresh("mine"), fresh("other"));
    let batch = (0..100)
        .map(|i| {
            record(Topic::ConversationEvents, 1, if i % 10 == 0 { &key } else { &other }, format!("{i}"))
        })
        .collect();
    let at = append(harness, batch).await;
    let range = at[0]..at[99] + 1;
    let (records, _) = replay(harness, Topic::ConversationEvents, 1, vec![range.clone()], Some(&key)).await;
    assert_eq!(records.len(), 10);
    assert!(records.iter().all(|r| r.key == key.as_bytes()));
    let nobody = fresh("nobody");
    let (records, error) =
        replay(harness, Topic::ConversationEvents, 1, vec![range.clone()], Some(&nobody)).await;
    assert_eq!((records.len(), error), (0, None));
    let (records, _) = replay(harness, Topic::ConversationEvents, 1, vec![range], None).await;
    assert!(records.len() >= 100, "without a key, everything");
}

pub async fn a_replay_ends_at_the_end(harness: &dyn LogHarness) {
    let key = fresh("end");
    let at = append(harness, vec![record(Topic::ConversationEvents, 0, &key, "v")]).await[0];
    let far = at + 1_000_000;
    let (records, error) =
        replay(harness, Topic::ConversationEvents, 0, vec![at..far, far..far + 10], Some(&key)).await;
    assert_eq!((records.len(), error), (1, None));
}

pub async fn no_ranges_is_no_records(harness: &dyn LogHarness) {
    let (records, error) = replay(harness, Topic::ConversationEvents, 0, Vec::new(), None).await;
    assert_eq!((records.len(), error), (0, None));
}

pub async fn a_long_replay_is_whole_and_in_order(harness: &dyn LogHarness) {
    let key = fresh("long");
    let mut offsets = Vec::new();
    for block in 0..10 {
        let batch = (0..500)
            .map(|i| record(Topic::ConversationEvents, 0, &key, format!("{:06}", block * 500 + i)))
            .collect();
        offsets.extend(append(harness, batch).await);
    }
    let range = offsets[0]..offsets[4_999] + 1;
    let (records, error) = replay(harness, Topic::ConversationEvents, 0, vec![range], Some(&key)).await;
    assert_eq!((records.len(), error), (5_000, None));
    assert!(records.iter().enumerate().all(|(i, r)| r.value == format!("{i:06}").as_bytes()));
}

pub async fn a_dropped_replay_harms_nobody(harness: &dyn LogHarness) {
    let key = fresh("dropped");
    let batch = (0..500).map(|_| record(Topic::ConversationEvents, 0, &key, vec![0; 1_000])).collect();
    let at = append(harness, batch).await;
    for _ in 0..20 {
        drop(harness.log().replay(Topic::ConversationEvents, 0, vec![at[0]..at[499] + 1], None));
    }
    let (records, _) =
        replay(harness, Topic::ConversationEvents, 0, vec![at[0]..at[499] + 1], Some(&key)).await;
    assert_eq!(records.len(), 500);
}

pub async fn what_retention_took_is_out_of_range(harness: &dyn LogHarness) {
    let key = fresh("trimmed");
    let place = (Topic::SynthesisRequests, 1);
    let batch = (0..10).map(|i| record(place.0, place.1, &key, format!("{i}"))).collect();
    let at = append(harness, batch).await;
    if !harness.trim(place.0, place.1, at[4]).await {
        eprintln!("  left out: this log cannot be trimmed");
        return;
    }
    let bounds = harness.log().bounds(place.0, place.1).await.expect("bounds");
    assert_eq!(bounds.start, at[4]);
    let (records, error) = replay(harness, place.0, place.1, vec![at[0]..at[9] + 1], None).await;
    assert!(records.is_empty(), "a hole is not passed over in silence");
    match error {
        Some(LogError::OutOfRange { wanted, start, .. }) => assert_eq!((wanted, start), (at[0], at[4])),
        other => panic!("out of range, not {other:?}"),
    }
    let (records, error) = replay(harness, place.0, place.1, vec![at[4]..at[9] + 1], None).await;
    assert_eq!((records.len(), error), (6, None));
}
