//! Contract of `SnapshotStore`: flushes are atomic, reading gives what was flushed, damage is never a panic.

use std::ops::Range;

use callboard_domain::conversation::State;
use callboard_domain::id::ConversationId;
use callboard_domain::open_turns::{OpenBrief, OpenStatus};

use super::harness::SnapshotHarness;
use super::story::fresh;
use crate::log::LogIdentity;
use crate::snapshot::{Checkpoint, Dirty, Flush, Open, SnapshotError, SnapshotStore, Stored, decode, encode};

pub async fn all(harness: &dyn SnapshotHarness) {
    super::run!(
        harness,
        "snapshot",
        the_unknown_is_empty,
        a_flush_is_read_back_whole,
        a_later_flush_replaces_and_adds,
        whoever_asks_behind_a_flush_sees_it,
        offsets_are_coalesced,
        open_turns_come_by_wake_time_and_go_when_closed,
        what_is_open_is_read_back_whole,
        conversations_are_paged_in_order,
        partitions_do_not_mix_and_are_discarded_alone,
        a_reopened_store_has_everything,
        a_closed_store_fails_politely,
        damage_is_noticed_and_never_a_panic,
    );
}

fn conversation(name: &str) -> ConversationId {
    ConversationId::new(&fresh(name)).expect("a fresh name is an id")
}

fn identity() -> LogIdentity {
    LogIdentity("log-under-test".to_owned())
}

fn snapshot_of(conversation: &ConversationId, partition: u32, next_offset: u64) -> Vec<u8> {
    let mut state = State::new(conversation.clone());
    state.next_offset = next_offset;
    encode(&state, partition, &identity())
}

fn dirty(conversation: &ConversationId, partition: u32, offsets: &[u64], wake_at_ms: Option<i64>) -> Dirty {
    let next = offsets.last().map_or(0, |last| last + 1);
    let snapshot = snapshot_of(conversation, partition, next);
    let open = wake_at_ms.map(|wake_at_ms| open(Some(wake_at_ms), 1));
    Dirty { conversation: conversation.clone(), snapshot, offsets: offsets.to_vec(), open }
}

fn open(wake_at_ms: Option<i64>, turn: u32) -> Open {
    let status = OpenStatus::InDoubt;
    Open {
        wake_at_ms,
        turns: vec![OpenBrief {
            turn,
            received_ms: -7,
            status,
            doubts: 2,
            approvals: 1,
            approval_since_ms: Some(-3),
            tools: u64::MAX,
        }],
    }
}

async fn flush(store: &dyn SnapshotStore, partition: u32, dirty: Vec<Dirty>, next_offset: u64) {
    let checkpoint = Checkpoint { identity: identity(), next_offset };
    store.flush(Flush { partition, dirty, checkpoint }).await.expect("flushed");
}

fn covers(ranges: &[Range<u64>], offsets: &[u64]) -> bool {
    offsets.iter().all(|offset| ranges.iter().any(|range| range.contains(offset)))
}

pub async fn the_unknown_is_empty(harness: &dyn SnapshotHarness) {
    let store = harness.store();
    assert_eq!(store.checkpoint(60).await, Ok(None));
    assert_eq!(store.load(60, &conversation("unknown")).await, Ok(Stored::default()));
    assert_eq!(store.open_turns(60, 10).await, Ok(Vec::new()));
    assert_eq!(store.conversations(60, None, 10).await, Ok(Vec::new()));
    store.discard(60).await.expect("nothing to forget is no error");
}

pub async fn a_flush_is_read_back_whole(harness: &dyn SnapshotHarness) {
    let (store, id) = (harness.store(), conversation("whole"));
    flush(&*store, 0, vec![dirty(&id, 0, &[3, 4, 8], None)], 9).await;
    let checkpoint = Checkpoint { identity: identity(), next_offset: 9 };
    assert_eq!(store.checkpoint(0).await, Ok(Some(checkpoint)));
    let stored = store.load(0, &id).await.expect("loaded");
    let bytes = stored.snapshot.expect("a snapshot");
    let state = decode(&bytes, &id, 0, &identity(), 9).expect("it verifies");
    assert_eq!(state.next_offset, 9);
    assert!(covers(&stored.offsets, &[3, 4, 8]), "{:?}", stored.offsets);
    flush(&*store, 0, Vec::new(), 20).await;
    let moved = store.checkpoint(0).await.expect("read").expect("there");
    assert_eq!(moved.next_offset, 20, "a flush of nothing but the checkpoint moves it");
}

pub async fn a_later_flush_replaces_and_adds(harness: &dyn SnapshotHarness) {
    let (store, id) = (harness.store(), conversation("replaced"));
    flush(&*store, 1, vec![dirty(&id, 1, &[1, 2], None)], 3).await;
    flush(&*store, 1, vec![dirty(&id, 1, &[2, 7], None)], 8).await;
    let stored = store.load(1, &id).await.expect("loaded");
    assert_eq!(stored.snapshot, Some(snapshot_of(&id, 1, 8)), "replaced");
    assert!(covers(&stored.offsets, &[1, 2, 7]), "added: {:?}", stored.offsets);
}

pub async fn whoever_asks_behind_a_flush_sees_it(harness: &dyn SnapshotHarness) {
    let store = harness.store();
    for round in 1..=20 {
        let id = conversation("behind");
        assert_eq!(store.load(41, &id).await, Ok(Stored::default()), "new");
        let checkpoint = Checkpoint { identity: identity(), next_offset: round };
        let flushed =
            store.flush(Flush { partition: 41, dirty: vec![dirty(&id, 41, &[round - 1], None)], checkpoint });
        let (flushed, stored) = tokio::join!(flushed, store.load(41, &id));
        flushed.expect("flushed");
        assert_eq!(stored.expect("loaded").snapshot, Some(snapshot_of(&id, 41, round)));
    }
}

pub async fn offsets_are_coalesced(harness: &dyn SnapshotHarness) {
    let (store, id) = (harness.store(), conversation("coalesced"));
    let far = 10_000_000;
    let mut all = Vec::new();
    for block in 0..40_u64 {
        let offsets: Vec<u64> = (block * 100..block * 100 + 100).collect();
        flush(&*store, 2, vec![dirty(&id, 2, &offsets, None)], block * 100 + 100).await;
        all.extend(offsets);
    }
    flush(&*store, 2, vec![dirty(&id, 2, &[far, far + 1], None)], far + 2).await;
    all.extend([far, far + 1]);
    let ranges = store.load(2, &id).await.expect("loaded").offsets;
    assert!(covers(&ranges, &all));
    assert!(ranges.len() <= 41, "neighbours become ranges, not {} of them", ranges.len());
    assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "ascending and apart: {ranges:?}");
    assert!(!covers(&ranges, &[far / 2]), "what is far away is not read over");
    assert_eq!(ranges.last().map(|range| range.end), Some(far + 2), "nothing beyond the last event");
}

pub async fn open_turns_come_by_wake_time_and_go_when_closed(harness: &dyn SnapshotHarness) {
    let store = harness.store();
    let ids: Vec<_> = (0..5).map(|i| conversation(&format!("open{i}"))).collect();
    let wakes = [500, -3, 9_999_999_999_999, 40, 500];
    let all = ids.iter().zip(wakes).map(|(id, wake)| dirty(id, 3, &[1], Some(wake))).collect();
    flush(&*store, 3, all, 2).await;
    let wakes = |open: &[(ConversationId, Open)]| -> Vec<i64> {
        open.iter().filter_map(|(_, open)| open.wake_at_ms).collect()
    };
    let open = store.open_turns(3, 100).await.expect("read");
    assert_eq!(wakes(&open), [-3, 40, 500, 500, 9_999_999_999_999]);
    assert_eq!((&open[0].0, &open[1].0), (&ids[1], &ids[3]));
    assert_eq!(store.open_turns(3, 2).await.expect("read"), open[..2]);
    flush(&*store, 3, vec![dirty(&ids[1], 3, &[2], None), dirty(&ids[3], 3, &[3], Some(600))], 4).await;
    let open = store.open_turns(3, 100).await.expect("read");
    assert_eq!(wakes(&open), [500, 500, 600, 9_999_999_999_999], "closed is gone, moved is there once");
    assert!(open.iter().all(|(id, _)| *id != ids[1]));
    assert_eq!(open[2].0, ids[3]);
}

pub async fn what_is_open_is_read_back_whole(harness: &dyn SnapshotHarness) {
    let store = harness.store();
    let (waits, rests) = (conversation("waits"), conversation("rests"));
    let with = |id: &ConversationId, open| Dirty { open: Some(open), ..dirty(id, 9, &[1], None) };
    flush(&*store, 9, vec![with(&rests, open(None, 1)), with(&waits, open(Some(5), 1))], 2).await;
    let expected = vec![(waits.clone(), open(Some(5), 1)), (rests.clone(), open(None, 1))];
    assert_eq!(store.open_turns(9, 10).await, Ok(expected), "what time does not change comes last");
    flush(&*store, 9, vec![with(&rests, open(None, 2)), dirty(&waits, 9, &[2], None)], 3).await;
    assert_eq!(store.open_turns(9, 10).await, Ok(vec![(rests, open(None, 2))]), "replaced where it stood");
}

pub async fn conversations_are_paged_in_order(harness: &dyn SnapshotHarness) {
    let store = harness.store();
    let mut ids: Vec<_> = (0..25).map(|i| conversation(&format!("page{:02}", 24 - i))).collect();
    // Prefixes of each other must not be mistaken for each other.
    ids.extend(["a", "a.", "a.b", "a-b", "aa"].map(|id| ConversationId::new(id).expect("an id")));
    flush(&*store, 4, ids.iter().map(|id| dirty(id, 4, &[1], Some(1))).collect(), 2).await;
    ids.sort();
    let mut read: Vec<ConversationId> = Vec::new();
    loop {
        let page = store.conversations(4, read.last(), 7).await.expect("read");
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, ids);
}

pub async fn partitions_do_not_mix_and_are_discarded_alone(harness: &dyn SnapshotHarness) {
    let (store, id) = (harness.store(), conversation("partitions"));
    flush(&*store, 5, vec![dirty(&id, 5, &[1], Some(5))], 2).await;
    flush(&*store, 6, vec![dirty(&id, 6, &[8], Some(6))], 9).await;
    store.discard(5).await.expect("discarded");
    assert_eq!(store.checkpoint(5).await, Ok(None));
    assert_eq!(store.load(5, &id).await, Ok(Stored::default()));
    assert_eq!(store.open_turns(5, 10).await, Ok(Vec::new()));
    assert_eq!(store.conversations(5, None, 10).await, Ok(Vec::new()));
    assert_eq!(store.load(6, &id).await.expect("loaded").snapshot, Some(snapshot_of(&id, 6, 9)));
    assert_eq!(store.open_turns(6, 10).await, Ok(vec![(id.clone(), open(Some(6), 1))]));
    flush(&*store, 5, vec![dirty(&id, 5, &[7], None)], 8).await;
    assert!(!covers(&store.load(5, &id).await.expect("loaded").offsets, &[1]), "forgotten for good");
}

pub async fn a_reopened_store_has_everything(harness: &dyn SnapshotHarness) {
    let id = conversation("reopened");
    flush(&*harness.store(), 7, vec![dirty(&id, 7, &[1, 5], Some(77))], 6).await;
    if !harness.reopen().await {
        eprintln!("  left out: this store keeps nothing");
        return;
    }
    let store = harness.store();
    assert_eq!(store.checkpoint(7).await.expect("read").map(|c| c.next_offset), Some(6));
    let stored = store.load(7, &id).await.expect("loaded");
    assert_eq!(stored.snapshot, Some(snapshot_of(&id, 7, 6)));
    assert!(covers(&stored.offsets, &[1, 5]));
    assert_eq!(store.open_turns(7, 10).await, Ok(vec![(id, open(Some(77), 1))]));
}

pub async fn a_closed_store_fails_politely(harness: &dyn SnapshotHarness) {
    if !harness.reopen().await {
        eprintln!("  left out: this store keeps nothing");
        return;
    }
    let store = harness.store();
    store.close().await;
    store.close().await;
    assert!(matches!(store.checkpoint(0).await, Err(SnapshotError::Failed(_))));
    assert!(matches!(store.load(0, &conversation("late")).await, Err(SnapshotError::Failed(_))));
    assert!(harness.reopen().await);
    assert!(harness.store().checkpoint(0).await.is_ok());
}

pub async fn damage_is_noticed_and_never_a_panic(harness: &dyn SnapshotHarness) {
    let ids: Vec<_> = (0..50).map(|i| conversation(&format!("damaged{i}"))).collect();
    let all = ids.iter().map(|id| dirty(id, 8, &[1, 2, 3], Some(1))).collect();
    flush(&*harness.store(), 8, all, 4).await;
    if !harness.damage().await {
        eprintln!("  left out: there is nothing to damage");
        return;
    }
    let store = harness.store();
    let checkpoint = store.checkpoint(8).await;
    for id in &ids {
        // Either the caller is told, or what is read verifies, or it is not there.
        let Ok(stored) = store.load(8, id).await else { continue };
        let whole = stored.snapshot.as_ref().is_some_and(|b| decode(b, id, 8, &identity(), 4).is_ok());
        let behind = matches!(&checkpoint, Ok(Some(checkpoint)) if checkpoint.next_offset == 4);
        assert!(
            whole || !behind || stored.snapshot.is_some(),
            "the checkpoint covers {id}, which is missing"
        );
    }
    let _ = store.open_turns(8, 100).await;
    let _ = store.conversations(8, None, 100).await;
    store.discard(8).await.expect("what does not verify can be thrown away");
    assert_eq!(store.checkpoint(8).await, Ok(None));
    flush(&*store, 8, vec![dirty(&ids[0], 8, &[9], None)], 10).await;
    let stored = store.load(8, &ids[0]).await.expect("loaded");
    assert_eq!(stored.snapshot, Some(snapshot_of(&ids[0], 8, 10)), "and the store works again");
}
