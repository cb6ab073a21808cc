//! Catching up: from the checkpoint to the end of the partition, folding into plain states. Effects are held back until
//! then; afterwards `due` of every open turn says what to do. There is no other recovery.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Handler, Message};
use callboard_domain::apply;
use callboard_domain::conversation::State;
use callboard_domain::id::ConversationId;
use callboard_domain::wire::Unreadable;
use callboard_ports::inbox::InboxControl;
use callboard_ports::log::{LogError, LogIdentity};
use callboard_ports::record::{Record, Topic};
use callboard_ports::snapshot::{self, Checkpoint, Dirty, Flush};

use super::load::{discard, load};
use super::{Host, HostContext, Phase};
use crate::conversation::wake_at_ms;
use crate::decode::Decoded;

/// Conversations written in one flush of a catch-up.
const FLUSH: usize = 2_000;
/// Open turns brought back at start: some hundred megabytes at most…
const OPEN_TURNS: usize = 100_000;
/// …and those of which at least the wake time is kept, which loads them in time.
const KNOWN_OPEN_TURNS: usize = 2_000_000;

/// The partition as it is at its end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CaughtUp {
    identity: LogIdentity,
    /// The partition was empty: its identity is known for good only after its first record.
    was_empty: bool,
    position: u64,
    open: Vec<State>,
    dirty: HashMap<ConversationId, Vec<u64>>,
    unreadable: Vec<(Record, Unreadable)>,
    dead_position: u64,
}

/// A replay under way.
struct Replay {
    context: Rc<HostContext>,
    identity: LogIdentity,
    /// Below it, every record is covered by a stored snapshot.
    checkpoint: u64,
    position: u64,
    /// Nothing is stored, so that no snapshot needs to be looked for.
    fresh: bool,
    end: u64,
    states: HashMap<ConversationId, State>,
    dirty: HashMap<ConversationId, Vec<u64>>,
    unreadable: Vec<(Record, Unreadable)>,
    dead_position: u64,
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
    let identity = ports.log.identity(Topic::ConversationEvents, partition).await?;
    let bounds = ports.log.bounds(Topic::ConversationEvents, partition).await?;
    let dead = inbox.committed(Topic::ConversationEvents, partition).await?;
    let checkpoint = starting_point(context, &identity, bounds.start, bounds.end).await;
    let mut replay = Replay {
        context: context.clone(),
        identity,
        checkpoint,
        position: checkpoint,
        fresh: checkpoint <= bounds.start,
        end: bounds.end,
        states: HashMap::new(),
        dirty: HashMap::new(),
        unreadable: Vec::new(),
        dead_position: dead.map_or(0, |position| position.next_offset),
    };
    let started_ms = ports.clock.monotonic_ms();
    replay.run().await?;
    let open = replay.finish().await?;
    if replay.position > checkpoint || !open.is_empty() {
        tracing::info!(
            partition,
            from = checkpoint,
            to = replay.position,
            open_turns = open.len(),
            ms = ports.clock.monotonic_ms() - started_ms,
            "partition caught up"
        );
    }
    Ok(CaughtUp {
        identity: replay.identity,
        was_empty: bounds.start == bounds.end,
        position: replay.position,
        open,
        dirty: replay.dirty,
        unreadable: replay.unreadable,
        dead_position: replay.dead_position,
    })
}

/// The checkpoint, when it belongs to this log; otherwise the log's start, with the store's content discarded.
async fn starting_point(context: &Rc<HostContext>, identity: &LogIdentity, start: u64, end: u64) -> u64 {
    let stored = context.shared.ports.snapshots.checkpoint(context.partition).await;
    match stored {
        Ok(Some(Checkpoint { identity: of, next_offset })) if of == *identity && next_offset <= end => {
            if next_offset < start {
                tracing::error!(
                    partition = context.partition,
                    lost = format!("{next_offset}..{start}"),
                    "records of conversation-events were deleted before they were folded"
                );
            }
            next_offset.max(start)
        }
        Ok(None) => start,
        Ok(Some(_)) => {
            let error = snapshot::SnapshotError::Corrupt("the snapshots belong to another log".into());
            discard(context, &error).await;
            start
        }
        Err(error) => {
            discard(context, &error).await;
            start
        }
    }
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
                if record.offset >= self.dead_position {
                    self.unreadable.push((record.clone(), reason.clone()));
                }
            }
            for item in &decoded.items {
                self.fold(item).await?;
            }
            self.position = self.position.max(decoded.end());
            if self.states.len() > self.context.shared.limits.catch_up_states {
                self.shrink().await;
            }
        }
        self.position = self.position.max(self.end);
        Ok(())
    }

    async fn fold(&mut self, item: &crate::decode::Item) -> Result<(), LogError> {
        let id = &item.conversation;
        if !self.states.contains_key(id) {
            let state = if self.fresh {
                State::new(id.clone())
            } else {
                // Everything below the checkpoint is in its snapshot and index, everything above follows.
                load(&self.context, id, &[], &self.identity, self.end).await?
            };
            self.states.insert(id.clone(), state);
        }
        if let Some(state) = self.states.get_mut(id) {
            apply(state, &item.recorded);
        }
        self.dirty.entry(id.clone()).or_default().push(item.recorded.offset);
        Ok(())
    }

    /// Writes everything down and forgets what is closed.
    async fn shrink(&mut self) {
        if !self.flush().await {
            // Nothing is forgotten that is not stored.
            return;
        }
        self.states.retain(|_, state| !state.open.is_empty() || state.blocked.is_some());
        self.fresh = false;
    }

    /// Writes all dirty states; the checkpoint moves with the last part only.
    async fn flush(&mut self) -> bool {
        let partition = self.context.partition;
        // A record whose dead letter is not written yet must be read again after a crash.
        let covered =
            self.unreadable.first().map_or(self.position, |(record, _)| record.offset.min(self.position));
        let now_ms = self.context.shared.now_ms();
        let ids: Vec<ConversationId> = self.dirty.keys().cloned().collect();
        for (i, part) in ids.chunks(FLUSH).enumerate() {
            let last = (i + 1) * FLUSH >= ids.len();
            let dirty = part
                .iter()
                .filter_map(|id| {
                    let state = self.states.get(id)?;
                    Some(Dirty {
                        conversation: id.clone(),
                        snapshot: snapshot::encode(state, partition, &self.identity),
                        offsets: self.dirty.get(id).cloned().unwrap_or_default(),
                        wake_at_ms: wake_at_ms(state, now_ms),
                    })
                })
                .collect();
            let next_offset = if last { covered } else { self.checkpoint };
            let checkpoint = Checkpoint { identity: self.identity.clone(), next_offset };
            if let Err(error) =
                self.context.shared.ports.snapshots.flush(Flush { partition, dirty, checkpoint }).await
            {
                tracing::warn!(partition, %error, "snapshots not written; the checkpoint stays");
                return false;
            }
        }
        self.checkpoint = covered;
        self.dirty.clear();
        true
    }

    /// Flushes and gives every state with an open turn, those that were only in the store included.
    async fn finish(&mut self) -> Result<Vec<State>, LogError> {
        if !self.dirty.is_empty() {
            // Where the store refuses, everything stays dirty and is written later.
            let _ = self.flush().await;
        }
        let stored =
            self.context.shared.ports.snapshots.open_turns(self.context.partition, KNOWN_OPEN_TURNS).await;
        let stored = match stored {
            Ok(stored) => stored,
            // Everything was folded from the start: the store knows of nobody else.
            Err(_) if self.fresh => Vec::new(),
            Err(error) => {
                discard(&self.context, &error).await;
                return Err(LogError::Unavailable(format!("the open turns are not known: {error}")));
            }
        };
        for (i, (at_ms, id)) in stored.into_iter().enumerate() {
            if self.states.contains_key(&id) {
                continue;
            }
            if i < OPEN_TURNS {
                let state = load(&self.context, &id, &[], &self.identity, self.end).await?;
                self.states.insert(id, state);
            } else {
                self.context.wakes.set(&id, Some(at_ms));
            }
        }
        let mut open: Vec<State> =
            std::mem::take(&mut self.states).into_values().filter(|state| !state.open.is_empty()).collect();
        open.sort_by_key(|state| state.clock_ms);
        Ok(open)
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
        self.dead.start_at(message.dead_position);
        self.enter(Phase::Running);
        self.context.shared.metrics.partitions_owned.fetch_add(1, Relaxed);
        self.feed.tail.assign(self.context.partition, self.position, self.feed.generation);
        for state in message.open {
            self.launch(state);
        }
        for (record, reason) in message.unreadable {
            self.bury(&record, &reason);
        }
        self.deliver_open_orders();
        self.keep_time();
        self.keep_flushing();
        self.context.orders.flow();
    }
}
