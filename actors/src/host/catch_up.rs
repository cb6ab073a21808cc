//! Catching up: from the checkpoint to the end of the partition, folding into plain states. Effects are held back until
//! then; afterwards `due` of every open turn says what to do. There is no other recovery.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Handler, Message};
use callboard_domain::conversation::State;
use callboard_domain::id::ConversationId;
use callboard_domain::planted::{self, Defect};
use callboard_domain::wire::Unreadable;
use callboard_ports::inbox::InboxControl;
use callboard_ports::log::{LogError, LogIdentity};
use callboard_ports::record::{Record, Topic};
use callboard_ports::snapshot::{self, Checkpoint, Dirty, Flush, Open, SnapshotError};
use futures_util::future::try_join;

use super::fold::{fold, hold};
use super::identity::identity;
use super::load::{discard, load};
use super::storeless::Mode;
use super::{Host, HostContext, Phase};
use crate::conversation::open_of;
use crate::decode::Decoded;

/// Conversations written in one flush of a catch-up.
const FLUSH: usize = 2_000;
/// A store that fails is asked so often…
const STORE_TRIES: u32 = 4;
/// …with this pause, before the partition goes on without it: a second, which is less than anybody's patience.
const STORE_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
/// Conversations with something open that one partition keeps an index and a timer for: some hundred megabytes at most.
const OPEN_CONVERSATIONS: usize = 1_000_000;

/// The partition as it is at its end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CaughtUp {
    identity: LogIdentity,
    /// The partition was empty: its identity is known for good only after its first record.
    was_empty: bool,
    position: u64,
    /// What the replay has touched.
    states: Vec<State>,
    /// What else is open, as the store has it.
    stored: Vec<(ConversationId, Open)>,
    dirty: HashMap<ConversationId, Vec<u64>>,
    unreadable: Vec<(Record, Unreadable)>,
}

/// A replay under way.
struct Replay {
    context: Rc<HostContext>,
    identity: LogIdentity,
    /// Below it, every record is covered by a stored snapshot.
    checkpoint: u64,
    position: u64,
    /// Nothing is stored and nothing has been forgotten, so that whoever is not among the states is new.
    fresh: bool,
    /// The replay began at the log's start.
    from_the_start: bool,
    /// States in memory from which on it is shrunk.
    shrink_at: usize,
    end: u64,
    states: BTreeMap<ConversationId, State>,
    dirty: HashMap<ConversationId, Vec<u64>>,
    unreadable: Vec<(Record, Unreadable)>,
}

impl Host {
    /// Catches up in the background, again and again until it succeeds.
    pub(super) fn catch_up(&mut self) {
        let (context, inbox, host) = (self.context.clone(), self.feed.inbox.clone(), self.addr.clone());
        self.task(async move {
            /// A log that is away is asked again after this.
            const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
            loop {
                match catch_up(&context, &*inbox).await {
                    Ok(caught_up) => {
                        let _ = host.send(caught_up).await;
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(partition = context.partition, %error, "cannot catch up; trying again");
                    }
                }
                context.shared.ports.clock.sleep(PAUSE).await;
            }
        });
    }
}

async fn catch_up(context: &Rc<HostContext>, inbox: &dyn InboxControl) -> Result<CaughtUp, LogError> {
    let (ports, partition) = (&context.shared.ports, context.partition);
    let bounds = ports.log.bounds(Topic::ConversationEvents, partition);
    let (bounds, ()) = try_join(bounds, learn_dead_position(context, inbox)).await?;
    // After the bounds: a partition that had a record then has the identity that it keeps.
    let identity = identity(context, bounds).await?;
    let checkpoint = starting_point(context, &identity, bounds.start, bounds.end).await;
    let mut replay = Replay {
        context: context.clone(),
        identity,
        checkpoint,
        position: checkpoint,
        fresh: checkpoint <= bounds.start,
        from_the_start: checkpoint <= bounds.start,
        shrink_at: context.shared.limits.catch_up_states,
        end: bounds.end,
        states: BTreeMap::new(),
        dirty: HashMap::new(),
        unreadable: Vec::new(),
    };
    let started_ms = ports.clock.monotonic_ms();
    replay.run().await?;
    let stored = replay.stored_open().await?;
    let states: Vec<State> = std::mem::take(&mut replay.states).into_values().collect();
    if replay.position > checkpoint || !stored.is_empty() {
        tracing::info!(
            partition,
            from = checkpoint,
            to = replay.position,
            touched = states.len(),
            open = stored.len(),
            ms = ports.clock.monotonic_ms() - started_ms,
            "partition caught up"
        );
    }
    Ok(CaughtUp {
        identity: replay.identity,
        was_empty: bounds.start == bounds.end,
        position: replay.position,
        states,
        stored,
        dirty: replay.dirty,
        unreadable: replay.unreadable,
    })
}

/// How far the dead letters are. Asked for once while the partition is ours: the question waits behind the group's commits.
async fn learn_dead_position(context: &HostContext, inbox: &dyn InboxControl) -> Result<(), LogError> {
    let known = &context.memory.dead_position;
    if known.get().is_none() {
        let committed = inbox.committed(Topic::ConversationEvents, context.partition).await?;
        known.set(Some(committed.map_or(0, |position| position.next_offset)));
    }
    Ok(())
}

/// The checkpoint, when it belongs to this log; otherwise the log's start, with the store's content discarded, or without
/// the store where it does not work.
async fn starting_point(context: &Rc<HostContext>, identity: &LogIdentity, start: u64, end: u64) -> u64 {
    let memory = &context.memory.store;
    if memory.is_given_up() {
        memory.begin(Mode::Indexed);
        return start;
    }
    memory.begin(Mode::Stored);
    let error = match read_checkpoint(context).await {
        Ok(Some(Checkpoint { identity: of, next_offset })) if of == *identity && next_offset <= end => {
            if next_offset < start {
                tracing::error!(
                    partition = context.partition,
                    lost = format!("{next_offset}..{start}"),
                    "records of conversation-events were deleted before they were folded"
                );
            }
            return next_offset.max(start);
        }
        Ok(None) => return start,
        Ok(Some(_)) => SnapshotError::Corrupt("the snapshots belong to another log".into()),
        Err(error) => error,
    };
    if matches!(error, SnapshotError::Failed(_)) {
        // What it has may be as good as ever: it is looked at again later.
        tracing::error!(partition = context.partition, %error, "the snapshot store cannot be read");
        memory.begin(Mode::Indexed);
    } else if !discard(context, &error).await {
        memory.begin(Mode::Indexed);
    }
    start
}

/// A store that fails is asked again before it is given up.
async fn read_checkpoint(context: &Rc<HostContext>) -> Result<Option<Checkpoint>, SnapshotError> {
    let ports = &context.shared.ports;
    for _ in 1..STORE_TRIES {
        match ports.snapshots.checkpoint(context.partition).await {
            Err(SnapshotError::Failed(_)) => ports.clock.sleep(STORE_PAUSE).await,
            answer => return answer,
        }
    }
    ports.snapshots.checkpoint(context.partition).await
}

impl Replay {
    async fn run(&mut self) -> Result<(), LogError> {
        if self.position >= self.end {
            return Ok(());
        }
        let log = self.context.shared.ports.log.clone();
        let range = self.position..self.end;
        let mut batches = log.replay(Topic::ConversationEvents, self.context.partition, vec![range], None);
        while let Some(batch) = batches.recv().await {
            let decoded = Decoded::new(batch?, log.partitions());
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
            if self.states.len() > self.shrink_at {
                self.shrink().await?;
            }
        }
        self.position = self.position.max(self.end);
        Ok(())
    }

    async fn fold(&mut self, item: &crate::decode::Item) -> Result<(), LogError> {
        let id = &item.conversation;
        if !self.states.contains_key(id) {
            let state = if self.fresh { State::new(id.clone()) } else { self.read(id).await? };
            self.states.insert(id.clone(), state);
        }
        if let Some(state) = self.states.get_mut(id)
            && fold(state, &item.recorded).is_err()
        {
            // Its state is not to be used any more: once more up to here.
            let mut state = self.read(id).await?;
            hold(&mut state, &item.recorded);
            self.states.insert(id.clone(), state);
        }
        self.dirty.entry(id.clone()).or_default().push(item.recorded.offset);
        Ok(())
    }

    /// A conversation as it is before the record in hand: everything below the checkpoint is in its snapshot and index,
    /// what has been replayed since is in `dirty`.
    async fn read(&self, id: &ConversationId) -> Result<State, LogError> {
        let replayed = self.dirty.get(id).map_or(&[][..], |offsets| offsets);
        load(&self.context, id, replayed, &self.identity, self.end).await
    }

    /// Writes everything down and forgets it. Without a store, what is open stays: nobody else would know of it.
    async fn shrink(&mut self) -> Result<(), LogError> {
        if self.context.memory.store.mode() == Mode::Stored
            && let Err(error) = self.flush_patiently().await
        {
            self.context.memory.store.begin(Mode::Indexed);
            if !self.from_the_start {
                // Without the store, everything has to be read.
                return Err(LogError::Unavailable(format!("its snapshots: {error}")));
            }
        }
        if self.context.memory.store.mode() == Mode::Stored {
            self.states.clear();
        } else {
            let now_ms = self.context.shared.now_ms();
            self.states.retain(|_, state| open_of(state, now_ms).is_some());
        }
        self.shrink_at = self.shrink_at.max(self.states.len() * 2);
        self.fresh = false;
        Ok(())
    }

    /// A store that fails is asked again before it is given up.
    async fn flush_patiently(&mut self) -> Result<(), SnapshotError> {
        for _ in 1..STORE_TRIES {
            match self.flush().await {
                Err(SnapshotError::Failed(_)) => self.context.shared.ports.clock.sleep(STORE_PAUSE).await,
                answer => return answer,
            }
        }
        self.flush().await
    }

    /// Writes all dirty states; the checkpoint moves with the last part only.
    async fn flush(&mut self) -> Result<(), SnapshotError> {
        let partition = self.context.partition;
        // A record whose dead letter is not written yet must be read again after a crash.
        let covered =
            self.unreadable.first().map_or(self.position, |(record, _)| record.offset.min(self.position));
        let now_ms = self.context.shared.now_ms();
        let ids: Vec<ConversationId> = self.dirty.keys().cloned().collect();
        for (i, part) in ids.chunks(FLUSH).enumerate() {
            let last = (i + 1) * FLUSH >= ids.len();
            let dirty: Vec<Dirty> = part
                .iter()
                .filter_map(|id| {
                    let state = self.states.get(id)?;
                    Some(Dirty {
                        conversation: id.clone(),
                        snapshot: snapshot::encode(state, partition, &self.identity),
                        offsets: self.dirty.get(id).cloned().unwrap_or_default(),
                        open: open_of(state, now_ms),
                    })
                })
                .collect();
            let next_offset = if last { covered } else { self.checkpoint };
            let checkpoint = Checkpoint { identity: self.identity.clone(), next_offset };
            let (written, shared) = (dirty.len() as u64, &self.context.shared);
            let flush = Flush { partition, dirty, checkpoint };
            shared.ports.snapshots.flush(flush).await.inspect_err(
                |error| tracing::warn!(partition, %error, "snapshots not written; the checkpoint stays"),
            )?;
            shared.metrics.snapshots_written.fetch_add(written, Relaxed);
        }
        self.checkpoint = covered;
        self.dirty.clear();
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
                stored.retain(|(id, _)| !self.states.contains_key(id));
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

impl Handler<CaughtUp> for Host {
    type Result = ();

    fn handle(&mut self, message: CaughtUp, _: &mut Self::Context) {
        if self.phase != Phase::CatchingUp {
            return;
        }
        self.identity = message.identity;
        self.identity_is_final = !message.was_empty;
        self.position = message.position;
        self.dirty = message.dirty;
        self.enter(Phase::Running);
        self.context.shared.metrics.partitions_owned.fetch_add(1, Relaxed);
        self.feed.tail.assign(self.context.partition, self.position, self.feed.generation);
        self.resume_after_catch_up(message.states, message.stored);
        for (record, reason) in message.unreadable {
            self.bury(&record, &reason);
        }
        if planted::is(Defect::SkipAtTheSeam) {
            self.position += 1;
        }
        self.deliver_open_orders();
        self.resume();
        self.keep_time();
        self.keep_flushing();
        self.keep_probing();
        self.context.orders.flow();
    }
}
