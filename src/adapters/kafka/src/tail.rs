//! Live reading: one consumer with manual assignment on one thread, for all partitions of a topic that are asked for.
//!
//! Orders are kept per partition, the latest counts; the thread takes them with every turn of its loop. A position
//! that the log does not hold ends its assignment with `Failed`; whatever else goes wrong is librdkafka's to retry.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callboard_ports::log::{LogError, Tail, TailControl, TailEvent};
use callboard_ports::{Record, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::bell::{Bell, LANE_RETRY, LONGEST_NAP};
use crate::bounds::bounds;
use crate::config::KafkaConfig;
use crate::context::Events;
use crate::error::{sentence, unavailable};
use crate::lanes::{Lanes, Urgency};
use crate::names::Names;
use crate::reach::Reach;
use crate::read::{batch, bytes_of, drain};

/// With all lanes full there is nothing else to do, and no group to keep up with: wait, throw nothing away.
const NO_HURRY: Duration = Duration::from_secs(3_600);
/// How long the log's bounds may take when a position seems to be gone.
const BOUNDS_WAIT: Duration = Duration::from_secs(2);
/// How soon they are asked for again when that fails.
const BOUNDS_RETRY: Duration = Duration::from_millis(500);

/// Starts the thread of a tail.
pub(crate) fn open(
    config: &KafkaConfig,
    names: &Names,
    reach: &Arc<Reach>,
    topic: Topic,
    lane_count: usize,
) -> Result<Tail, LogError> {
    // Manual assignment needs a group id all the same (UNKNOWN_GROUP without); nothing is ever committed to it.
    let client = config.tail(&names.prefixed("callboard-tail"));
    let bell = Arc::new(Bell::default());
    let mut consumer: BaseConsumer<Events> = client
        .create_with_context(Events::new(format!("tail of {topic}"), reach))
        .map_err(|error| LogError::Closed(sentence(&error)))?;
    let ring = Arc::clone(&bell);
    consumer.set_nonempty_callback(move || ring.ring());
    let orders = Arc::new(Orders { bell, ..Orders::default() });
    let (lanes, receivers) = Lanes::new(lane_count);
    let mut thread = Thread {
        consumer,
        name: Arc::clone(names.topic(topic)),
        topic,
        orders: Arc::clone(&orders),
        lanes,
        reading: BTreeMap::new(),
        doubt: None,
    };
    std::thread::Builder::new()
        .name(format!("kafka-tail-{topic}"))
        .spawn(move || thread.run())
        .map_err(|error| LogError::Closed(format!("no thread for a tail: {error}")))?;
    Ok(Tail { control: Arc::new(Control { orders }), lanes: receivers })
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Read { from: u64, generation: u64 },
    Stop,
}

#[derive(Debug, Default)]
struct Orders {
    latest: Mutex<BTreeMap<u32, Order>>,
    released: AtomicBool,
    bell: Arc<Bell>,
}

/// The caller's end.
struct Control {
    orders: Arc<Orders>,
}

impl Control {
    fn order(&self, partition: u32, order: Order) {
        self.orders.latest.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, order);
        self.orders.bell.ring();
    }
}

impl TailControl for Control {
    fn assign(&self, partition: u32, from: u64, generation: u64) {
        self.order(partition, Order::Read { from, generation });
    }

    fn unassign(&self, partition: u32) {
        self.order(partition, Order::Stop);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.orders.released.store(true, Ordering::Relaxed);
        self.orders.bell.ring();
    }
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    generation: u64,
    next: u64,
}

struct Thread {
    consumer: BaseConsumer<Events>,
    name: Arc<str>,
    topic: Topic,
    orders: Arc<Orders>,
    lanes: Lanes<TailEvent>,
    reading: BTreeMap<u32, Reading>,
    /// Since a position seemed to be gone: when to look which.
    doubt: Option<Instant>,
}

impl Thread {
    fn run(&mut self) {
        self.orders.bell.here();
        while !(self.orders.released.load(Ordering::Relaxed) && self.lanes.all_closed()) {
            self.obey();
            self.settle_doubt();
            let moved = self.lanes.flush();
            self.steer();
            let read = if self.lanes.may_read() { self.read() } else { 0 };
            if read > 0 {
                self.lanes.flush();
            } else if !moved {
                let nap = if self.lanes.is_waiting() { LANE_RETRY } else { LONGEST_NAP };
                self.orders.bell.sleep(nap);
            }
        }
    }

    fn obey(&mut self) {
        let orders = std::mem::take(&mut *self.orders.latest.lock().unwrap_or_else(PoisonError::into_inner));
        for (partition, order) in orders {
            self.stop(partition);
            if let Order::Read { from, generation } = order {
                self.start(partition, Reading { generation, next: from });
            }
        }
    }

    fn stop(&mut self, partition: u32) {
        self.lanes.forget(partition);
        if self.reading.remove(&partition).is_some() {
            let one = self.list([partition]);
            self.complain("unassign", self.consumer.incremental_unassign(&one));
        }
    }

    fn start(&mut self, partition: u32, reading: Reading) {
        let Ok(from) = i64::try_from(reading.next) else {
            return self.fail(partition, reading, 0, 0);
        };
        let mut one = self.list([partition]);
        self.complain("set an offset", one.set_all_offsets(Offset::Offset(from)));
        match self.consumer.incremental_assign(&one) {
            Ok(()) => {
                self.reading.insert(partition, reading);
                if self.lanes.is_paused(partition) {
                    self.complain("pause", self.consumer.pause(&one));
                }
            }
            Err(error) => {
                let error = unavailable("the partition cannot be assigned", &error);
                let failed = TailEvent::Failed { partition, generation: reading.generation, error };
                self.lanes.push(partition, failed, 0, 0, Urgency::Ordinary);
            }
        }
    }

    fn steer(&mut self) {
        for (lane, pause) in self.lanes.steer(NO_HURRY) {
            let of_lane = self.reading.keys().copied().filter(|p| *p as usize % self.lanes.count() == lane);
            let list = self.list(of_lane);
            if list.count() > 0 {
                let done = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
                self.complain(if pause { "pause" } else { "resume" }, done);
            }
        }
    }

    fn read(&mut self) -> usize {
        let drained = drain(&self.consumer, self.topic);
        for (partition, records) in drained.parts {
            self.deliver(partition, records);
        }
        for error in &drained.errors {
            self.note(error);
        }
        drained.records
    }

    fn deliver(&mut self, partition: u32, mut records: Vec<Record>) {
        let Some(reading) = self.reading.get_mut(&partition) else { return };
        records.retain(|record| {
            let new = record.offset >= reading.next;
            reading.next = reading.next.max(record.offset + 1);
            new
        });
        if records.is_empty() {
            return;
        }
        let (count, bytes, generation) = (records.len(), bytes_of(&records), reading.generation);
        let event = TailEvent::Batch { batch: batch(self.topic, partition, records), generation };
        self.lanes.push(partition, event, count, bytes, Urgency::Ordinary);
    }

    fn note(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        if let Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) = error.rdkafka_error_code() {
            self.doubt = Some(Instant::now());
        }
    }

    /// librdkafka says that a position is gone, but not which: asks for the bounds of every partition that is read.
    fn settle_doubt(&mut self) {
        if self.doubt.is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.doubt = None;
        for (partition, reading) in self.reading.clone() {
            let Ok((low, high)) = bounds(&self.consumer, &self.name, partition, BOUNDS_WAIT) else {
                self.doubt = Some(Instant::now() + BOUNDS_RETRY);
                continue;
            };
            if (low..=high).contains(&reading.next) {
                // It may be the one that librdkafka stopped all the same (a new leader, behind for a moment).
                self.restart(partition, reading);
            } else {
                self.lanes.flush();
                self.fail(partition, reading, low, high);
            }
        }
    }

    fn restart(&mut self, partition: u32, reading: Reading) {
        let one = self.list([partition]);
        self.complain("unassign", self.consumer.incremental_unassign(&one));
        self.reading.remove(&partition);
        self.start(partition, reading);
    }

    /// What was read before stays: it is right, and the failure comes behind it.
    fn fail(&mut self, partition: u32, reading: Reading, start: u64, end: u64) {
        if self.reading.remove(&partition).is_some() {
            let one = self.list([partition]);
            self.complain("unassign", self.consumer.incremental_unassign(&one));
        }
        let error = LogError::OutOfRange { topic: self.topic, partition, wanted: reading.next, start, end };
        let failed = TailEvent::Failed { partition, generation: reading.generation, error };
        self.lanes.push(partition, failed, 0, 0, Urgency::Ordinary);
    }

    fn list(&self, partitions: impl IntoIterator<Item = u32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.name, i32::try_from(partition).unwrap_or(i32::MAX));
        }
        list
    }

    fn complain(&self, what: &str, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            tracing::warn!(topic = %self.name, error = sentence(&error), "the tail cannot {what}");
        }
    }
}
