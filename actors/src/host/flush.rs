//! Snapshots and checkpoint: dirty conversations are written down every so often, all of it in one atomic flush, so that
//! the checkpoint never runs ahead of the snapshots it relies on. No turn waits for a snapshot. Idle conversations leave
//! memory on the way.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

use actix::{ActorContext, Addr, Handler, Message};
use callboard_domain::State;
use callboard_domain::id::ConversationId;
use callboard_domain::planted::{self, Defect};
use callboard_ports::log::LogIdentity;
use callboard_ports::record::Topic;
use callboard_ports::snapshot::{self, Checkpoint, Dirty, Flush, SnapshotError};
use tokio::sync::oneshot;

use super::storeless::Mode;
use super::{Host, Phase};
use crate::conversation::{Conversation, Snapshotted, TakeSnapshot, open_of};
use crate::crash_point::crash_point;
use crate::supervise::Ending;

/// The state of flushing.
#[derive(Default)]
pub(super) struct Flushing {
    busy: bool,
    checkpoint: u64,
    retiring: Option<oneshot::Sender<()>>,
    final_rounds: u32,
    /// What a catch-up has folded and nobody needs now: kept until it is written down, which no turn waits for.
    kept: HashMap<ConversationId, State>,
    /// Whether the round under way writes any of these down.
    takes_kept: bool,
}

impl Flushing {
    pub fn keep(&mut self, state: State) {
        self.kept.insert(state.conversation.clone(), state);
    }

    pub fn keeps(&self, conversation: &ConversationId) -> bool {
        self.kept.contains_key(conversation)
    }

    pub fn take_kept(&mut self, conversation: &ConversationId) -> Option<State> {
        self.kept.remove(conversation)
    }
}

/// Who is to be written down.
#[derive(Default)]
struct Candidates {
    /// In memory, and whether they may leave.
    live: Vec<(ConversationId, Addr<Conversation>, bool)>,
    kept: Vec<State>,
}

/// Time to flush.
#[derive(Message)]
#[rtype(result = "()")]
struct FlushTick;

/// Conversations have written themselves down.
#[derive(Message)]
#[rtype(result = "()")]
struct Gathered {
    taken: Vec<(ConversationId, Snapshotted)>,
    /// Those that were asked to leave.
    leaving: Vec<ConversationId>,
    /// The partition's identity, when it had to be asked for.
    fetched: Option<LogIdentity>,
}

/// The store has (or has not) taken it: below these offsets (`None`: all) the conversations are covered.
#[derive(Message)]
#[rtype(result = "()")]
struct Flushed {
    covered: Vec<(ConversationId, Option<u64>)>,
    checkpoint: u64,
    stored: Result<(), SnapshotError>,
}

/// "Write everything down and go": the partition is being given up. Answered when it is done.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire(pub oneshot::Sender<()>);

impl Host {
    pub(super) fn keep_flushing(&mut self) {
        let (shared, addr) = (self.context.shared.clone(), self.addr.clone());
        let (partition, partitions) = (self.context.partition, shared.ports.log.partitions().max(1));
        self.task(async move {
            // Each partition at its own time: all at once they would take the processors from every turn.
            let every = shared.limits.flush_every;
            let mut pause = every * (partition % partitions + 1) / partitions;
            loop {
                shared.ports.clock.sleep(pause).await;
                if addr.send(FlushTick).await.is_err() {
                    return;
                }
                pause = every;
            }
        });
    }

    /// Dirty conversations first, then idle ones that may leave.
    fn candidates(&mut self) -> Candidates {
        let limits = &self.context.shared.limits;
        let mut chosen: BTreeMap<ConversationId, (Addr<Conversation>, bool)> = BTreeMap::new();
        let (mut lost, mut kept) = (Vec::new(), Vec::new());
        // The longest dirty first: the checkpoint waits for them.
        let stored = self.dirty.iter().filter(|_| self.context.memory.store.mode() == Mode::Stored);
        let mut dirty: Vec<(u64, &ConversationId)> =
            stored.filter_map(|(id, offsets)| Some((*offsets.first()?, id))).collect();
        dirty.sort_unstable();
        dirty.truncate(limits.flush_conversations);
        for (_, id) in dirty {
            match self.slots.addr(id) {
                Some(addr) => drop(chosen.insert(id.clone(), (addr, false))),
                None if self.slots.contains(id) => {}
                None => match self.flush.kept.remove(id) {
                    Some(state) => kept.push(state),
                    None => lost.push(id.clone()),
                },
            }
        }
        let now_ms = self.context.shared.ports.clock.monotonic_ms();
        let (idle_ms, may_leave) = (self.idle_ms(), self.phase == Phase::Running);
        let is_idle = |touched_ms: u64| now_ms.saturating_sub(touched_ms) >= idle_ms;
        let idle = self.slots.live().filter(|(_, live)| may_leave && is_idle(live.touched_ms));
        for (id, live) in idle.take(limits.flush_conversations) {
            chosen.entry(id.clone()).or_insert_with(|| (live.addr.clone(), false)).1 = true;
        }
        // Dirty and not in memory: brought back so that it can be written down.
        for id in lost {
            self.load(&id);
        }
        let live = chosen.into_iter().map(|(id, (addr, leaves))| (id, addr, leaves)).collect();
        Candidates { live, kept }
    }

    /// How long a conversation may idle: hardly at all when there are too many.
    fn idle_ms(&self) -> u64 {
        const CROWDED_IDLE_MS: u64 = 500;
        let limits = &self.context.shared.limits;
        if self.slots.are_crowded(limits) {
            return CROWDED_IDLE_MS;
        }
        u64::try_from(limits.passivate_after.as_millis()).unwrap_or(u64::MAX)
    }

    fn gather(&mut self) {
        let Candidates { live: candidates, kept } = self.candidates();
        let leaving: Vec<ConversationId> =
            candidates.iter().filter(|(_, _, leaves)| *leaves).map(|(id, _, _)| id.clone()).collect();
        leaving.iter().for_each(|id| self.slots.leaving(id));
        let (known, is_final) = (self.identity.clone(), self.identity_is_final || self.position == 0);
        let (idle_ms, partition) = (self.idle_ms(), self.context.partition);
        self.flush.busy = true;
        self.flush.takes_kept = !kept.is_empty();
        let (host, log) = (self.addr.clone(), self.context.shared.ports.log.clone());
        let now_ms = self.context.shared.now_ms();
        self.task(async move {
            // A partition that was empty gets its identity with its first record.
            let fetched = match is_final {
                true => None,
                false => log.identity(Topic::ConversationEvents, partition).await.ok(),
            };
            let identity = fetched.clone().unwrap_or(known);
            let ask = |(id, addr, leaves): (ConversationId, Addr<Conversation>, bool)| {
                let take =
                    TakeSnapshot { identity: identity.clone(), passivate_idle_ms: leaves.then_some(idle_ms) };
                async move { addr.send(take).await.ok().map(|taken| (id, taken)) }
            };
            let live = futures_util::future::join_all(candidates.into_iter().map(ask)).await;
            let write = |state: State| {
                let bytes = snapshot::encode(&state, partition, &identity);
                let covers = if state.blocked.is_some() { None } else { Some(state.next_offset) };
                let taken = Snapshotted { bytes, covers, open: open_of(&state, now_ms), passivated: false };
                (state.conversation, taken)
            };
            let taken = live.into_iter().flatten().chain(kept.into_iter().map(write)).collect();
            let _ = host.send(Gathered { taken, leaving, fetched }).await;
        });
    }

    /// The lowest offset that would not be covered after this flush.
    fn checkpoint_after(&self, covered: &HashMap<&ConversationId, Option<u64>>) -> u64 {
        if planted::is(Defect::PositionAsCheckpoint) {
            return self.position;
        }
        let first_uncovered = |(id, offsets): (&ConversationId, &Vec<u64>)| match covered.get(id) {
            Some(None) => None,
            Some(Some(below)) => offsets.iter().copied().find(|offset| offset >= below),
            None => offsets.first().copied(),
        };
        let lowest = self.dirty.iter().filter_map(first_uncovered).chain(self.dead.first_open()).min();
        lowest.map_or(self.position, |lowest| lowest.min(self.position))
    }
}

impl Handler<FlushTick> for Host {
    type Result = ();

    fn handle(&mut self, _: FlushTick, context: &mut Self::Context) {
        if self.phase != Phase::Running {
            return;
        }
        self.tell_gauges();
        if !self.bound_uncovered() {
            self.ending.set(Ending::Failed);
            context.stop();
        } else if !self.flush.busy {
            self.gather();
        }
    }
}

impl Handler<Gathered> for Host {
    type Result = ();

    fn handle(&mut self, message: Gathered, context: &mut Self::Context) {
        if let Some(identity) = message.fetched {
            self.context.memory.identity.confirm(&identity, self.position);
            (self.identity, self.identity_is_final) = (identity, true);
        }
        for (id, taken) in &message.taken {
            self.slots.weigh(id, taken.bytes.len());
        }
        for id in &message.leaving {
            let gone = message.taken.iter().any(|(of, taken)| of == id && taken.passivated);
            self.left(id, gone);
        }
        if !self.has_store() {
            self.flush.busy = false;
            if self.phase == Phase::Retiring {
                self.retired(context);
            }
            return;
        }
        let covered: HashMap<&ConversationId, Option<u64>> =
            message.taken.iter().map(|(id, taken)| (id, taken.covers)).collect();
        let checkpoint = self.checkpoint_after(&covered);
        let covered = covered.into_iter().map(|(id, below)| (id.clone(), below)).collect();
        // Without new records the store has it already, or there is nothing to have (somebody asked about an id that is
        // none).
        let dirty = message.taken.into_iter().filter_map(|(conversation, taken)| {
            let is_covered = |offset: &u64| taken.covers.is_none_or(|below| *offset < below);
            let offsets: Vec<u64> =
                self.dirty.get(&conversation)?.iter().copied().filter(is_covered).collect();
            let (snapshot, open) = (taken.bytes, taken.open);
            (!offsets.is_empty()).then_some(Dirty { conversation, snapshot, offsets, open })
        });
        let dirty: Vec<Dirty> = dirty.collect();
        if dirty.is_empty() && checkpoint == self.flush.checkpoint {
            let (host, stored) = (self.addr.clone(), Ok(()));
            self.task(
                async move { host.send(Flushed { covered, checkpoint, stored }).await.unwrap_or_default() },
            );
            return;
        }
        let flush = Flush {
            partition: self.context.partition,
            dirty,
            checkpoint: Checkpoint { identity: self.identity.clone(), next_offset: checkpoint },
        };
        let (context, host) = (self.context.clone(), self.addr.clone());
        self.task(async move {
            let written = flush.dirty.len() as u64;
            crash_point!("flush_asked");
            let stored = context.shared.ports.snapshots.flush(flush).await;
            crash_point!("flush_written");
            match &stored {
                Ok(()) => drop(context.shared.metrics.snapshots_written.fetch_add(written, Relaxed)),
                Err(error) => tracing::warn!(partition = context.partition, %error, "snapshots not written"),
            }
            let _ = host.send(Flushed { covered, checkpoint, stored }).await;
        });
    }
}

impl Handler<Flushed> for Host {
    type Result = ();

    fn handle(&mut self, message: Flushed, context: &mut Self::Context) {
        self.flush.busy = false;
        if matches!(message.stored, Err(SnapshotError::Corrupt(_))) && self.phase == Phase::Running {
            // Starting again discards what does not verify and rebuilds it from the log, or goes on without.
            self.context.memory.store.corrupt(self.now_ms());
            self.ending.set(Ending::Failed);
            context.stop();
            return;
        }
        if message.stored.is_ok() {
            self.flush.checkpoint = message.checkpoint;
            for (id, below) in message.covered {
                let Some(offsets) = self.dirty.get_mut(&id) else { continue };
                offsets.retain(|offset| below.is_some_and(|below| *offset >= below));
                if offsets.is_empty() {
                    self.dirty.remove(&id);
                }
            }
        }
        if self.flush.retiring.is_none() {
            // At once while it gets on; those whose turn it is may be on their way into memory, which takes its time.
            if message.stored.is_ok() && self.flush.takes_kept && !self.flush.kept.is_empty() {
                self.gather();
            }
            return;
        }
        /// Flushes of a retiring host: it may hold more conversations than one flush takes.
        const FINAL_ROUNDS: u32 = 50;
        self.flush.final_rounds += 1;
        if message.stored.is_ok() && !self.dirty.is_empty() && self.flush.final_rounds < FINAL_ROUNDS {
            self.gather();
            return;
        }
        self.retired(context);
    }
}

impl Host {
    /// Everything is written down that will be.
    fn retired(&mut self, context: &mut actix::Context<Self>) {
        if let Some(done) = self.flush.retiring.take() {
            let _ = done.send(());
        }
        self.ending.set(Ending::Finished);
        context.stop();
    }
}

impl Handler<Retire> for Host {
    type Result = ();

    fn handle(&mut self, message: Retire, context: &mut Self::Context) {
        self.context.orders.revoke();
        self.feed.tail.unassign(self.context.partition);
        let was = self.phase;
        if was == Phase::Running {
            self.context.shared.metrics.partitions_owned.fetch_sub(1, Relaxed);
        }
        self.enter(Phase::Retiring);
        if was == Phase::CatchingUp {
            // Nothing is in memory that the log does not have.
            let _ = message.0.send(());
            self.ending.set(Ending::Finished);
            context.stop();
            return;
        }
        self.flush.retiring = Some(message.0);
        if !self.flush.busy {
            self.gather();
        }
    }
}
