//! The ledger as one lane of a pool reads it: a [`Book`] per partition, folded from a tail of `tool-effects` that is opened
//! when it is needed first. Lives on the lane's arbiter; `reserve` and `perform` ask it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use callboard_domain::ledger::{Book, Claim as Asked, Reservation, Verdict};
use callboard_domain::wire;
use callboard_ports::log::{LogError, TailControl, TailEvent};
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Claim;
use crate::pool::Invocation;
use crate::shared::Shared;

/// A log that cannot be asked now is asked again after this: a broker that is away comes back within seconds.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Another's claim is over only this long after its time: clocks that NTP keeps are closer to each other, and what is declared
/// abandoned too early is in doubt until its late result closes that.
const CLOCKS_APART_MS: i64 = 2_000;

/// Ends a task with its owner.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One partition.
struct Shelf {
    book: Book,
    generation: u64,
    /// The newest append time: the log's clock is there already.
    latest_ms: i64,
    /// The end when it was opened: what lies before it has to be read first.
    end: Option<u64>,
    /// Rings whenever something was read.
    moved: Rc<Notify>,
    _opening: Task,
}

impl Shelf {
    fn is_ready(&self) -> bool {
        self.end.is_some_and(|end| self.book.next_offset() >= end)
    }
}

#[derive(Default)]
struct Shelves {
    by_partition: BTreeMap<u32, Shelf>,
    tail: Option<(Arc<dyn TailControl>, Task)>,
    generation: u64,
}

/// See the module.
pub struct Ledger {
    pub(super) shared: Arc<Shared>,
    me: Weak<Self>,
    shelves: RefCell<Shelves>,
}

impl Ledger {
    pub fn new(shared: Arc<Shared>) -> Rc<Self> {
        Rc::new_cyclic(|me| Self { shared, me: me.clone(), shelves: RefCell::default() })
    }

    /// Where the entries of `effect` are, whatever partition its request came from.
    pub fn partition_of(&self, invocation: &Invocation) -> u32 {
        let effect = invocation.effect_id.to_string();
        partition_of(effect.as_bytes(), self.shared.ports.log.partitions())
    }

    /// Forgets the partitions that nobody `needs` any more.
    pub fn retain(&self, needs: impl Fn(u32) -> bool) {
        let mut shelves = self.shelves.borrow_mut();
        let gone: Vec<u32> = shelves.by_partition.keys().copied().filter(|of| !needs(*of)).collect();
        for partition in gone {
            shelves.by_partition.remove(&partition);
            if let Some((tail, _)) = &shelves.tail {
                tail.unassign(partition);
            }
        }
    }

    /// Partitions read, and effects kept in mind.
    pub fn size(&self) -> (usize, usize) {
        let shelves = self.shelves.borrow();
        (shelves.by_partition.len(), shelves.by_partition.values().map(|shelf| shelf.book.len()).sum())
    }

    /// Looks at a partition, opening it when need be.
    fn at<R>(&self, partition: u32, look: impl FnOnce(&Shelf) -> R) -> R {
        let mut shelves = self.shelves.borrow_mut();
        let Shelves { by_partition, generation, .. } = &mut *shelves;
        let shelf = by_partition.entry(partition).or_insert_with(|| {
            *generation += 1;
            self.opened(partition, *generation, Rc::default())
        });
        look(shelf)
    }

    fn opened(&self, partition: u32, generation: u64, moved: Rc<Notify>) -> Shelf {
        let opening = actix::spawn(open(self.me.clone(), self.shared.clone(), partition, generation));
        Shelf {
            book: Book::default(),
            generation,
            latest_ms: i64::MIN,
            end: None,
            moved,
            _opening: Task(opening.abort_handle()),
        }
    }

    /// The bell of a partition that is `not` yet as wished.
    fn bell_unless(&self, partition: u32, wished: impl FnOnce(&Shelf) -> bool) -> Option<Rc<Notify>> {
        self.at(partition, |shelf| (!wished(shelf)).then(|| shelf.moved.clone()))
    }

    /// Waits until `wished` holds of a partition. Nothing happens between the look and the wait: one thread.
    pub(super) async fn until(&self, partition: u32, wished: impl Fn(&Book) -> bool) {
        while let Some(bell) = self.bell_unless(partition, |shelf| shelf.is_ready() && wished(&shelf.book)) {
            bell.notified().await;
        }
    }

    /// Waits until the partition was read to the end that it had when it was opened.
    pub async fn ready(&self, partition: u32) {
        self.until(partition, |_| true).await;
    }

    pub(super) fn next_offset(&self, partition: u32) -> u64 {
        self.at(partition, |shelf| shelf.book.next_offset())
    }

    pub fn is_ready(&self, partition: u32) -> bool {
        self.at(partition, Shelf::is_ready)
    }

    /// Waits until what the log holds now has been read.
    pub(super) async fn fresh(&self, partition: u32) {
        let end = loop {
            match self.shared.ports.log.bounds(Topic::ToolEffects, partition).await {
                Ok(bounds) => break bounds.end,
                Err(error) => tracing::warn!(partition, %error, "the end of the ledger cannot be asked for"),
            }
            self.shared.ports.clock.sleep(ASK_AGAIN).await;
        };
        self.until(partition, |book| book.next_offset() >= end).await;
    }

    /// Waits for news of a partition.
    pub async fn news(&self, partition: u32) {
        let bell = self.at(partition, |shelf| shelf.moved.clone());
        bell.notified().await;
    }

    /// What may be done for `invocation` now. The clock is this machine's, never behind what the log has shown.
    pub fn judge(&self, invocation: &Invocation, not_after_ms: i64, claim: &Claim) -> Verdict {
        let local_ms = self.shared.now_ms();
        self.at(self.partition_of(invocation), |shelf| {
            let now_ms = local_ms.max(shelf.latest_ms);
            let asked = Asked {
                effect: &invocation.effect_id,
                attempt: invocation.attempt,
                owner: &claim.owner,
                started: claim.has_started(),
                not_after_ms,
            };
            let verdict = shelf.book.judge(asked, now_ms);
            if verdict == Verdict::Abandoned
                && let Some(reserved) =
                    shelf.book.standing(&invocation.effect_id).and_then(|s| s.reserved.as_ref())
                && reserved.owner != claim.owner
                && now_ms <= reserved.over_ms().saturating_add(CLOCKS_APART_MS)
            {
                return Verdict::Wait { until_ms: reserved.over_ms().saturating_add(CLOCKS_APART_MS) };
            }
            verdict
        })
    }

    /// From here on it is later than `at_ms` by everybody's clock.
    pub(super) fn surely_after_ms(&self, at_ms: i64) -> i64 {
        at_ms.saturating_add(CLOCKS_APART_MS)
    }

    /// Waits until `at_ms`, or until the verdict is no longer that somebody else may be running it.
    pub async fn later(&self, invocation: &Invocation, not_after_ms: i64, claim: &Claim, mut at_ms: i64) {
        let partition = self.partition_of(invocation);
        self.ready(partition).await;
        loop {
            let now_ms = self.shared.now_ms();
            match self.judge(invocation, not_after_ms, claim) {
                Verdict::Wait { until_ms } => at_ms = until_ms,
                Verdict::Expired if now_ms <= at_ms => {}
                _ => return,
            }
            let left_ms = u64::try_from(at_ms - now_ms).unwrap_or(0) + 1;
            tokio::select! {
                biased;
                () = self.news(partition) => {}
                () = self.shared.ports.clock.sleep(Duration::from_millis(left_ms)) => {}
            }
        }
    }

    /// The first Reserved of this attempt.
    pub(super) fn reservation(&self, invocation: &Invocation) -> Option<Reservation> {
        self.at(self.partition_of(invocation), |shelf| {
            let standing = shelf.book.standing(&invocation.effect_id)?;
            standing.reserved.clone().filter(|_| standing.attempt == invocation.attempt)
        })
    }

    fn read(&self, event: TailEvent) {
        let mut shelves = self.shelves.borrow_mut();
        match event {
            TailEvent::Batch { batch, generation } => {
                let found = shelves.by_partition.get_mut(&batch.partition);
                let Some(shelf) = found.filter(|shelf| shelf.generation == generation) else { return };
                for record in batch.records.iter() {
                    shelf.latest_ms = shelf.latest_ms.max(record.timestamp_ms);
                    match wire::read_ledger(&record.value) {
                        Ok((_, entry)) if entry.key().as_bytes() == &*record.key => {
                            shelf.book.apply(record.offset, record.timestamp_ms, &entry);
                        }
                        // Whoever writes anything else here, it reserves and commits nothing.
                        _ => shelf.book.skip(record.offset),
                    }
                }
                shelf.moved.notify_waiters();
            }
            TailEvent::Failed { partition, generation, error } => {
                let found = shelves.by_partition.get(&partition);
                let Some(shelf) = found.filter(|shelf| shelf.generation == generation) else { return };
                tracing::error!(partition, %error, "the ledger is read again from its start");
                let moved = shelf.moved.clone();
                shelves.generation += 1;
                let again = self.opened(partition, shelves.generation, moved);
                shelves.by_partition.insert(partition, again);
            }
        }
    }

    /// Begins to read a partition whose bounds are known.
    fn begin(&self, partition: u32, generation: u64, start: u64, end: u64) -> Result<(), LogError> {
        let mut shelves = self.shelves.borrow_mut();
        let Shelves { by_partition, tail, .. } = &mut *shelves;
        let Some(shelf) = by_partition.get_mut(&partition).filter(|shelf| shelf.generation == generation)
        else {
            return Ok(());
        };
        let control = match tail {
            Some((control, _)) => control,
            None => {
                let opened = self.shared.ports.log.tail(Topic::ToolEffects, 1)?;
                let mut lanes = opened.lanes;
                let me = self.me.clone();
                let pump = actix::spawn(async move {
                    let Some(mut lane) = lanes.pop() else { return };
                    while let Some(event) = lane.recv().await {
                        let Some(ledger) = me.upgrade() else { return };
                        ledger.read(event);
                    }
                });
                &tail.insert((opened.control, Task(pump.abort_handle()))).0
            }
        };
        control.assign(partition, start, generation);
        if start > 0 {
            shelf.book.skip(start - 1);
        }
        shelf.end = Some(end);
        shelf.moved.notify_waiters();
        Ok(())
    }
}

/// Opens a partition, asking until the log answers.
async fn open(ledger: Weak<Ledger>, shared: Arc<Shared>, partition: u32, generation: u64) {
    loop {
        let error = match shared.ports.log.bounds(Topic::ToolEffects, partition).await {
            Ok(bounds) => {
                let Some(ledger) = ledger.upgrade() else { return };
                match ledger.begin(partition, generation, bounds.start, bounds.end) {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        tracing::warn!(partition, %error, "the ledger cannot be read now");
        shared.ports.clock.sleep(ASK_AGAIN).await;
    }
}
