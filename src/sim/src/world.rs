//! The world that the processes of a run share: the log, the clock, the dice, the trace, and what is known of the run from
//! outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callboard_domain::conversation::Recorded;
use callboard_domain::event::Event;
use callboard_domain::id::{CommandId, ConversationId, EffectId};
use callboard_domain::{State, apply, wire};
use callboard_ports::clock::Clock;
use callboard_ports::fakes::{MemoryLog, TokioClock};
use callboard_ports::log::Log;
use callboard_ports::record::{Headers, NewRecord, Record, Topic};
use tokio::sync::Notify;

use crate::audience::Audience;
use crate::dice::Dice;
use crate::fault::Fault;
use crate::mix::Mix;
use crate::outside::Outside;
use crate::ownership::Ownership;
use crate::trace::Trace;

/// What a run is about, shared by everybody in it.
pub struct World {
    pub seed: u64,
    pub mix: Mix,
    pub clock: TokioClock,
    pub log: MemoryLog,
    pub outside: Outside,
    pub audience: Audience,
    pub ownership: Mutex<Ownership>,
    /// Rung when a process dies.
    pub deaths: Arc<Notify>,
    dice: Mutex<Dice>,
    trace: Mutex<Trace>,
    faults: AtomicBool,
    known: Mutex<Known>,
}

/// What an onlooker knows.
#[derive(Default)]
pub struct Known {
    /// Commands whose append was acknowledged to their sender.
    pub acknowledged: BTreeMap<ConversationId, BTreeSet<CommandId>>,
    /// The fold of what the log has.
    pub states: BTreeMap<ConversationId, State>,
    /// Steps in doubt that nobody has looked at yet, with their attempt.
    pub doubts: Vec<(EffectId, u32)>,
    /// Steps that somebody was asked to approve, and that nobody has looked at yet.
    pub approvals: Vec<EffectId>,
}

impl World {
    #[must_use]
    pub fn new(seed: u64, mix: Mix, dice: Dice, printed: bool) -> Arc<Self> {
        let clock = TokioClock::default();
        let log = MemoryLog::new(mix.partitions, Arc::new(clock.clone()));
        Arc::new(Self {
            seed,
            mix,
            clock,
            log,
            outside: Outside::default(),
            audience: Audience::default(),
            ownership: Mutex::default(),
            deaths: Arc::default(),
            dice: Mutex::new(dice),
            trace: Mutex::new(Trace::new(printed)),
            faults: AtomicBool::new(true),
            known: Mutex::default(),
        })
    }

    pub fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn ownership(&self) -> MutexGuard<'_, Ownership> {
        self.ownership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual milliseconds since the run began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    pub async fn pass(&self, ms: u64) {
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// From here on nothing goes wrong any more.
    pub fn stop_faults(&self) {
        self.faults.store(false, Ordering::Relaxed);
        self.trace().note(self.now_ms(), format_args!("the faults stop"));
    }

    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.faults.load(Ordering::Relaxed)
    }

    /// Whether `fault` happens here and now; it is in the trace if so.
    pub fn strikes(&self, fault: Fault, whom: std::fmt::Arguments<'_>) -> bool {
        let rate = self.mix.rate(fault);
        if rate == 0 || !self.is_faulty() || !self.dice().happens(rate) {
            return false;
        }
        self.trace().fault(self.now_ms(), fault, whom);
        true
    }

    /// A number from `low` to `high`.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        self.dice().between(low, high)
    }

    /// Puts a record into the log. Gives its offset.
    ///
    /// # Panics
    /// When the log refuses what has been checked before.
    pub fn land(&self, record: NewRecord) -> u64 {
        let (topic, partition) = (record.topic, record.partition);
        let (key, value) = (record.key.clone(), record.value.clone());
        let mut receipt = self.log.append(vec![record]).expect("the record was checked");
        let offsets = receipt.try_recv().expect("a log in memory answers at once").expect("and takes all");
        let (offset, timestamp_ms) = (offsets[0], self.clock.now_ms());
        let landed =
            Record { topic, partition, offset, timestamp_ms, key, headers: Headers::default(), value };
        self.trace().record(self.now_ms(), &landed);
        if topic == Topic::ConversationEvents {
            self.look_at(&landed);
        }
        offset
    }

    fn look_at(&self, record: &Record) {
        let Some((conversation, recorded)) = read(record, self.mix.partitions) else { return };
        let mut known = self.known();
        let state =
            known.states.entry(conversation.clone()).or_insert_with(|| State::new(conversation.clone()));
        apply(state, &recorded);
        let (wire::Readable::Event(event), Some(command)) = (&recorded.body, recorded.command) else {
            return;
        };
        match event {
            Event::ToolInvocationInDoubt(body) => {
                let (version, step) = (body.version, body.step.clone());
                known.doubts.push((EffectId { conversation, command, version, step }, body.attempt));
            }
            Event::ApprovalRequested(body) => {
                let (version, step) = (body.version, body.step.clone());
                known.approvals.push(EffectId { conversation, command, version, step });
            }
            _ => {}
        }
    }

    /// Whether every acknowledged command has had its say and no turn is open.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let known = self.known();
        known.acknowledged.iter().all(|(conversation, commands)| {
            known.states.get(conversation).is_some_and(|state| {
                state.open.is_empty()
                    && commands.iter().all(|command| state.known(command.as_str()).is_some())
            })
        })
    }
}

/// A record of conversation-events as the fold reads it.
#[must_use]
pub fn read(record: &Record, partitions: u32) -> Option<(ConversationId, Recorded)> {
    if callboard_ports::partition::partition_of(&record.key, partitions) != record.partition {
        return None;
    }
    let (meta, body) = wire::read_event(&record.key, &record.value).ok()?;
    let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
    Some((meta.conversation, Recorded { offset, timestamp_ms, command: meta.command, body }))
}
