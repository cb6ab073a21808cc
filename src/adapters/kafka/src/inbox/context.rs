//! The door between librdkafka's rebalance callbacks and the member's thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;

use crate::context::{Events, HasEvents};

/// What the group decided. librdkafka goes on once the assignment has been changed accordingly.
#[derive(Debug)]
pub(super) enum Change {
    Given(Vec<u32>),
    Taken { partitions: Vec<u32>, lost: bool },
}

/// The callbacks of a member.
pub(super) struct MemberContext {
    events: Events,
    changes: Mutex<VecDeque<Change>>,
    /// Nobody serves the queue any more: changes are carried out on the spot, or closing would wait for ever.
    closing: AtomicBool,
}

impl MemberContext {
    pub(super) fn new(events: Events) -> Self {
        Self { events, changes: Mutex::default(), closing: AtomicBool::new(false) }
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_change(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn put_back(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_front(change);
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl HasEvents for MemberContext {
    fn events(&self) -> &Events {
        &self.events
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        self.events.on_log(level, fac, log_message);
    }

    fn stats_raw(&self, _: &[u8]) {
        self.events.serve();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.on_error(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.events.serve();
        let given = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            let done = if given { give(consumer, list) } else { take(consumer, list) };
            if let Err(error) = done {
                tracing::warn!(%error, "a member that leaves cannot change its assignment");
            }
            return;
        }
        let partitions = list.elements().iter().filter_map(|e| u32::try_from(e.partition()).ok()).collect();
        let change = if given {
            Change::Given(partitions)
        } else {
            Change::Taken { partitions, lost: consumer.assignment_lost() }
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }

    fn commit_callback(&self, _: KafkaResult<()>, _: &TopicPartitionList) {
        self.events.serve();
    }
}

/// Takes partitions in, as the group's protocol wants it.
pub(super) fn give(consumer: &BaseConsumer<MemberContext>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        _ => consumer.assign(list),
    }
}

/// Gives partitions back, as the group's protocol wants it.
pub(super) fn take(consumer: &BaseConsumer<MemberContext>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}
