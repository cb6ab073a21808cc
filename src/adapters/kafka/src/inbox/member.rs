//! The member's thread: serves the group, reads, feeds the lanes, says farewell.
//!
//! `rebalance` holds the other half of [`Member`]: what happens when partitions come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use callboard_ports::inbox::{InboxEvent, Joining};
use callboard_ports::log::LogError;
use callboard_ports::{Record, Topic};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::commits::Commits;
use super::context::MemberContext;
use super::{Ground, MemberConsumer, Orders};
use crate::bell::{LANE_RETRY, LONGEST_NAP};
use crate::context::Events;
use crate::error::sentence;
use crate::heartbeat::{Heartbeat, Watchdog};
use crate::lanes::{Lanes, Urgency};
use crate::read::{batch, bytes_of, drain};

/// With all lanes full the group must be served all the same, after this long.
const FULL_PATIENCE: Duration = Duration::from_secs(1);
/// How long the last commits may take before a member leaves without them.
const LAST_COMMITS: Duration = Duration::from_secs(5);
/// How long the group may take to let a member go before it is simply closed.
const LEAVE_WAIT: Duration = Duration::from_secs(8);
/// How long a member that joins again stays away: its leaving is on its way to the broker.
const AWAY: Duration = Duration::from_millis(500);
/// A consumer that could not be built is tried again after this.
const REOPEN: Duration = Duration::from_secs(1);

/// A partition that is ours.
#[derive(Debug, Default)]
pub(super) struct Owned {
    /// The offset that comes next, where that is known.
    pub(super) next: Option<u64>,
}

/// See the module.
pub(super) struct Member {
    client: rdkafka::ClientConfig,
    reach: Arc<crate::reach::Reach>,
    heartbeat: Arc<Heartbeat>,
    pub(super) watchdog: Watchdog,
    pub(super) group: String,
    pub(super) topic: Topic,
    pub(super) name: Arc<str>,
    pub(super) orders: Arc<Orders>,
    pub(super) commits: Arc<Commits>,
    pub(super) lanes: Lanes<InboxEvent>,
    pub(super) owned: BTreeMap<u32, Owned>,
    pub(super) consumer: Option<Arc<MemberConsumer>>,
    pub(super) retry_changes_at: Option<Instant>,
    fenced: bool,
    /// It has left to join again, not before this.
    join_at: Option<Instant>,
}

impl Member {
    pub(super) fn new(
        ground: &Ground<'_>,
        joining: &Joining,
        lanes: Lanes<InboxEvent>,
        orders: Arc<Orders>,
        commits: Arc<Commits>,
    ) -> Result<Self, LogError> {
        let group = ground.names.prefixed(&joining.group);
        let mut member = Self {
            client: ground.config.member(&group),
            reach: Arc::clone(ground.reach),
            heartbeat: Arc::clone(ground.heartbeat),
            watchdog: Watchdog::new(),
            group,
            topic: joining.topic,
            name: Arc::clone(ground.names.topic(joining.topic)),
            orders,
            commits,
            lanes,
            owned: BTreeMap::new(),
            consumer: None,
            retry_changes_at: None,
            fenced: false,
            join_at: None,
        };
        member.open().map_err(|error| LogError::Closed(sentence(&error)))?;
        Ok(member)
    }

    fn open(&mut self) -> Result<(), KafkaError> {
        let events = Events::new(format!("member of {}", self.group), &self.reach);
        let mut consumer: MemberConsumer = self.client.create_with_context(MemberContext::new(events))?;
        let bell = Arc::clone(&self.orders.bell);
        consumer.set_nonempty_callback(move || bell.ring());
        consumer.subscribe(&[&*self.name])?;
        let consumer = Arc::new(consumer);
        self.commits.use_consumer(Some(Arc::clone(&consumer)));
        self.consumer = Some(consumer);
        Ok(())
    }

    pub(super) fn run(&mut self) {
        self.orders.bell.here();
        loop {
            if self.orders.leave_asked() {
                self.leave();
                break;
            }
            if self.orders.released.load(Ordering::Relaxed) && self.lanes.all_closed() {
                // As a kill would: a static member keeps its place for its next start.
                self.close();
                break;
            }
            if !self.turn() {
                let nap = if self.lanes.is_waiting() { LANE_RETRY } else { LONGEST_NAP };
                self.orders.bell.sleep(nap);
            }
        }
        self.commits.stop();
        // The lanes end before whoever waits for the farewell goes on.
        self.lanes = Lanes::new(1).0;
        self.orders.over();
    }

    /// One turn of the loop; true when something was done.
    fn turn(&mut self) -> bool {
        let wedged = self.watchdog.is_wedged(&self.heartbeat);
        if wedged && self.consumer.is_some() {
            tracing::error!(group = self.group, "the process is wedged: its partitions are given back");
            self.lose_everything();
            self.go();
        } else if !wedged
            && self.consumer.is_none()
            && !self.fenced
            && let Err(error) = self.open()
        {
            tracing::error!(group = self.group, error = sentence(&error), "the member cannot be opened");
            self.orders.bell.sleep(REOPEN);
        }
        self.serve_changes();
        self.join_again();
        self.obey();
        let moved = self.lanes.flush();
        self.steer();
        let read = if self.lanes.may_read() { self.read() } else { 0 };
        if read > 0 {
            self.lanes.flush();
        }
        moved || read > 0
    }

    /// Leaves the group where that is asked for, gives back what it owns as in any rebalance, and joins again.
    fn join_again(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        if self.orders.again.swap(false, Ordering::Relaxed) {
            consumer.unsubscribe();
            self.join_at = Some(Instant::now() + AWAY);
        }
        let is_due = self.join_at.is_some_and(|at| at <= Instant::now());
        if is_due && self.owned.is_empty() && !consumer.context().has_changes() {
            self.join_at = None;
            if let Err(error) = consumer.subscribe(&[&*self.name]) {
                tracing::error!(
                    group = self.group,
                    error = sentence(&error),
                    "the group cannot be joined again"
                );
                self.join_at = Some(Instant::now() + REOPEN);
            }
        }
    }

    /// Pauses and resumes as the caller wishes.
    pub(super) fn obey(&mut self) {
        let holds = {
            let mut holds = self.orders.holds.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *holds)
        };
        for (partition, hold) in holds {
            if self.lanes.is_held(partition) != hold {
                self.lanes.hold(partition, hold);
                self.set_paused([partition], hold || self.lanes.is_paused(partition));
            }
        }
    }

    fn steer(&mut self) {
        for (lane, pause) in self.lanes.steer(FULL_PATIENCE) {
            let of_lane = self.owned.keys().copied().filter(|p| *p as usize % self.lanes.count() == lane);
            let concerned: Vec<u32> = of_lane.filter(|p| pause || !self.lanes.is_held(*p)).collect();
            self.set_paused(concerned, pause);
        }
    }

    pub(super) fn set_paused(&self, partitions: impl IntoIterator<Item = u32>, paused: bool) {
        let owned = partitions.into_iter().filter(|partition| self.owned.contains_key(partition));
        let list = self.list(owned);
        let Some(consumer) = self.consumer.as_ref().filter(|_| list.count() > 0) else { return };
        let done = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
        if let Err(error) = done {
            tracing::warn!(
                group = self.group,
                error = sentence(&error),
                "a partition cannot be paused or resumed"
            );
        }
    }

    fn read(&mut self) -> usize {
        let Some(consumer) = self.consumer.clone() else { return 0 };
        let drained = drain(&consumer, self.topic);
        for (partition, records) in drained.parts {
            self.deliver(partition, records);
        }
        if !drained.errors.is_empty()
            && let Some((code, reason)) = consumer.client().fatal_error()
        {
            drop(consumer);
            self.fence(format!("{code}: {reason}"));
        }
        drained.records
    }

    fn deliver(&mut self, partition: u32, records: Vec<Record>) {
        let Some(next) = self.owned.get(&partition).map(|owned| owned.next) else { return };
        let mut expected = next;
        let mut fresh = Vec::with_capacity(records.len());
        for record in records {
            if expected.is_some_and(|expected| record.offset < expected) {
                continue;
            }
            if let Some(from) = expected.filter(|expected| record.offset > *expected)
                && let Some(to) = self.deleted_until(partition, from, record.offset)
            {
                self.push_batch(partition, std::mem::take(&mut fresh));
                self.tell_gap(partition, from, to);
            }
            expected = Some(record.offset + 1);
            fresh.push(record);
        }
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.next = expected;
        }
        self.push_batch(partition, fresh);
    }

    fn push_batch(&mut self, partition: u32, records: Vec<Record>) {
        if !records.is_empty() {
            let (count, bytes) = (records.len(), bytes_of(&records));
            let event = InboxEvent::Batch(batch(self.topic, partition, records));
            self.lanes.push(partition, event, count, bytes, Urgency::Ordinary);
        }
    }

    /// Another member has our identity: over for good, and said in every lane.
    fn fence(&mut self, reason: String) {
        tracing::error!(
            group = self.group,
            reason,
            "the membership was fenced: another process has our identity"
        );
        self.fenced = true;
        self.owned.clear();
        for lane in 0..self.lanes.count() {
            let lane = u32::try_from(lane).unwrap_or_default();
            let event = InboxEvent::Fenced { reason: reason.clone() };
            self.lanes.push(lane, event, 0, 0, Urgency::Urgent);
        }
        self.close();
    }

    fn leave(&mut self) {
        self.serve_changes();
        if self.consumer.is_some() && !self.commits.settle(None, LAST_COMMITS) {
            tracing::warn!(
                group = self.group,
                "the last positions were not committed; their records come again"
            );
        }
        self.go();
    }

    /// Leaves the group, so that the next member gets the partitions at once, and closes. A static member's mere
    /// `close` would not leave: the others would wait for its session to time out.
    fn go(&mut self) {
        let Some(consumer) = self.consumer.clone() else { return };
        consumer.context().close();
        while let Some(change) = consumer.context().take_change() {
            self.answer(&consumer, &change);
        }
        consumer.unsubscribe();
        let deadline = Instant::now() + LEAVE_WAIT;
        loop {
            // Rebalances are carried out inside; records that still come belong to the next owner.
            drop(consumer.poll(Duration::from_millis(10)));
            let assigned = consumer.assignment().map_or(0, |list| list.count());
            if assigned == 0 || Instant::now() > deadline {
                break;
            }
        }
        drop(consumer);
        self.close();
    }

    fn close(&mut self) {
        self.owned.clear();
        self.commits.use_consumer(None);
        let Some(mut consumer) = self.consumer.take() else { return };
        consumer.context().close();
        while let Some(change) = consumer.context().take_change() {
            self.answer(&consumer, &change);
        }
        // A commit under way holds the consumer for as long as the broker takes to answer it.
        loop {
            match Arc::try_unwrap(consumer) {
                Ok(last) => return drop(last),
                Err(shared) => consumer = shared,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn list(&self, partitions: impl IntoIterator<Item = u32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.name, i32::try_from(partition).unwrap_or(i32::MAX));
        }
        list
    }
}
