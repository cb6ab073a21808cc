//! The replay of a catch-up: a partition's records folded into plain states. Where these become too many they are written down
//! and forgotten, while the next ones are folded. Neighbours: `catch_up` (says where it begins), `load` (one conversation
//! back), `fold`.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use callboard_domain::conversation::State;
use callboard_domain::id::ConversationId;
use callboard_domain::wire::Unreadable;
use callboard_ports::log::{Batch, Bounds, LogError, LogIdentity};
use callboard_ports::record::{Record, Topic};
use callboard_ports::snapshot::{self, Checkpoint, Dirty, Flush, Open, SnapshotError};
use futures_util::future::{Either, LocalBoxFuture, select};
use tokio::sync::mpsc::Receiver;

use super::HostContext;
use super::catch_up::patiently;
use super::fold::{fold, hold};
use super::load::{discard, load};
use super::storeless::Mode;
use crate::conversation::open_of;
use crate::decode::{Decoded, Item};

/// Conversations written in one flush: whoever asks the store for another one waits no longer than for these.
const FLUSH: usize = 2_000;
/// Conversations with something open that one partition keeps an index and a timer for: some hundred megabytes at most.
const OPEN_CONVERSATIONS: usize = 1_000_000;

/// What a replay has come to.
pub(super) struct Replayed {
    pub identity: LogIdentity,
    pub position: u64,
    /// What it has touched.
    pub states: Vec<State>,
    /// What else is open, as the store has it.
    pub stored: Vec<(ConversationId, Open)>,
    pub dirty: HashMap<ConversationId, Vec<u64>>,
    pub unreadable: Vec<(Record, Unreadable)>,
}

/// A replay under way.
pub(super) struct Replay {
    context: Rc<HostContext>,
    identity: LogIdentity,
    /// Below it, every record is covered by a stored snapshot.
    checkpoint: u64,
    position: u64,
    end: u64,
    /// Nothing is stored and nothing has been forgotten, so that whoever is not among the states is new.
    fresh: bool,
    /// The replay began at the log's start.
    from_the_start: bool,
    /// States in memory from which on it is shrunk…
    shrink_at: usize,
    /// …or from so many bytes of records on that were folded into them.
    shrink_at_bytes: usize,
    folded_bytes: usize,
    folded: Folded,
    writing: Option<Writing>,
    unreadable: Vec<(Record, Unreadable)>,
}

/// States, and the offsets that went into them; without a store, offsets of forgotten states too.
#[derive(Default)]
struct Folded {
    states: BTreeMap<ConversationId, State>,
    dirty: HashMap<ConversationId, Vec<u64>>,
}

impl Folded {
    fn note(&mut self, id: &ConversationId, offset: u64) {
        match self.dirty.get_mut(id) {
            Some(offsets) => offsets.push(offset),
            None => drop(self.dirty.insert(id.clone(), vec![offset])),
        }
    }

    /// Takes back what was to be written down. Nothing of it was touched since.
    fn take_back(&mut self, older: Self) {
        self.states.extend(older.states);
        self.dirty.extend(older.dirty);
    }
}

/// States on their way into the store. Nobody is folded on before the store has its state.
struct Writing {
    folded: Rc<Folded>,
    /// The checkpoint afterwards.
    covered: u64,
    done: LocalBoxFuture<'static, Result<(), SnapshotError>>,
}

impl Replay {
    pub(super) fn new(
        context: &Rc<HostContext>,
        identity: LogIdentity,
        checkpoint: u64,
        bounds: Bounds,
    ) -> Self {
        let (limits, partitions) = (&context.shared.limits, context.shared.ports.log.partitions());
        Self {
            context: context.clone(),
            identity,
            checkpoint,
            position: checkpoint,
            end: bounds.end,
            fresh: checkpoint <= bounds.start,
            from_the_start: checkpoint <= bounds.start,
            shrink_at: limits.catch_up_states,
            shrink_at_bytes: limits.catch_up_bytes / partitions.max(1) as usize,
            folded_bytes: 0,
            folded: Folded::default(),
            writing: None,
            unreadable: Vec::new(),
        }
    }

    /// Folds everything up to the end.
    pub(super) async fn run(mut self) -> Result<Replayed, LogError> {
        if self.position < self.end {
            let log = self.context.shared.ports.log.clone();
            let range = self.position..self.end;
            let mut batches =
                log.replay(Topic::ConversationEvents, self.context.partition, vec![range], None);
            while let Some(batch) = self.next(&mut batches).await? {
                self.take(batch?).await?;
            }
            self.settle().await?;
            self.position = self.position.max(self.end);
        }
        let stored = self.stored_open().await?;
        Ok(Replayed {
            identity: self.identity,
            position: self.position,
            states: self.folded.states.into_values().collect(),
            stored,
            dirty: self.folded.dirty,
            unreadable: self.unreadable,
        })
    }

    /// The next batch; what is being written gets on meanwhile.
    async fn next(
        &mut self,
        batches: &mut Receiver<Result<Batch, LogError>>,
    ) -> Result<Option<Result<Batch, LogError>>, LogError> {
        if let Some(writing) = &mut self.writing {
            // The one that is polled first: batches may be there all the time.
            let batch = std::pin::pin!(batches.recv());
            match select(&mut writing.done, batch).await {
                Either::Left((written, _)) => self.written(written)?,
                Either::Right((batch, _)) => return Ok(batch),
            }
        }
        Ok(batches.recv().await)
    }

    async fn take(&mut self, batch: Batch) -> Result<(), LogError> {
        let decoded = Decoded::new(batch, self.context.shared.ports.log.partitions());
        for (at, reason) in &decoded.unreadable {
            let record = &decoded.batch.records[*at];
            if record.offset >= self.context.memory.dead_position() {
                self.unreadable.push((record.clone(), reason.clone()));
            }
        }
        for item in &decoded.items {
            self.fold(item).await?;
        }
        self.position = self.position.max(decoded.end());
        self.folded_bytes += decoded.batch.records.iter().map(|record| record.value.len()).sum::<usize>();
        if self.folded.states.len() > self.shrink_at || self.folded_bytes > self.shrink_at_bytes {
            self.shrink().await?;
        }
        Ok(())
    }

    async fn fold(&mut self, item: &Item) -> Result<(), LogError> {
        let id = &item.conversation;
        let folded = if let Some(state) = self.folded.states.get_mut(id) {
            fold(state, &item.recorded)
        } else {
            let mut state = self.begin(id).await?;
            let folded = fold(&mut state, &item.recorded);
            self.folded.states.insert(id.clone(), state);
            folded
        };
        if folded.is_err() {
            // Its state is not to be used any more: once more up to here.
            let mut state = self.read(id).await?;
            hold(&mut state, &item.recorded);
            self.folded.states.insert(id.clone(), state);
        }
        self.folded.note(id, item.recorded.offset);
        Ok(())
    }

    /// A conversation that is not in memory, as it is before the record in hand.
    async fn begin(&mut self, id: &ConversationId) -> Result<State, LogError> {
        if self.writing.as_ref().is_some_and(|writing| writing.folded.dirty.contains_key(id)) {
            self.settle().await?;
        }
        match self.folded.states.remove(id) {
            Some(state) => Ok(state),
            None if self.fresh => Ok(State::new(id.clone())),
            None => self.read(id).await,
        }
    }

    /// Everything below the checkpoint is in its snapshot and index, what has been replayed since is in `dirty`.
    async fn read(&self, id: &ConversationId) -> Result<State, LogError> {
        let replayed = self.folded.dirty.get(id).map_or(&[][..], |offsets| offsets);
        load(&self.context, id, replayed, &self.identity, self.end).await
    }

    /// Writes everything down and forgets it. Without a store, what is open stays: nobody else would know of it.
    async fn shrink(&mut self) -> Result<(), LogError> {
        self.settle().await?;
        (self.folded_bytes, self.fresh) = (0, false);
        if self.context.memory.store.mode() != Mode::Stored {
            self.forget_closed();
            return Ok(());
        }
        // A record whose dead letter is not written yet must be read again after a crash.
        let covered =
            self.unreadable.first().map_or(self.position, |(record, _)| record.offset.min(self.position));
        let folded = Rc::new(std::mem::take(&mut self.folded));
        let (context, identity, checkpoint) = (self.context.clone(), self.identity.clone(), self.checkpoint);
        let states = folded.clone();
        let done = Box::pin(async move {
            patiently(&context, async || write(&context, &identity, &states, checkpoint..covered).await).await
        });
        self.writing = Some(Writing { folded, covered, done });
        Ok(())
    }

    fn forget_closed(&mut self) {
        let now_ms = self.context.shared.now_ms();
        self.folded.states.retain(|_, state| open_of(state, now_ms).is_some());
        self.shrink_at = self.shrink_at.max(self.folded.states.len() * 2);
    }

    /// Waits for what is being written.
    async fn settle(&mut self) -> Result<(), LogError> {
        match &mut self.writing {
            Some(writing) => {
                let written = (&mut writing.done).await;
                self.written(written)
            }
            None => Ok(()),
        }
    }

    /// What was being written is written, or never will be: then the partition goes on without the store.
    fn written(&mut self, written: Result<(), SnapshotError>) -> Result<(), LogError> {
        let Some(Writing { folded, covered, done }) = self.writing.take() else { return Ok(()) };
        drop(done);
        let Err(error) = written else {
            self.checkpoint = covered;
            return Ok(());
        };
        self.context.memory.store.begin(Mode::Indexed);
        if !self.from_the_start {
            // Without the store, everything has to be read.
            return Err(LogError::Unavailable(format!("its snapshots: {error}")));
        }
        let folded = Rc::into_inner(folded).expect("whoever was writing it has been dropped");
        self.folded.take_back(folded);
        self.forget_closed();
        Ok(())
    }

    /// What the store has as open and the replay has not touched. No snapshot is read for it.
    async fn stored_open(&self) -> Result<Vec<(ConversationId, Open)>, LogError> {
        let (store, partition) = (&self.context.shared.ports.snapshots, self.context.partition);
        if self.fresh || self.context.memory.store.mode() != Mode::Stored {
            // Everything was folded, and whatever is open is among the states.
            return Ok(Vec::new());
        }
        match store.open_turns(partition, OPEN_CONVERSATIONS).await {
            Ok(mut stored) => {
                if stored.len() == OPEN_CONVERSATIONS {
                    tracing::error!(partition, "more conversations are open than are kept track of");
                }
                stored.retain(|(id, _)| !self.folded.states.contains_key(id));
                Ok(stored)
            }
            Err(error) => {
                if matches!(error, SnapshotError::Corrupt(_)) {
                    discard(&self.context, &error).await;
                }
                Err(LogError::Unavailable(format!("the open turns are not known: {error}")))
            }
        }
    }
}

/// Writes all states; the checkpoint moves from the start to the end of `checkpoint` with the last part only.
async fn write(
    context: &HostContext,
    identity: &LogIdentity,
    folded: &Folded,
    checkpoint: std::ops::Range<u64>,
) -> Result<(), SnapshotError> {
    let (shared, partition) = (&context.shared, context.partition);
    let now_ms = shared.now_ms();
    // In order: neighbours lie in the same pages of the store, and each of these is written once.
    let states: Vec<(&ConversationId, &State)> = folded.states.iter().collect();
    for (i, part) in states.chunks(FLUSH).enumerate() {
        let last = (i + 1) * FLUSH >= states.len();
        let dirty = part.iter().map(|(id, state)| Dirty {
            conversation: (*id).clone(),
            snapshot: snapshot::encode(state, partition, identity),
            offsets: folded.dirty.get(*id).cloned().unwrap_or_default(),
            open: open_of(state, now_ms),
        });
        let dirty: Vec<Dirty> = dirty.collect();
        let next_offset = if last { checkpoint.end } else { checkpoint.start };
        let checkpoint = Checkpoint { identity: identity.clone(), next_offset };
        let written = dirty.len() as u64;
        let flush = Flush { partition, dirty, checkpoint };
        shared.ports.snapshots.flush(flush).await.inspect_err(
            |error| tracing::warn!(partition, %error, "snapshots not written; the checkpoint stays"),
        )?;
        shared.metrics.snapshots_written.fetch_add(written, Relaxed);
    }
    Ok(())
}
