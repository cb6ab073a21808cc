//! One conversation back into memory: its snapshot, then its later records through the offset index, so that reading
//! one never scans a partition. Without a usable store: the whole partition, filtered by key.

use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Handler, Message};
use callboard_domain::State;
use callboard_domain::id::ConversationId;
use callboard_ports::log::{LogError, LogIdentity};
use callboard_ports::record::Topic;
use callboard_ports::snapshot::{self, SnapshotError, Stored};

use super::fold::{Poison, fold, hold};
use super::storeless::Mode;
use super::{Host, HostContext};
use crate::decode::Decoded;

/// Gaps of up to this many foreign records are read across: cheaper than another seek.
pub(super) const INDEX_GAP: u64 = 64;

/// A conversation has been read.
#[derive(Message)]
#[rtype(result = "()")]
struct Loaded(Box<State>);

impl Host {
    /// Reads a conversation in the background, again and again until it succeeds.
    pub(super) fn start_loading(&mut self, conversation: &ConversationId) {
        let (context, host, id) = (self.context.clone(), self.addr.clone(), conversation.clone());
        let dirty = self.dirty.get(conversation).cloned().unwrap_or_default();
        let (identity, end) = (self.identity.clone(), self.position);
        self.task(async move {
            /// A log that is away is asked again after this.
            const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
            loop {
                match load(&context, &id, &dirty, &identity, end).await {
                    Ok(state) => {
                        let _ = host.send(Loaded(Box::new(state))).await;
                        return;
                    }
                    Err(error) => tracing::warn!(conversation = %id, %error, "cannot be read; trying again"),
                }
                context.shared.ports.clock.sleep(PAUSE).await;
            }
        });
    }
}

/// Reads a conversation up to offset `end`; `dirty` are its offsets that the store does not know yet. Where folding a
/// record panics, the conversation is held in front of it.
pub(super) async fn load(
    context: &Rc<HostContext>,
    id: &ConversationId,
    dirty: &[u64],
    identity: &LogIdentity,
    end: u64,
) -> Result<State, LogError> {
    let mut below = u64::MAX;
    loop {
        let (state, ranges) = begin(context, id, dirty, identity, end).await?;
        match fold_ranges(context, state, ranges, below).await? {
            Ok(state) => return Ok(state),
            Err(poison) => below = poison.offset,
        }
    }
}

/// What is known without reading the log, and where the rest is.
async fn begin(
    context: &Rc<HostContext>,
    id: &ConversationId,
    dirty: &[u64],
    identity: &LogIdentity,
    end: u64,
) -> Result<(State, Vec<Range<u64>>), LogError> {
    let (partition, ports) = (context.partition, &context.shared.ports);
    match context.memory.store.mode() {
        Mode::Stored => match ports.snapshots.load(partition, id).await {
            Ok(stored) => return Ok(from_store(context, id, stored, dirty, identity, end)),
            Err(error) => tracing::warn!(conversation = %id, %error, "no snapshot; reading the partition"),
        },
        Mode::Indexed => {
            let all = dirty.iter().map(|offset| *offset..*offset + 1);
            return Ok((State::new(id.clone()), snapshot::coalesce(all, INDEX_GAP)));
        }
        Mode::Scanning => {}
    }
    let start = ports.log.bounds(Topic::ConversationEvents, partition).await?.start;
    Ok((State::new(id.clone()), vec![start..end]))
}

fn from_store(
    context: &Rc<HostContext>,
    id: &ConversationId,
    stored: Stored,
    dirty: &[u64],
    identity: &LogIdentity,
    end: u64,
) -> (State, Vec<Range<u64>>) {
    let decoded = stored.snapshot.map(|bytes| snapshot::decode(&bytes, id, context.partition, identity, end));
    let state = match decoded {
        Some(Ok(state)) => state,
        Some(Err(reason)) => {
            context.shared.metrics.snapshots_unusable.fetch_add(1, Relaxed);
            tracing::warn!(conversation = %id, %reason, "snapshot not used; folding from the log");
            State::new(id.clone())
        }
        None => State::new(id.clone()),
    };
    // A blocked snapshot holds at its record; a build that knows it goes on from there.
    let from = state.next_offset;
    let later = |range: Range<u64>| (range.end > from).then(|| range.start.max(from)..range.end);
    let known = stored.offsets.into_iter().filter_map(later);
    let fresh = dirty.iter().map(|offset| *offset..*offset + 1).filter_map(later);
    (state, snapshot::coalesce(known.chain(fresh), INDEX_GAP))
}

/// Folds the conversation's records in `ranges`; holds it at the record at `below`.
async fn fold_ranges(
    context: &Rc<HostContext>,
    mut state: State,
    ranges: Vec<Range<u64>>,
    below: u64,
) -> Result<Result<State, Poison>, LogError> {
    // What an older build could not read may be readable now.
    state.blocked = None;
    if ranges.is_empty() {
        return Ok(Ok(state));
    }
    let key = Some(state.conversation.as_str().to_owned());
    let mut batches =
        context.shared.ports.log.replay(Topic::ConversationEvents, context.partition, ranges, key);
    while let Some(batch) = batches.recv().await {
        for item in Decoded::new(batch?, context.shared.ports.log.partitions()).items {
            if item.recorded.offset >= below {
                hold(&mut state, &item.recorded);
                return Ok(Ok(state));
            }
            if let Err(poison) = fold(&mut state, &item.recorded) {
                return Ok(Err(poison));
            }
        }
    }
    Ok(Ok(state))
}

/// The store does not verify: forget it, the log has everything. False where not even that works.
pub(super) async fn discard(context: &Rc<HostContext>, error: &SnapshotError) -> bool {
    tracing::warn!(partition = context.partition, %error, "snapshots discarded; rebuilding from the log");
    match context.shared.ports.snapshots.discard(context.partition).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(partition = context.partition, %error, "snapshots could not be discarded");
            false
        }
    }
}

impl Handler<Loaded> for Host {
    type Result = ();

    fn handle(&mut self, message: Loaded, _: &mut Self::Context) {
        let state = *message.0;
        self.resuming.read(&state.conversation);
        self.loaded(state);
        self.resume();
    }
}
