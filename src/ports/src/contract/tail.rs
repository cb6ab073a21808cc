//! Contract of `Log::tail`: live reading of chosen partitions, lane by lane.

use super::harness::LogHarness;
use super::story::{append, append_to, assert_in_order, fresh, next, record, tail_until};
use crate::log::{LogError, TailEvent};
use crate::record::Topic;

pub async fn all(harness: &dyn LogHarness) {
    super::run!(
        harness,
        "tail",
        a_tail_reads_from_its_offset_and_goes_on_live,
        a_new_generation_replaces_the_old,
        an_unassigned_partition_is_silent,
        a_lane_that_is_not_drained_holds_back_nobody_else_and_loses_nothing,
        partitions_of_one_lane_stay_in_order,
        a_position_that_is_not_in_the_log_fails,
    );
}

const EVENTS: Topic = Topic::ConversationEvents;

pub async fn a_tail_reads_from_its_offset_and_goes_on_live(harness: &dyn LogHarness) {
    let key = fresh("tail");
    let batch = (0..10).map(|i| record(EVENTS, 0, &key, format!("{i}"))).collect();
    let at = append(harness, batch).await;
    let mut tail = harness.log().tail(EVENTS, 1).expect("a tail");
    tail.control.assign(0, at[3], 1);
    let old = tail_until(harness, &mut tail.lanes[0], &key, 7, 1).await;
    assert_eq!(old.iter().map(|r| r.offset).collect::<Vec<_>>(), at[3..]);
    for i in 0..20 {
        let live = append(harness, vec![record(EVENTS, 0, &key, format!("live {i}"))]).await[0];
        let read = tail_until(harness, &mut tail.lanes[0], &key, 1, 1).await;
        assert_eq!((read.len(), read[0].offset), (1, live), "each once, as it is appended");
        assert_eq!(read[0].value, format!("live {i}").as_bytes());
    }
}

pub async fn a_new_generation_replaces_the_old(harness: &dyn LogHarness) {
    let key = fresh("generation");
    let batch = (0..10).map(|i| record(EVENTS, 1, &key, format!("{i}"))).collect();
    let at = append(harness, batch).await;
    let mut tail = harness.log().tail(EVENTS, 1).expect("a tail");
    tail.control.assign(1, at[5], 7);
    assert_eq!(tail_until(harness, &mut tail.lanes[0], &key, 5, 7).await[0].offset, at[5]);
    tail.control.assign(1, at[2], 8);
    let again = tail_until(harness, &mut tail.lanes[0], &key, 8, 8).await;
    assert_eq!(again.iter().map(|r| r.offset).collect::<Vec<_>>(), at[2..]);
    let last = append(harness, vec![record(EVENTS, 1, &key, "last")]).await[0];
    match next(harness, "the last record", &mut tail.lanes[0]).await {
        TailEvent::Batch { generation, batch } => {
            assert_eq!(generation, 8, "the old generation is silent once the new one spoke");
            assert_eq!(batch.records[0].offset, last);
        }
        TailEvent::Failed { error, .. } => panic!("the tail failed: {error}"),
    }
}

pub async fn an_unassigned_partition_is_silent(harness: &dyn LogHarness) {
    let key = fresh("unassigned");
    let from = append(harness, vec![record(EVENTS, 0, &key, "a"), record(EVENTS, 1, &key, "b")]).await;
    let mut tail = harness.log().tail(EVENTS, 1).expect("a tail");
    tail.control.assign(0, from[0], 1);
    tail_until(harness, &mut tail.lanes[0], &key, 1, 1).await;
    tail.control.unassign(0);
    // Steering keeps its order, so once this assignment speaks the unassignment is in force.
    tail.control.assign(1, from[1], 2);
    tail_until(harness, &mut tail.lanes[0], &key, 1, 2).await;
    let silent = append(harness, vec![record(EVENTS, 0, &key, "silent")]).await[0];
    append(harness, vec![record(EVENTS, 1, &key, "spoken")]).await;
    match next(harness, "the spoken record", &mut tail.lanes[0]).await {
        TailEvent::Batch { batch, generation } => assert_eq!((batch.partition, generation), (1, 2)),
        TailEvent::Failed { error, .. } => panic!("the tail failed: {error}"),
    }
    tail.control.assign(0, silent, 3);
    assert_eq!(tail_until(harness, &mut tail.lanes[0], &key, 1, 3).await[0].offset, silent);
}

pub async fn a_lane_that_is_not_drained_holds_back_nobody_else_and_loses_nothing(harness: &dyn LogHarness) {
    /// Well above what lanes and fetch queues hold, so that the undrained lane does fill up.
    const BATCHES: usize = 60;
    const BATCH: usize = 300;
    let key = fresh("stalled");
    let log = harness.log();
    let mut tail = log.tail(EVENTS, 2).expect("a tail");
    let from = [0, 1].map(|partition| log.bounds(EVENTS, partition));
    let [first, second] = from;
    tail.control.assign(0, first.await.expect("bounds").end, 1);
    tail.control.assign(1, second.await.expect("bounds").end, 1);
    for block in 0..BATCHES {
        let mut batch: Vec<_> = (0..BATCH).map(|_| record(EVENTS, 0, &key, vec![b'x'; 1_000])).collect();
        batch.push(record(EVENTS, 1, &key, format!("{block:03}")));
        append_to(&*log, batch).await.expect("acknowledged");
        let read = tail_until(harness, &mut tail.lanes[1], &key, 1, 1).await;
        assert_eq!(read[0].value, format!("{block:03}").as_bytes());
    }
    let held_back = tail_until(harness, &mut tail.lanes[0], &key, BATCHES * BATCH, 1).await;
    assert_eq!(held_back.len(), BATCHES * BATCH, "nothing lost, nothing twice");
}

pub async fn partitions_of_one_lane_stay_in_order(harness: &dyn LogHarness) {
    let key = fresh("one-lane");
    let log = harness.log();
    let mut tail = log.tail(EVENTS, 1).expect("a tail");
    for partition in [0, 1] {
        tail.control.assign(partition, log.bounds(EVENTS, partition).await.expect("bounds").end, 1);
    }
    for i in 0..50 {
        let batch = [0, 1].map(|partition| record(EVENTS, partition, &key, format!("{i:02}")));
        append(harness, batch.to_vec()).await;
    }
    let mut read = [Vec::new(), Vec::new()];
    while read[0].len() + read[1].len() < 100 {
        match next(harness, "100 records", &mut tail.lanes[0]).await {
            TailEvent::Batch { batch, .. } => {
                assert!(batch.records.iter().all(|r| r.partition == batch.partition));
                let mine = batch.records.iter().filter(|r| r.key == key.as_bytes()).cloned();
                read[batch.partition as usize].extend(mine);
            }
            TailEvent::Failed { error, .. } => panic!("the tail failed: {error}"),
        }
    }
    for records in read {
        assert_in_order(&records);
        assert!(records.iter().enumerate().all(|(i, r)| r.value == format!("{i:02}").as_bytes()));
    }
}

pub async fn a_position_that_is_not_in_the_log_fails(harness: &dyn LogHarness) {
    let key = fresh("position");
    let place = (Topic::SynthesisRequests, 0);
    let batch = (0..5).map(|i| record(place.0, place.1, &key, format!("{i}"))).collect();
    let at = append(harness, batch).await;
    let mut tail = harness.log().tail(place.0, 1).expect("a tail");
    let mut wrong = vec![at[4] + 1_000_000];
    if harness.trim(place.0, place.1, at[2]).await {
        wrong.push(at[0]);
    }
    for (generation, from) in wrong.into_iter().enumerate() {
        tail.control.assign(place.1, from, generation as u64);
        match next(harness, "a failure", &mut tail.lanes[0]).await {
            TailEvent::Failed { partition, generation: of, error: LogError::OutOfRange { wanted, .. } } => {
                assert_eq!((partition, of, wanted), (place.1, generation as u64, from));
            }
            other => panic!("out of range, not {other:?}"),
        }
    }
    tail.control.assign(place.1, at[2], 100);
    let read = tail_until(harness, &mut tail.lanes[0], &key, 3, 100).await;
    assert_eq!(read[0].offset, at[2], "a failed assignment leaves room for a right one");
}
