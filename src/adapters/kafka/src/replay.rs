//! Reading stretches of a partition once: a bounded pool of temporary consumers.
//!
//! However many replays are asked for at once, at most [`MAX_WORKERS`] consumers exist; the rest waits in line. Long
//! replays (catching up) never take the last worker from short ones (rehydrating one conversation). A worker that has
//! had nothing to do for a while closes its consumer and ends.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use callboard_ports::log::{Batch, LogError};
use callboard_ports::{Record, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::bounds::bounds;
use crate::config::KafkaConfig;
use crate::context::Events;
use crate::error::{sentence, unavailable};
use crate::names::Names;
use crate::reach::Reach;
use crate::read::{batch, drain};
use crate::wire;

/// Two cores catch up with two; four let short ones in beside them. Each holds at most 64 MiB.
const MAX_WORKERS: usize = 4;
/// More than this many offsets is a long replay.
const LONG: u64 = 10_000;
/// Replays in line: far above what the actors' own bounds let happen.
const MAX_WAITING: usize = 4_096;
/// Batches on their way to the reader.
const CHANNEL: usize = 4;
const IDLE: Duration = Duration::from_secs(10);
/// A stretch that brings nothing for so long has lost its broker.
const STALLED: Duration = Duration::from_secs(15);
const BOUNDS_WAIT: Duration = Duration::from_secs(5);

type Reply = mpsc::Sender<Result<Batch, LogError>>;

struct Job {
    topic: Topic,
    partition: u32,
    ranges: Vec<Range<u64>>,
    key: Option<Bytes>,
    reply: Reply,
}

impl Job {
    fn is_long(&self) -> bool {
        self.ranges.iter().map(|range| range.end.saturating_sub(range.start)).fold(0, u64::saturating_add)
            > LONG
    }
}

/// The pool.
pub(crate) struct Replays {
    shared: Arc<Shared>,
}

struct Shared {
    config: KafkaConfig,
    names: Names,
    reach: Arc<Reach>,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    short: VecDeque<Job>,
    long: VecDeque<Job>,
    long_running: usize,
    workers: usize,
    idle: usize,
    closed: bool,
}

impl State {
    fn take(&mut self) -> Option<(Job, bool)> {
        if let Some(job) = self.short.pop_front() {
            return Some((job, false));
        }
        if self.long_running + 1 >= MAX_WORKERS {
            return None;
        }
        let job = self.long.pop_front()?;
        self.long_running += 1;
        Some((job, true))
    }
}

impl Replays {
    pub(crate) fn new(config: KafkaConfig, names: Names, reach: &Arc<Reach>) -> Self {
        let reach = Arc::clone(reach);
        let shared = Shared { config, names, reach, state: Mutex::default(), arrived: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn replay(
        &self,
        topic: Topic,
        partition: u32,
        ranges: Vec<Range<u64>>,
        key: Option<String>,
    ) -> mpsc::Receiver<Result<Batch, LogError>> {
        let (reply, receiver) = mpsc::channel(CHANNEL);
        let ranges: Vec<_> = ranges.into_iter().filter(|range| range.start < range.end).collect();
        if ranges.is_empty() {
            return receiver;
        }
        let job = Job { topic, partition, ranges, key: key.map(Bytes::from), reply };
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.short.len() + state.long.len() >= MAX_WAITING {
            let full = format!("{MAX_WAITING} replays are waiting already");
            let _ = job.reply.try_send(Err(LogError::Unavailable(full)));
            return receiver;
        }
        if job.is_long() {
            state.long.push_back(job)
        } else {
            state.short.push_back(job)
        }
        if state.idle == 0 && state.workers < MAX_WORKERS {
            self.hire(&mut state);
        }
        drop(state);
        self.shared.arrived.notify_one();
        receiver
    }

    fn hire(&self, state: &mut State) {
        let shared = Arc::clone(&self.shared);
        match std::thread::Builder::new().name("kafka-replay".into()).spawn(move || work(&shared)) {
            Ok(_) => state.workers += 1,
            Err(error) => tracing::error!(%error, "no thread for a replay; the others go on"),
        }
    }
}

impl Drop for Replays {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.arrived.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut consumer = None;
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if state.closed {
            break;
        }
        if let Some((job, long)) = state.take() {
            drop(state);
            run(shared, &mut consumer, job);
            state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.long_running -= usize::from(long);
            continue;
        }
        state.idle += 1;
        let (woken, waited) =
            shared.arrived.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
        state = woken;
        state.idle -= 1;
        if waited.timed_out() && state.short.is_empty() {
            break;
        }
    }
    state.workers -= 1;
    drop(state);
    drop(consumer);
}

fn run(shared: &Shared, kept: &mut Option<BaseConsumer<Events>>, job: Job) {
    let outcome = match kept.take().map_or_else(|| connect(shared), Ok) {
        Ok(consumer) => {
            let name = Arc::clone(shared.names.topic(job.topic));
            let outcome = Replay { consumer: &consumer, name, job: &job }.run();
            // A consumer that failed may be the reason: the next replay gets another.
            if outcome.is_ok() && consumer.unassign().is_ok() {
                *kept = Some(consumer);
            }
            outcome
        }
        Err(error) => Err(LogError::Unavailable(sentence(&error))),
    };
    if let Err(error) = outcome {
        let _ = job.reply.blocking_send(Err(error));
    }
}

fn connect(shared: &Shared) -> Result<BaseConsumer<Events>, KafkaError> {
    let group = shared.names.prefixed("callboard-replay");
    shared.config.replayer(&group).create_with_context(Events::new("replay", &shared.reach))
}

/// One replay on one consumer.
struct Replay<'a> {
    consumer: &'a BaseConsumer<Events>,
    name: Arc<str>,
    job: &'a Job,
}

impl Replay<'_> {
    /// `Ok` also when nobody reads any more.
    fn run(&mut self) -> Result<(), LogError> {
        let (low, high) = self.bounds()?;
        for range in &self.job.ranges {
            if range.start < low {
                return Err(self.out_of_range(range.start, low, high));
            }
            let range = range.start..range.end.min(high);
            if range.start < range.end && !self.stretch(range)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn number(&self) -> i32 {
        i32::try_from(self.job.partition).unwrap_or(i32::MAX)
    }

    fn bounds(&self) -> Result<(u64, u64), LogError> {
        bounds(self.consumer, &self.name, self.job.partition, BOUNDS_WAIT)
            .map_err(|error| unavailable("the partition's bounds", &error))
    }

    fn out_of_range(&self, wanted: u64, start: u64, end: u64) -> LogError {
        LogError::OutOfRange { topic: self.job.topic, partition: self.job.partition, wanted, start, end }
    }

    /// Reads one range that lies in the log. False when nobody listens any more.
    fn stretch(&mut self, range: Range<u64>) -> Result<bool, LogError> {
        /// How long one look at the queue waits: short, so that a reader that has gone is noticed.
        const LOOK: Duration = Duration::from_millis(100);
        self.assign(range.start)?;
        let mut next = range.start;
        let mut progress = Instant::now();
        let mut at_end = false;
        while next < range.end && !at_end {
            if self.job.reply.is_closed() {
                return Ok(false);
            }
            let mut drained = drain(self.consumer, self.job.topic);
            if drained.records == 0 && drained.errors.is_empty() {
                match self.consumer.poll(LOOK) {
                    Some(Ok(message)) => {
                        let record = wire::record(self.job.topic, &message);
                        drained.records += 1;
                        drained.parts.push((record.partition, vec![record]));
                    }
                    Some(Err(error)) => drained.errors.push(error),
                    None => {}
                }
            }
            for (partition, records) in drained.parts {
                if partition == self.job.partition {
                    progress = Instant::now();
                    if !self.deliver(records, &mut next, range.end) {
                        return Ok(false);
                    }
                }
            }
            for error in drained.errors {
                at_end |= self.is_end(&error, next)?;
            }
            if progress.elapsed() > STALLED {
                let said = format!("nothing came of {}/{} for {STALLED:?}", self.name, self.job.partition);
                return Err(LogError::Unavailable(said));
            }
        }
        Ok(true)
    }

    fn assign(&self, from: u64) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        let from = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(&self.name, self.number(), from)
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| unavailable("the partition cannot be read", &error))
    }

    /// Hands over what belongs to the range and the key. False when nobody listens any more.
    fn deliver(&self, records: Vec<Record>, next: &mut u64, end: u64) -> bool {
        let mut wanted = Vec::with_capacity(records.len());
        for record in records {
            if record.offset < *next {
                continue;
            }
            *next = record.offset + 1;
            let of_key = self.job.key.as_ref().is_none_or(|key| *key == record.key);
            if record.offset < end && of_key {
                wanted.push(record);
            }
        }
        if wanted.is_empty() {
            return true;
        }
        self.job.reply.blocking_send(Ok(batch(self.job.topic, self.job.partition, wanted))).is_ok()
    }

    /// Whether this error says that the log's end was reached; others are retried inside librdkafka, except those
    /// after which nothing more would come.
    fn is_end(&self, error: &KafkaError, next: u64) -> Result<bool, LogError> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            _ if matches!(error, KafkaError::PartitionEOF(_)) => Ok(true),
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                let (low, high) = self.bounds()?;
                Err(self.out_of_range(next, low, high))
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                Err(unavailable("reading", error))
            }
            _ => Ok(false),
        }
    }
}
