//! The turn's exact shape: its records, of their true sizes, keys and headers, over the same topics and partitions, read by as
//! many readers as Callboard has. Nothing is decided: a reader counts, and produces what comes next.
//!
//! command ▶ received + planned ▶ a request a step ▶ a result each ▶ synthesis request ▶ answer.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;

use super::{Pace, Raw, WAIT, consumer, failed, flush, producer, send};
use crate::probe::ProbeError;

/// The first turns fetch metadata, open connections and fill the broker's page cache.
const WARM_UP: u64 = 200;
/// How often a reader without records looks whether all is done.
const LOOK: Duration = Duration::from_millis(50);

/// A record's place in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Slot {
    Command = 1,
    Received,
    Planned,
    Request,
    Result,
    Synthesis,
    Answer,
}

impl Slot {
    const ALL: [Self; 7] = [
        Self::Command,
        Self::Received,
        Self::Planned,
        Self::Request,
        Self::Result,
        Self::Synthesis,
        Self::Answer,
    ];

    fn read(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| *slot as u8 == byte)
    }
}

/// One record as it was once written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnRecord {
    pub slot: Slot,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A turn, and where its records go. One record of every slot but `Request` and `Result`, and as many of the one as of the other.
#[derive(Debug, Clone)]
pub struct Shape {
    pub commands: String,
    pub events: String,
    pub requests: String,
    pub synthesis: String,
    pub partitions: i32,
    pub records: Vec<TurnRecord>,
}

impl Shape {
    fn of(&self, slot: Slot) -> impl Iterator<Item = &TurnRecord> {
        self.records.iter().filter(move |record| record.slot == slot)
    }

    fn steps(&self) -> u32 {
        u32::try_from(self.of(Slot::Request).count()).unwrap_or(u32::MAX)
    }

    fn topic(&self, slot: Slot) -> &str {
        match slot {
            Slot::Command => &self.commands,
            Slot::Request => &self.requests,
            Slot::Synthesis => &self.synthesis,
            Slot::Received | Slot::Planned | Slot::Result | Slot::Answer => &self.events,
        }
    }
}

/// What all readers share.
struct Floor<'a> {
    shape: &'a Shape,
    producer: Raw,
    all: u64,
    next: AtomicU64,
    results: Vec<AtomicU32>,
    started: Vec<Mutex<Option<Instant>>>,
    done: AtomicBool,
    took: Mutex<Vec<u64>>,
    began: Mutex<Instant>,
}

/// Moves `count` turns of this shape, `in_flight` at a time.
///
/// # Errors
/// When a record is not taken or does not arrive.
pub fn turns(brokers: &str, shape: &Shape, in_flight: usize, count: usize) -> Result<Pace, ProbeError> {
    let all = WARM_UP + count as u64;
    let floor = Floor {
        shape,
        producer: producer(brokers)?,
        all,
        next: AtomicU64::new(0),
        results: (0..all).map(|_| AtomicU32::new(0)).collect(),
        started: (0..all).map(|_| Mutex::new(None)).collect(),
        done: AtomicBool::new(false),
        took: Mutex::new(Vec::with_capacity(count)),
        began: Mutex::new(Instant::now()),
    };
    let reader = |topic: &str| consumer(brokers, &[topic], shape.partitions);
    let commands = reader(&shape.commands)?;
    let (events, requests) = (reader(&shape.events)?, reader(&shape.requests)?);
    let synthesis = reader(&shape.synthesis)?;
    let whole = std::thread::scope(|scope| {
        let floor = &floor;
        let readers = [commands, events, requests, synthesis].map(|consumer| {
            scope.spawn(move || {
                floor.read(&consumer).inspect_err(|_| floor.done.store(true, Ordering::Release))
            })
        });
        for _ in 0..in_flight {
            floor.start_next()?;
        }
        readers
            .into_iter()
            .try_for_each(|reader| reader.join().expect("a reader of the floor panics for no record"))?;
        Ok::<_, ProbeError>(floor.began.lock().unwrap_or_else(PoisonError::into_inner).elapsed())
    })?;
    flush(&floor.producer)?;
    let took = floor.took.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Pace::of(in_flight, took, whole))
}

impl Floor<'_> {
    fn start_next(&self) -> Result<(), ProbeError> {
        let turn = self.next.fetch_add(1, Ordering::AcqRel);
        if turn == WARM_UP {
            *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        let Some(started) = usize::try_from(turn).ok().and_then(|turn| self.started.get(turn)) else {
            return Ok(());
        };
        *started.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.produce(Slot::Command, turn)
    }

    /// Every record of `slot`.
    fn produce(&self, slot: Slot, turn: u64) -> Result<(), ProbeError> {
        self.shape.of(slot).zip(0..).try_for_each(|(record, nth)| self.produce_one(record, turn, nth))
    }

    fn produce_one(&self, record: &TurnRecord, turn: u64, nth: u64) -> Result<(), ProbeError> {
        // Requests are keyed by effect, everything else by conversation.
        let place = if record.slot == Slot::Request { turn * 3 + nth } else { turn };
        let partition = i32::try_from(place % u64::from(self.shape.partitions.unsigned_abs())).unwrap_or(0);
        let mut value = record.value.clone();
        value.resize(value.len().max(17), b' ');
        value[0] = record.slot as u8;
        value[1..9].copy_from_slice(&turn.to_le_bytes());
        value[9..17].copy_from_slice(&nth.to_le_bytes());
        let topic = self.shape.topic(record.slot);
        send(&self.producer, topic, partition, &record.key, &value, &record.headers)
    }

    fn read(&self, consumer: &BaseConsumer) -> Result<(), ProbeError> {
        let mut heard = Instant::now();
        while !self.done.load(Ordering::Acquire) {
            let Some(message) = consumer.poll(LOOK) else {
                if heard.elapsed() > WAIT {
                    let got = self.took.lock().unwrap_or_else(PoisonError::into_inner).len();
                    let wanted = usize::try_from(self.all).unwrap_or(usize::MAX);
                    return Err(ProbeError::TooFew { got, wanted, waited: WAIT });
                }
                continue;
            };
            heard = Instant::now();
            let message = message.map_err(failed("consuming"))?;
            let value = message.payload().unwrap_or_default();
            let (Some(slot), Some(turn), Some(nth)) =
                (value.first().copied().and_then(Slot::read), number(value, 1), number(value, 9))
            else {
                continue;
            };
            self.follow(slot, turn, nth)?;
        }
        Ok(())
    }

    /// What comes after a record.
    fn follow(&self, slot: Slot, turn: u64, nth: u64) -> Result<(), ProbeError> {
        match slot {
            Slot::Command => {
                self.produce(Slot::Received, turn)?;
                self.produce(Slot::Planned, turn)
            }
            Slot::Received => Ok(()),
            Slot::Planned => self.produce(Slot::Request, turn),
            Slot::Request => {
                let nth_result =
                    usize::try_from(nth).ok().and_then(|nth| self.shape.of(Slot::Result).nth(nth));
                nth_result.map_or(Ok(()), |record| self.produce_one(record, turn, nth))
            }
            Slot::Result => {
                let results = usize::try_from(turn).ok().and_then(|turn| self.results.get(turn));
                let before = results.map_or(0, |results| results.fetch_add(1, Ordering::AcqRel));
                if before + 1 == self.shape.steps() { self.produce(Slot::Synthesis, turn) } else { Ok(()) }
            }
            Slot::Synthesis => self.produce(Slot::Answer, turn),
            Slot::Answer => self.end(turn),
        }
    }

    fn end(&self, turn: u64) -> Result<(), ProbeError> {
        let started = usize::try_from(turn).ok().and_then(|turn| self.started.get(turn));
        let started =
            started.and_then(|started| started.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(started) = started else { return Ok(()) };
        let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if turn >= WARM_UP {
            let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
            took.push(us);
            if took.len() as u64 == self.all - WARM_UP {
                self.done.store(true, Ordering::Release);
            }
        }
        self.start_next()
    }
}

fn number(value: &[u8], at: usize) -> Option<u64> {
    value.get(at..at + 8)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}
