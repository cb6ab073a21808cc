//! Contract of `Inbox` for one member at a time: assignment, committed positions, pausing, gaps.
//! Several members are in `members`.

use super::harness::LogHarness;
use super::story::{Member, append, fresh, next, record, within};
use crate::inbox::{Committed, InboxEvent, Joining};
use crate::record::Topic;

pub async fn all(harness: &dyn LogHarness) {
    super::run!(
        harness,
        "inbox",
        a_first_join_starts_at_the_beginning_and_goes_on_live,
        a_group_resumes_where_it_committed,
        another_topics_position_is_kept_too,
        a_paused_partition_waits,
        two_groups_get_everything_each,
        lanes_divide_the_partitions,
        what_was_deleted_unread_is_a_gap,
        positions_survive_reopening,
    );
}

const COMMANDS: Topic = Topic::UserCommands;

pub(super) fn join(harness: &dyn LogHarness, group: &str, topic: Topic) -> Member {
    let joining = Joining { group: group.to_owned(), topic, lanes: 1 };
    Member::new(harness.inbox().join(joining).expect("a member"))
}

/// A member that has all partitions.
pub(super) async fn join_whole(harness: &dyn LogHarness, group: &str, topic: Topic) -> Member {
    let mut member = join(harness, group, topic);
    let partitions = harness.log().partitions() as usize;
    member.until(harness, "all partitions", |m| m.assigned.len() == partitions).await;
    member
}

pub async fn a_first_join_starts_at_the_beginning_and_goes_on_live(harness: &dyn LogHarness) {
    let key = fresh("first");
    append(harness, vec![record(COMMANDS, 0, &key, "0"), record(COMMANDS, 0, &key, "1")]).await;
    let mut member = join_whole(harness, &fresh("group"), COMMANDS).await;
    assert!(member.assigned.iter().all(|(_, committed)| committed.is_none()), "nothing was committed yet");
    member.until(harness, "what was there before", |m| m.values(&key).len() == 2).await;
    for i in 2..10 {
        append(harness, vec![record(COMMANDS, 0, &key, format!("{i}"))]).await;
        member.until(harness, "a live record", |m| m.values(&key).len() == i + 1).await;
    }
    let values = member.values(&key);
    assert!(values.iter().enumerate().all(|(i, v)| *v == format!("{i}").as_bytes()), "{values:?}");
    member.leave(harness).await;
}

pub async fn a_group_resumes_where_it_committed(harness: &dyn LogHarness) {
    let (group, key) = (fresh("group"), fresh("resume"));
    let batch = (0..5).map(|i| record(COMMANDS, 1, &key, format!("{i}"))).collect();
    let at = append(harness, batch).await;
    let mut member = join_whole(harness, &group, COMMANDS).await;
    member.until(harness, "the records", |m| m.values(&key).len() == 5).await;
    // The later of two commits under way counts, forwards or backwards.
    let position = Committed { next_offset: at[3], metadata: "3 done, [5] above".to_owned() };
    member.membership.control.commit(COMMANDS, 1, Committed { next_offset: at[4], metadata: String::new() });
    member.membership.control.commit(COMMANDS, 1, position.clone());
    member.leave(harness).await;

    let mut member = join_whole(harness, &group, COMMANDS).await;
    let committed = member.assigned.iter().find(|(p, _)| *p == 1).and_then(|(_, c)| c.clone());
    assert_eq!(committed, Some(position.clone()));
    member.until(harness, "the rest", |m| m.values(&key).len() == 2).await;
    let first = member.records.iter().find(|r| r.partition == 1).expect("a record of partition 1");
    assert_eq!(first.offset, at[3], "from the committed position, not before, not after");
    let told = within(harness, "the position", member.membership.control.committed(COMMANDS, 1)).await;
    assert_eq!(told, Ok(Some(position)));
    member.leave(harness).await;
}

pub async fn another_topics_position_is_kept_too(harness: &dyn LogHarness) {
    let group = fresh("group");
    let events = Topic::ConversationEvents;
    let member = join_whole(harness, &group, COMMANDS).await;
    let control = member.membership.control.clone();
    let before = within(harness, "no position", control.committed(events, 0)).await;
    assert_eq!(before, Ok(None));
    let position = Committed { next_offset: 17, metadata: "dead letters".to_owned() };
    control.commit(events, 0, position.clone());
    drop(control);
    member.leave(harness).await;
    let member = join_whole(harness, &group, COMMANDS).await;
    let after = within(harness, "the position", member.membership.control.committed(events, 0)).await;
    assert_eq!(after, Ok(Some(position)));
    member.leave(harness).await;
}

pub async fn a_paused_partition_waits(harness: &dyn LogHarness) {
    let key = fresh("paused");
    let mut member = join_whole(harness, &fresh("group"), COMMANDS).await;
    member.membership.control.pause(0);
    // Steering takes effect soon: two round trips through the other partition are later than that.
    for i in 0..2 {
        append(harness, vec![record(COMMANDS, 1, &key, "signal")]).await;
        member.until(harness, "a signal", |m| m.values(&key).len() == i + 1).await;
    }
    let waiting = append(harness, vec![record(COMMANDS, 0, &key, "waiting")]).await[0];
    for i in 2..5 {
        append(harness, vec![record(COMMANDS, 1, &key, "signal")]).await;
        member.until(harness, "a signal", |m| m.values(&key).len() == i + 1).await;
    }
    assert!(!member.values(&key).contains(&"waiting".into()), "a paused partition is silent");
    member.membership.control.resume(0);
    member.until(harness, "the paused record", |m| m.values(&key).contains(&"waiting".into())).await;
    let arrived = member.records.iter().filter(|r| r.partition == 0 && r.offset == waiting).count();
    assert_eq!(arrived, 1);
    member.leave(harness).await;
}

pub async fn two_groups_get_everything_each(harness: &dyn LogHarness) {
    let key = fresh("groups");
    let mut one = join_whole(harness, &fresh("one"), COMMANDS).await;
    let mut two = join_whole(harness, &fresh("two"), COMMANDS).await;
    let batch = (0..20).map(|i| record(COMMANDS, i % 2, &key, format!("{i}"))).collect();
    append(harness, batch).await;
    one.until(harness, "everything in one", |m| m.values(&key).len() == 20).await;
    two.until(harness, "everything in two", |m| m.values(&key).len() == 20).await;
    one.leave(harness).await;
    two.leave(harness).await;
}

pub async fn lanes_divide_the_partitions(harness: &dyn LogHarness) {
    let key = fresh("lanes");
    let joining = Joining { group: fresh("group"), topic: COMMANDS, lanes: 2 };
    let mut membership = harness.inbox().join(joining).expect("a member");
    append(harness, vec![record(COMMANDS, 0, &key, "0"), record(COMMANDS, 1, &key, "1")]).await;
    // Lane 0 is not drained meanwhile: it holds back only its own partitions.
    for lane in [1_usize, 0] {
        let mut found = false;
        while !found {
            match next(harness, "the lane's record", &mut membership.lanes[lane]).await {
                InboxEvent::Assigned { partition, .. } => assert_eq!(partition as usize % 2, lane),
                InboxEvent::Batch(batch) => {
                    assert_eq!(batch.partition as usize % 2, lane, "partition p speaks in lane p mod lanes");
                    found = batch.records.iter().any(|r| r.key == key.as_bytes());
                }
                other => panic!("only assignments and records, not {other:?}"),
            }
        }
    }
    drop(membership.lanes);
    within(harness, "leaving without lanes", membership.control.leave()).await;
}

pub async fn what_was_deleted_unread_is_a_gap(harness: &dyn LogHarness) {
    let (group, key) = (fresh("group"), fresh("gap"));
    let topic = Topic::SynthesisRequests;
    let batch = (0..10).map(|i| record(topic, 0, &key, format!("{i}"))).collect();
    let at = append(harness, batch).await;
    let member = join_whole(harness, &group, topic).await;
    member.membership.control.commit(topic, 0, Committed { next_offset: at[1], metadata: String::new() });
    member.leave(harness).await;
    if !harness.trim(topic, 0, at[6]).await {
        eprintln!("  left out: this log cannot be trimmed");
        return;
    }
    let mut member = join(harness, &group, topic);
    let mut gap = None;
    while gap.is_none() {
        let event = next(harness, "the gap", &mut member.membership.lanes[0]).await;
        match member.take(event) {
            Some(InboxEvent::Gap { partition, from, to }) => gap = Some((partition, from, to)),
            Some(other) => panic!("a gap, not {other:?}"),
            None => assert!(member.records.iter().all(|r| r.partition != 0), "the gap is told first"),
        }
    }
    assert_eq!(gap, Some((0, at[1], at[6])));
    member.until(harness, "what is left", |m| m.values(&key).len() == 4).await;
    member.leave(harness).await;
}

pub async fn positions_survive_reopening(harness: &dyn LogHarness) {
    let (group, key) = (fresh("group"), fresh("reopened"));
    let at = append(harness, vec![record(COMMANDS, 0, &key, "0"), record(COMMANDS, 0, &key, "1")]).await;
    let position = Committed { next_offset: at[1], metadata: "kept".to_owned() };
    let member = join_whole(harness, &group, COMMANDS).await;
    member.membership.control.commit(COMMANDS, 0, position.clone());
    member.leave(harness).await;
    if !harness.reopen().await {
        eprintln!("  left out: this log cannot be reopened");
        return;
    }
    let mut member = join_whole(harness, &group, COMMANDS).await;
    assert!(member.assigned.contains(&(0, Some(position))), "{:?}", member.assigned);
    member.until(harness, "the second record", |m| !m.values(&key).is_empty()).await;
    assert_eq!(member.values(&key)[0], "1");
    member.leave(harness).await;
}
