//! Contract of `Inbox` for several members of one group, where the log has several processes.

use std::collections::BTreeMap;

use super::harness::LogHarness;
use super::inbox::join_whole;
use super::story::{Member, append, fresh, next, record, within};
use crate::inbox::{Committed, InboxEvent, Joining};
use crate::record::Topic;

pub async fn all(harness: &dyn LogHarness) {
    super::run!(
        harness,
        "members",
        two_members_share_and_a_revocation_is_acked_first,
        who_leaves_hands_over_at_once
    );
}

const COMMANDS: Topic = Topic::UserCommands;

pub async fn two_members_share_and_a_revocation_is_acked_first(harness: &dyn LogHarness) {
    let Some(other) = harness.other_inbox() else {
        eprintln!("  left out: this log has one process only");
        return;
    };
    let group = fresh("group");
    let partitions = harness.log().partitions() as usize;
    let mut one = join_whole(harness, &group, COMMANDS).await;
    let joining = Joining { group: group.clone(), topic: COMMANDS, lanes: 1 };
    let mut two = Member::new(other.join(joining).expect("a second member"));
    // What the first member committed on its way out of each partition.
    let mut handed: BTreeMap<u32, Committed> = BTreeMap::new();
    within(harness, "both to have their share", async {
        while two.assigned.len() < partitions / 2 || one.assigned.len() + two.assigned.len() < partitions {
            tokio::select! {
                biased;
                event = two.membership.lanes[0].recv() => {
                    let event = event.expect("the second member lives");
                    if let InboxEvent::Assigned { partition, committed } = &event {
                        let expected = handed.get(partition);
                        assert!(expected.is_some(), "{partition} was assigned before its revocation was acked");
                        assert_eq!(committed.as_ref(), expected, "commits sent before the ack count");
                    }
                    assert!(two.take(event).is_none(), "nothing is taken from the second member");
                }
                event = one.membership.lanes[0].recv() => {
                    match one.take(event.expect("the first member lives")) {
                        Some(InboxEvent::Revoked { partition, ack }) => {
                            let bounds = harness.log().bounds(COMMANDS, partition).await.expect("bounds");
                            let position = Committed { next_offset: bounds.end, metadata: format!("p{partition}") };
                            one.membership.control.commit(COMMANDS, partition, position.clone());
                            handed.insert(partition, position);
                            one.assigned.retain(|(p, _)| *p != partition);
                            let _ = ack.send(());
                        }
                        Some(other) => panic!("{other:?}"),
                        None => {}
                    }
                }
            }
        }
    })
    .await;
    assert!(!one.assigned.is_empty(), "both have a share");
    each_record_reaches_its_owner(harness, &mut one, &mut two).await;
    two.leave(harness).await;
    one.leave(harness).await;
}

async fn each_record_reaches_its_owner(harness: &dyn LogHarness, one: &mut Member, two: &mut Member) {
    let key = fresh("shared");
    let partitions = harness.log().partitions();
    append(harness, (0..partitions).map(|p| record(COMMANDS, p, &key, format!("{p}"))).collect()).await;
    let (of_one, of_two) = (one.assigned.len(), two.assigned.len());
    one.until(harness, "its share", |m| m.values(&key).len() == of_one).await;
    two.until(harness, "its share", |m| m.values(&key).len() == of_two).await;
    for member in [one, two] {
        let mine = member.records.iter().filter(|r| r.key == key.as_bytes());
        assert!(mine.clone().all(|r| member.has(r.partition)), "records go to the partition's owner");
    }
}

pub async fn who_leaves_hands_over_at_once(harness: &dyn LogHarness) {
    let Some(other) = harness.other_inbox() else {
        eprintln!("  left out: this log has one process only");
        return;
    };
    let (group, key) = (fresh("group"), fresh("handed-over"));
    let partitions = harness.log().partitions() as usize;
    let at = append(harness, vec![record(COMMANDS, 0, &key, "0"), record(COMMANDS, 0, &key, "1")]).await;
    let one = join_whole(harness, &group, COMMANDS).await;
    let position = Committed { next_offset: at[1], metadata: "mine until here".to_owned() };
    one.membership.control.commit(COMMANDS, 0, position.clone());
    let joining = Joining { group, topic: COMMANDS, lanes: 1 };
    let mut two = Member::new(other.join(joining).expect("a second member"));
    one.leave(harness).await;
    while two.assigned.len() < partitions {
        let event = next(harness, "all partitions", &mut two.membership.lanes[0]).await;
        assert!(two.take(event).is_none());
    }
    assert!(two.assigned.contains(&(0, Some(position))), "{:?}", two.assigned);
    two.until(harness, "the second record", |m| !m.values(&key).is_empty()).await;
    assert_eq!(two.values(&key)[0], "1");
    two.leave(harness).await;
}
