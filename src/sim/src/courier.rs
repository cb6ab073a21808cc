//! The way from a process to the log: what it appends is dropped, doubled, delayed or misreported. Records of one
//! partition keep their order, as an idempotent producer has it; partitions overtake each other. What is on its way when
//! its process dies may still arrive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callboard_ports::log::{AppendError, Receipt};
use callboard_ports::record::{NewRecord, Topic};
use tokio::sync::{Notify, oneshot};

use crate::fault::Fault;
use crate::world::World;

/// Who waits for an append's outcome, and how long the outcome takes.
type Report = (oneshot::Sender<Result<Vec<u64>, AppendError>>, u64);

/// The records of one append that have not arrived yet.
struct Batch {
    left: usize,
    offsets: Vec<u64>,
    report: Option<Report>,
}

struct Parcel {
    record: NewRecord,
    /// Its place in its batch.
    at: usize,
    batch: Arc<Mutex<Batch>>,
}

#[derive(Default)]
struct Road {
    /// By time of arrival, then by order of sending.
    under_way: BTreeMap<(u64, u64), Parcel>,
    sent: u64,
    /// When the last record of a partition arrives: none after it arrives before it.
    last_ms: BTreeMap<(Topic, u32), u64>,
}

/// One process's way to the log.
pub struct Courier {
    world: Arc<World>,
    who: String,
    road: Mutex<Road>,
    bell: Notify,
}

/// What becomes of an append.
struct Fate {
    delays_ms: (u64, u64),
    twice: bool,
    lost: bool,
    /// The sender is told that nobody knows, after this.
    unknown_ms: Option<u64>,
    /// The acknowledgement takes this long.
    report_ms: u64,
}

impl Courier {
    #[must_use]
    pub fn start(world: &Arc<World>, who: &str) -> Arc<Self> {
        let courier = Arc::new(Self {
            world: world.clone(),
            who: who.to_owned(),
            road: Mutex::default(),
            bell: Notify::new(),
        });
        // Outside of the process: what has been sent arrives without it.
        tokio::spawn(courier.clone().carry());
        courier
    }

    fn road(&self) -> MutexGuard<'_, Road> {
        self.road.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, batch: &[NewRecord]) -> Fate {
        let (world, who) = (&self.world, &self.who);
        let about = batch.first().map_or("nothing", |record| record.topic.name());
        let strikes = |fault| world.strikes(fault, format_args!("{who}, {about}"));
        let mut fate = Fate { delays_ms: (0, 0), twice: false, lost: false, unknown_ms: None, report_ms: 0 };
        if strikes(Fault::AppendDelayed) {
            let most = world.between(1, 1_500);
            fate.delays_ms = (0, most);
        }
        fate.twice = strikes(Fault::AppendTwice);
        if strikes(Fault::AppendDropped) {
            (fate.lost, fate.unknown_ms) = (true, Some(world.between(0, 3_000)));
        } else if strikes(Fault::AppendUnknown) {
            fate.unknown_ms = Some(world.between(0, 3_000));
        } else if strikes(Fault::AppendComesLater) {
            let reported = world.between(0, 1_000);
            (fate.unknown_ms, fate.delays_ms) = (Some(reported), (reported + 1, reported + 12_000));
        } else if strikes(Fault::AppendLate) {
            fate.report_ms = world.between(500, 12_000);
        }
        fate
    }

    /// Takes a batch that the log would take.
    pub fn send(&self, batch: Vec<NewRecord>) -> Receipt {
        let (sender, receipt) = oneshot::channel();
        let fate = self.fate(&batch);
        let mut report = Some((sender, fate.report_ms));
        if let Some(after_ms) = fate.unknown_ms
            && let Some((sender, _)) = report.take()
        {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                let _ = sender.send(Err(AppendError::Unknown("nobody knows".into())));
            });
        }
        if !fate.lost {
            self.put(batch.clone(), &fate, report);
            if fate.twice {
                self.put(batch, &fate, None);
            }
        }
        self.deliver();
        receipt
    }

    fn put(&self, batch: Vec<NewRecord>, fate: &Fate, report: Option<Report>) {
        let (left, now_ms) = (batch.len(), self.world.now_ms());
        let of = Arc::new(Mutex::new(Batch { left, offsets: vec![0; left], report }));
        let mut delays: BTreeMap<(Topic, u32), u64> = BTreeMap::new();
        for (at, record) in batch.into_iter().enumerate() {
            let place = (record.topic, record.partition);
            // Partitions of one batch are requests of their own.
            let delay = *delays
                .entry(place)
                .or_insert_with(|| self.world.between(fate.delays_ms.0, fate.delays_ms.1));
            let mut road = self.road();
            let last_ms = road.last_ms.get(&place).copied().unwrap_or(0);
            let arrives_ms = (now_ms + delay).max(last_ms);
            road.last_ms.insert(place, arrives_ms);
            road.sent += 1;
            let key = (arrives_ms, road.sent);
            road.under_way.insert(key, Parcel { record, at, batch: of.clone() });
        }
        self.bell.notify_one();
    }

    /// Delivers what has arrived. Gives when the next one will.
    fn deliver(&self) -> Option<u64> {
        loop {
            let parcel = {
                let mut road = self.road();
                let (arrives_ms, _) = *road.under_way.first_key_value()?.0;
                if arrives_ms > self.world.now_ms() {
                    return Some(arrives_ms);
                }
                road.under_way.pop_first()?.1
            };
            let copy = self.copies(&parcel.record);
            let offset = self.world.land(parcel.record);
            if let Some((record, after_ms)) = copy {
                later(&self.world, record, after_ms);
            }
            let mut batch = parcel.batch.lock().unwrap_or_else(PoisonError::into_inner);
            batch.offsets[parcel.at] = offset;
            batch.left -= 1;
            if batch.left == 0
                && let Some((sender, report_ms)) = batch.report.take()
            {
                let offsets = std::mem::take(&mut batch.offsets);
                acknowledge(sender, offsets, report_ms);
            }
        }
    }

    async fn carry(self: Arc<Self>) {
        loop {
            match self.deliver() {
                None => self.bell.notified().await,
                Some(at_ms) => {
                    let wait = Duration::from_millis(at_ms.saturating_sub(self.world.now_ms()));
                    tokio::select! {
                        biased;
                        () = self.bell.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// A record that somebody writes again some time later: a foreign producer, or a worker that answers twice.
    fn copies(&self, record: &NewRecord) -> Option<(NewRecord, u64)> {
        if record.topic == Topic::ConversationEvents
            && let Some(value) = second_answer(record)
            && self.world.strikes(Fault::ToolAnsweredTwice, format_args!("{}", self.who))
        {
            return Some((NewRecord { value: value.into(), ..record.clone() }, self.world.between(0, 6_000)));
        }
        let copied = record.topic != Topic::DeadLetterQueue
            && self.world.strikes(Fault::RecordCopied, format_args!("{}", record.topic));
        copied.then(|| (record.clone(), self.world.between(0, 15_000)))
    }

    /// The process died: of what is under way, some never arrives.
    pub fn cut(&self) {
        let mut road = self.road();
        let keys: Vec<(u64, u64)> = road.under_way.keys().copied().collect();
        for key in keys {
            if self.world.dice().happens(500) {
                road.under_way.remove(&key);
            }
        }
    }
}

fn acknowledge(sender: oneshot::Sender<Result<Vec<u64>, AppendError>>, offsets: Vec<u64>, after_ms: u64) {
    if after_ms == 0 {
        let _ = sender.send(Ok(offsets));
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let _ = sender.send(Ok(offsets));
    });
}

/// Puts a record into the log some time later.
pub fn later(world: &Arc<World>, record: NewRecord, after_ms: u64) {
    let world = world.clone();
    tokio::spawn(async move {
        world.pass(after_ms).await;
        world.land(record);
    });
}

/// Another answer to the same request, with another result.
fn second_answer(record: &NewRecord) -> Option<Vec<u8>> {
    const OK: &str = r#""outcome":{"ok":{"#;
    let text = std::str::from_utf8(&record.value).ok()?;
    let at = text.find(OK)? + OK.len();
    Some(format!("{}\"again\":true,{}", &text[..at], &text[at..]).into_bytes())
}
