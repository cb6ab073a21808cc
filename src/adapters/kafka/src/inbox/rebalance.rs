//! When partitions come and go: the other half of [`Member`].
//!
//! A partition that comes is told with its committed position and read from there; what was deleted unread in between
//! is a gap. One that goes is taken back from the lanes first, and the group waits for the owner's word, for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use callboard_ports::inbox::{Committed, InboxEvent};
use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::MemberConsumer;
use super::commits::committed;
use super::context::{Change, give, take};
use super::member::{Member, Owned};
use crate::bounds::bounds;
use crate::error::sentence;
use crate::lanes::Urgency;

/// How long the group waits for an owner's word. The session itself ends after 6 s; whoever needs longer than this is
/// better off with its work done twice.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// How long the commits that came before the word may take.
const COMMIT_WAIT: Duration = Duration::from_secs(2);
const POSITION_WAIT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(200);

/// Where reading a partition starts, and what was lost before it.
struct Start {
    committed: Option<Committed>,
    from: Option<u64>,
    gap: Option<(u64, u64)>,
}

impl Member {
    /// Serves what the group decided, in order.
    pub(super) fn serve_changes(&mut self) {
        let Some(consumer) = self.consumer.clone() else { return };
        while self.retry_changes_at.is_none_or(|at| at <= Instant::now()) {
            self.retry_changes_at = None;
            let Some(change) = consumer.context().take_change() else { return };
            match change {
                Change::Given(partitions) => match self.starts(&consumer, &partitions) {
                    Ok(starts) => self.take_in(&consumer, starts),
                    // Something newer was decided: this one only has to be answered.
                    Err(_) if consumer.context().has_changes() => {
                        self.answer(&consumer, &Change::Given(partitions));
                    }
                    Err(error) => {
                        let error = sentence(&error);
                        tracing::warn!(
                            group = self.group,
                            error,
                            "committed positions are not available yet"
                        );
                        consumer.context().put_back(Change::Given(partitions));
                        self.retry_changes_at = Some(Instant::now() + RETRY);
                    }
                },
                Change::Taken { partitions, lost } => self.give_up(&consumer, &partitions, lost),
            }
            self.watchdog.tick();
        }
    }

    /// Does only what librdkafka needs to go on.
    pub(super) fn answer(&self, consumer: &MemberConsumer, change: &Change) {
        let (Change::Given(partitions) | Change::Taken { partitions, .. }) = change;
        let list = self.list(partitions.iter().copied());
        let done =
            if matches!(change, Change::Given(_)) { give(consumer, &list) } else { take(consumer, &list) };
        if let Err(error) = done {
            tracing::warn!(group = self.group, error = sentence(&error), "the assignment cannot be changed");
        }
    }

    fn starts(
        &self,
        consumer: &MemberConsumer,
        partitions: &[u32],
    ) -> Result<BTreeMap<u32, Start>, KafkaError> {
        let mut positions = committed(consumer, &self.name, partitions, POSITION_WAIT)?;
        let mut starts = BTreeMap::new();
        for partition in partitions {
            let Some(position) = positions.remove(partition) else {
                starts.insert(*partition, Start { committed: None, from: None, gap: None });
                continue;
            };
            let (low, high) = bounds(consumer, &self.name, *partition, POSITION_WAIT)?;
            let wanted = position.next_offset;
            let start = if wanted > high {
                tracing::error!(
                    group = self.group, topic = %self.name, partition, wanted, high,
                    "the committed position lies beyond the end: the log was replaced and is read from its start"
                );
                Start { committed: None, from: Some(low), gap: None }
            } else {
                let gap = (wanted < low).then_some((wanted, low));
                Start { committed: Some(position), from: Some(wanted.max(low)), gap }
            };
            starts.insert(*partition, start);
        }
        Ok(starts)
    }

    fn take_in(&mut self, consumer: &MemberConsumer, starts: BTreeMap<u32, Start>) {
        let mut list = self.list([]);
        for (partition, start) in &starts {
            let offset = start
                .from
                .and_then(|from| i64::try_from(from).ok())
                .map_or(Offset::Beginning, Offset::Offset);
            let number = i32::try_from(*partition).unwrap_or(i32::MAX);
            if let Err(error) = list.add_partition_offset(&self.name, number, offset) {
                tracing::warn!(group = self.group, error = sentence(&error), "a start offset cannot be set");
            }
        }
        if let Err(error) = give(consumer, &list) {
            tracing::error!(group = self.group, error = sentence(&error), "the assignment cannot be taken");
            return;
        }
        self.commits.own(&starts.keys().copied().collect::<Vec<_>>());
        for (partition, start) in starts {
            self.owned.insert(partition, Owned { next: start.from });
            // Wishes of an earlier ownership do not count for this one.
            self.lanes.hold(partition, false);
            let event = InboxEvent::Assigned { partition, committed: start.committed };
            self.lanes.push(partition, event, 0, 0, Urgency::Ordinary);
            if let Some((from, to)) = start.gap {
                self.tell_gap(partition, from, to);
            }
            if self.lanes.is_paused(partition) {
                self.set_paused([partition], true);
            }
        }
    }

    pub(super) fn tell_gap(&mut self, partition: u32, from: u64, to: u64) {
        tracing::error!(
            group = self.group, topic = %self.name, partition, from, to,
            "records were deleted before they were read"
        );
        self.lanes.push(partition, InboxEvent::Gap { partition, from, to }, 0, 0, Urgency::Ordinary);
    }

    /// Where reading jumped from `from` to `found`: up to where records were deleted, if that is why. (A foreign
    /// producer's transactions leave holes too.)
    pub(super) fn deleted_until(&self, partition: u32, from: u64, found: u64) -> Option<u64> {
        let bounds = bounds(self.consumer.as_ref()?, &self.name, partition, COMMIT_WAIT);
        // When the log does not tell, the whole jump is told: a loss must never be silent.
        let start = bounds.map_or(found, |(low, _)| low.min(found));
        (start > from).then_some(start)
    }

    fn give_up(&mut self, consumer: &MemberConsumer, partitions: &[u32], lost: bool) {
        let known: Vec<u32> = partitions.iter().copied().filter(|p| self.owned.contains_key(p)).collect();
        for partition in &known {
            // What the owner has not seen yet is for the next one.
            self.lanes.forget(*partition);
        }
        if lost {
            self.commits.disown(&known);
            for partition in &known {
                self.lanes.push(
                    *partition,
                    InboxEvent::Lost { partition: *partition },
                    0,
                    0,
                    Urgency::Urgent,
                );
            }
        } else {
            self.ask_for_release(&known);
            if !self.commits.settle(Some(&known), COMMIT_WAIT) {
                tracing::warn!(group = self.group, "positions were not committed before a revocation");
            }
            self.commits.disown(&known);
        }
        for partition in &known {
            self.owned.remove(partition);
            self.lanes.hold(*partition, false);
        }
        self.answer(consumer, &Change::Taken { partitions: partitions.to_vec(), lost });
    }

    /// Tells the owners and waits for their word, but never for ever.
    fn ask_for_release(&mut self, partitions: &[u32]) {
        let mut waiting: BTreeMap<u32, oneshot::Receiver<()>> = BTreeMap::new();
        for partition in partitions {
            let (ack, acked) = oneshot::channel();
            waiting.insert(*partition, acked);
            let event = InboxEvent::Revoked { partition: *partition, ack };
            self.lanes.push(*partition, event, 0, 0, Urgency::Urgent);
        }
        let deadline = Instant::now() + ACK_WAIT;
        loop {
            self.lanes.flush();
            waiting.retain(|_, acked| matches!(acked.try_recv(), Err(TryRecvError::Empty)));
            if waiting.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                break;
            }
            self.orders.bell.sleep(Duration::from_millis(1));
        }
        let late: Vec<u32> = waiting.into_keys().collect();
        tracing::warn!(group = self.group, partitions = ?late, "a revocation was not acknowledged in {ACK_WAIT:?}");
        for partition in late {
            // An undelivered question makes no sense any more, and nothing may be committed.
            self.lanes.forget(partition);
            self.lanes.push(partition, InboxEvent::Lost { partition }, 0, 0, Urgency::Urgent);
        }
        self.lanes.flush();
    }

    /// The process is wedged: nobody would answer.
    pub(super) fn lose_everything(&mut self) {
        let partitions: Vec<u32> = self.owned.keys().copied().collect();
        self.commits.disown(&partitions);
        for partition in partitions {
            self.owned.remove(&partition);
            self.lanes.forget(partition);
            self.lanes.push(partition, InboxEvent::Lost { partition }, 0, 0, Urgency::Urgent);
        }
    }
}
