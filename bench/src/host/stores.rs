//! Snapshots on the two engines: written as a host writes them, in atomic flushes, and read one conversation at a time.

use std::time::Instant;

use anyhow::{Result, bail};
use callboard_domain::conversation::{State, apply};
use callboard_ports::log::LogIdentity;
use callboard_ports::snapshot::{self, Checkpoint, Dirty, Flush};
use callboard_stores::{Engine, open_snapshots};
use indicatif::ProgressBar;
use serde::Serialize;

use super::fold::STEPS;
use crate::fill::Turn;
use crate::turn::Times;

/// Snapshots of one flush, as a host's.
const FLUSH: usize = 2_000;

#[derive(Debug, Serialize)]
pub struct Store {
    pub engine: &'static str,
    pub snapshots: usize,
    pub snapshot_bytes: f64,
    pub written_per_s: f64,
    pub read_per_s: f64,
    pub read: Times,
}

pub async fn measure(
    engine: Engine,
    word: &'static str,
    snapshots: usize,
    bar: &ProgressBar,
) -> Result<Store> {
    let folder = tempfile::tempdir()?;
    let store = open_snapshots(engine, folder.path())?;
    let identity = LogIdentity("bench".to_owned());
    let states: Vec<State> = (0..snapshots).map(state).collect();
    let (began, mut bytes) = (Instant::now(), 0);
    for (nth, part) in states.chunks(FLUSH).enumerate() {
        let dirty = |(at, state): (usize, &State)| {
            let first = ((nth * FLUSH + at) * Turn::len(STEPS)) as u64;
            Dirty {
                conversation: state.conversation.clone(),
                snapshot: snapshot::encode(state, 0, &identity),
                offsets: (first..first + Turn::len(STEPS) as u64).collect(),
                open: None,
            }
        };
        let dirty: Vec<Dirty> = part.iter().enumerate().map(dirty).collect();
        bytes += dirty.iter().map(|dirty| dirty.snapshot.len()).sum::<usize>();
        let checkpoint = Checkpoint {
            identity: identity.clone(),
            next_offset: ((nth + 1) * FLUSH * Turn::len(STEPS)) as u64,
        };
        store.flush(Flush { partition: 0, dirty, checkpoint }).await?;
        bar.inc(part.len() as u64);
    }
    let written_s = began.elapsed().as_secs_f64();
    let (began, mut took) = (Instant::now(), Vec::with_capacity(snapshots));
    for nth in 0..snapshots {
        // Not in the order of writing: 7,919 is a prime, so that each comes once.
        let state = &states[nth * 7_919 % snapshots];
        let at = Instant::now();
        let stored = store.load(0, &state.conversation).await?;
        let Some(bytes) = stored.snapshot else { bail!("{} has no snapshot", state.conversation) };
        let read = snapshot::decode(&bytes, &state.conversation, 0, &identity, u64::MAX)?;
        took.push(at.elapsed());
        if read != *state {
            bail!("the snapshot of {} is not what was written", state.conversation);
        }
    }
    let read_s = began.elapsed().as_secs_f64();
    store.close().await;
    Ok(Store {
        engine: word,
        snapshots,
        snapshot_bytes: bytes as f64 / snapshots.max(1) as f64,
        written_per_s: snapshots as f64 / written_s,
        read_per_s: snapshots as f64 / read_s,
        read: Times::of(took),
    })
}

/// A conversation with one answered turn.
fn state(number: usize) -> State {
    let turn = Turn::new(&format!("stored-{number}"), 0, STEPS);
    let mut state = State::new(turn.conversation.clone());
    for event in turn.recorded((number * Turn::len(STEPS)) as u64) {
        apply(&mut state, &event);
    }
    state
}
