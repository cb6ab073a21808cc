//! What waits for the writer thread: appends, committed positions, trims, and those who wait for all of it.
//!
//! `append` only takes a short lock. The writer takes everything that fits one drain at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callboard_ports::inbox::Committed;
use callboard_ports::log::{AppendError, Receipt};
use callboard_ports::{NewRecord, Topic};
use tokio::sync::oneshot;

/// One drain becomes one batch of the store: large enough to share an fsync, small enough to stay quick.
const MAX_DRAIN_RECORDS: usize = 4_096;
const MAX_DRAIN_BYTES: usize = 1024 * 1024;
/// Positions go along with the next append; alone they wait this long for company. A crash inside that time
/// only means that some records are delivered again.
const POSITIONS_WAIT: Duration = Duration::from_millis(50);

/// Group, topic, partition.
pub(super) type PositionKey = (String, Topic, u32);

/// One enqueued batch.
pub(super) struct Append {
    pub(super) records: Vec<NewRecord>,
    pub(super) receipt: oneshot::Sender<Result<Vec<u64>, AppendError>>,
    bytes: usize,
}

/// Delete the records of a partition below an offset.
pub(super) struct Trim {
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) before: u64,
}

/// What the writer does in one round.
#[derive(Default)]
pub(super) struct Drain {
    pub(super) appends: Vec<Append>,
    pub(super) positions: Vec<(PositionKey, Committed)>,
    pub(super) trims: Vec<Trim>,
    /// Told when this drain is written: everything enqueued before they asked is part of it or older.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    /// Nothing comes after this drain.
    pub(super) last: bool,
}

#[derive(Default)]
struct State {
    appends: VecDeque<Append>,
    records: usize,
    bytes: usize,
    /// Appends ever enqueued, and ever drained.
    enqueued: u64,
    drained: u64,
    /// Bounded by groups × partitions: a later position replaces an earlier one.
    positions: BTreeMap<PositionKey, Committed>,
    positions_since: Option<Instant>,
    trims: Vec<Trim>,
    /// One per caller that awaits a flush: each with the appends that it waits for.
    waiting: Vec<(u64, oneshot::Sender<()>)>,
    closing: bool,
    /// Why nothing is taken any more.
    closed: Option<String>,
}

pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    max_records: usize,
    max_bytes: usize,
}

impl Queue {
    pub(super) fn new(max_records: usize, max_bytes: usize) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), max_records, max_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, records: Vec<NewRecord>) -> Result<Receipt, AppendError> {
        let bytes: usize = records.iter().map(NewRecord::size_bytes).sum();
        let (receipt, received) = oneshot::channel();
        let mut state = self.state();
        if let Some(reason) = &state.closed {
            return Err(AppendError::Closed(reason.clone()));
        }
        if records.is_empty() {
            let _ = receipt.send(Ok(Vec::new()));
            return Ok(received);
        }
        // A batch larger than the queue must still get through when nothing else is in it.
        let full = state.records + records.len() > self.max_records || state.bytes + bytes > self.max_bytes;
        if full && state.records > 0 {
            return Err(AppendError::Full);
        }
        state.records += records.len();
        state.bytes += bytes;
        state.enqueued += 1;
        let idle = state.appends.is_empty();
        state.appends.push_back(Append { records, receipt, bytes });
        drop(state);
        if idle {
            self.work.notify_one();
        }
        Ok(received)
    }

    pub(super) fn put_position(&self, key: PositionKey, position: Committed) {
        let mut state = self.state();
        if state.closed.is_some() {
            return;
        }
        state.positions.insert(key, position);
        if state.positions_since.is_none() {
            state.positions_since = Some(Instant::now());
            self.work.notify_one();
        }
    }

    pub(super) fn trim(&self, trim: Trim) {
        let mut state = self.state();
        if state.closed.is_none() {
            state.trims.push(trim);
            self.work.notify_one();
        }
    }

    /// Ready (or dropped, when the log is closed) once everything enqueued before is written.
    pub(super) fn written(&self) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let mut state = self.state();
        if state.closed.is_none() {
            let after = state.enqueued;
            state.waiting.push((after, done));
            self.work.notify_one();
        }
        written
    }

    /// Takes nothing more; the writer drains what is there and ends.
    pub(super) fn close(&self, reason: &str) {
        let mut state = self.state();
        state.closing = true;
        state.closed.get_or_insert_with(|| reason.to_owned());
        self.work.notify_one();
    }

    /// Takes nothing more and drops what is there: the log failed. Those who wait learn it from their receipts.
    pub(super) fn fail(&self, reason: &str) {
        let mut state = self.state();
        state.closed = Some(reason.to_owned());
        state.closing = true;
        (state.records, state.bytes) = (0, 0);
        let dropped: Vec<Append> = state.appends.drain(..).collect();
        state.waiting.clear();
        state.trims.clear();
        state.positions.clear();
        drop(state);
        for append in dropped {
            let _ = append.receipt.send(Err(AppendError::Closed(reason.to_owned())));
        }
    }

    /// Waits for work, at most `idle`; an empty drain says that there was none.
    pub(super) fn next(&self, idle: Duration) -> Drain {
        let until = Instant::now() + idle;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let positions_due = state.positions_since.map(|since| since + POSITIONS_WAIT);
            let due = positions_due.map_or(until, |at| at.min(until));
            let busy = !state.appends.is_empty() || !state.trims.is_empty() || !state.waiting.is_empty();
            if busy || state.closing || now >= due {
                return state.take();
            }
            state = self.work.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn take(&mut self) -> Drain {
        let mut drain = Drain::default();
        let (mut records, mut bytes) = (0, 0);
        while let Some(next) = self.appends.front() {
            let fits =
                records + next.records.len() <= MAX_DRAIN_RECORDS && bytes + next.bytes <= MAX_DRAIN_BYTES;
            if !fits && records > 0 {
                break;
            }
            records += next.records.len();
            bytes += next.bytes;
            drain.appends.extend(self.appends.pop_front());
            self.drained += 1;
        }
        self.records -= records;
        self.bytes -= bytes;
        drain.positions = std::mem::take(&mut self.positions).into_iter().collect();
        self.positions_since = None;
        drain.trims = std::mem::take(&mut self.trims);
        let drained = self.drained;
        for (_, done) in self.waiting.extract_if(.., |(after, _)| *after <= drained) {
            drain.waiting.push(done);
        }
        drain.last = self.closing && self.appends.is_empty();
        drain
    }
}
