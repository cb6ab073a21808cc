//! One conversation back into memory, by the public parts of what the host does: its snapshot read, verified and decoded; or,
//! without one, its records read through the offset index, decoded and folded.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use callboard_domain::conversation::{Recorded, State, apply};
use callboard_domain::wire;
use callboard_ports::Topic;
use callboard_ports::log::Log;
use callboard_ports::snapshot::{self, Checkpoint, Dirty, Flush, SnapshotStore};
use callboard_stores::{EmbeddedLog, EmbeddedOptions, Engine, Fsync, open_snapshots};
use indicatif::ProgressBar;
use serde::Serialize;

use super::fold::STEPS;
use crate::fill::{self, Turn};
use crate::turn::Times;

/// Other conversations, whose turns lie between those of the one that is read: a log is not sorted by conversation.
const OTHERS: usize = 3;
/// Offsets closer than this are read in one go, as the host does.
const INDEX_GAP: u64 = 64;
const MOST_TRIES: usize = 500;

#[derive(Debug, Serialize)]
pub struct Rehydration {
    pub events: usize,
    pub snapshot_bytes: usize,
    pub from_snapshot: Times,
    pub from_genesis: Times,
}

pub async fn measure(events: usize, length: Duration) -> Result<Rehydration> {
    let folder = tempfile::tempdir()?;
    let options = EmbeddedOptions { partitions: 1, fsync: Fsync::Never, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(&folder.path().join("log"), options)?;
    let turns = events.div_ceil(Turn::len(STEPS)) as u64;
    let subject = Turn::new("read-back", 0, STEPS).conversation;
    let all = (0..turns).flat_map(|number| {
        let others = (0..OTHERS).map(move |other| Turn::new(&format!("other-{other}"), number, STEPS));
        std::iter::once(Turn::new("read-back", number, STEPS)).chain(others)
    });
    fill::fill(&*log, all, &ProgressBar::hidden()).await?;
    let end = log.bounds(Topic::ConversationEvents, 0).await?.end;
    let (state, offsets) = replay(&*log, &[0..end], &subject).await?;
    let identity = log.identity(Topic::ConversationEvents, 0).await?;
    let store = open_snapshots(Engine::default(), folder.path())?;
    let encoded = snapshot::encode(&state, 0, &identity);
    let snapshot_bytes = encoded.len();
    let dirty =
        Dirty { conversation: subject.clone(), snapshot: encoded, offsets: offsets.clone(), open: None };
    let checkpoint = Checkpoint { identity: identity.clone(), next_offset: end };
    store.flush(Flush { partition: 0, dirty: vec![dirty], checkpoint }).await?;
    let ranges = snapshot::coalesce(offsets.iter().map(|offset| *offset..*offset + 1), INDEX_GAP);
    let mut from_snapshot = Vec::new();
    let began = Instant::now();
    while from_snapshot.len() < MOST_TRIES && (from_snapshot.is_empty() || began.elapsed() < length) {
        let at = Instant::now();
        let read = load(&*store, &subject, &identity, end).await?;
        from_snapshot.push(at.elapsed());
        same(&read, &state)?;
    }
    let mut from_genesis = Vec::new();
    let began = Instant::now();
    while from_genesis.len() < MOST_TRIES && (from_genesis.is_empty() || began.elapsed() < length) {
        let at = Instant::now();
        let (read, _) = replay(&*log, &ranges, &subject).await?;
        from_genesis.push(at.elapsed());
        same(&read, &state)?;
    }
    store.close().await;
    log.close().await;
    Ok(Rehydration {
        events: turns as usize * Turn::len(STEPS),
        snapshot_bytes,
        from_snapshot: Times::of(from_snapshot),
        from_genesis: Times::of(from_genesis),
    })
}

type Id = callboard_domain::id::ConversationId;
type Identity = callboard_ports::log::LogIdentity;

async fn load(store: &dyn SnapshotStore, id: &Id, identity: &Identity, end: u64) -> Result<State> {
    let stored = store.load(0, id).await?;
    let Some(bytes) = stored.snapshot else { bail!("the snapshot that was written is not there") };
    let state = snapshot::decode(&bytes, id, 0, identity, end)?;
    // What a host would still have to read: nothing here, but it looks.
    if stored.offsets.iter().any(|range| range.end > state.next_offset) {
        bail!("the index has records that the snapshot lacks");
    }
    Ok(state)
}

async fn replay(log: &dyn Log, ranges: &[std::ops::Range<u64>], id: &Id) -> Result<(State, Vec<u64>)> {
    let (mut state, mut offsets) = (State::new(id.clone()), Vec::new());
    let key = Some(id.as_str().to_owned());
    let mut batches = log.replay(Topic::ConversationEvents, 0, ranges.to_vec(), key);
    while let Some(batch) = batches.recv().await {
        for record in batch?.records.iter() {
            let (meta, body) = wire::read_event(&record.key, &record.value)?;
            let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
            apply(&mut state, &Recorded { offset, timestamp_ms, command: meta.command, body });
            offsets.push(offset);
        }
    }
    Ok((state, offsets))
}

fn same(read: &State, wanted: &State) -> Result<()> {
    if read != wanted {
        bail!("what was read back is not what was written");
    }
    Ok(())
}
