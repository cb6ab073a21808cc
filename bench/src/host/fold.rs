//! The fold alone, on one core: from decoded events, and from a record's bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use callboard_domain::conversation::{Applied, Recorded, State, apply};
use callboard_domain::wire;
use callboard_ports::NewRecord;
use serde::Serialize;

use crate::fill::Turn;

/// Conversations that are folded in turns: more than fit a processor's first cache.
const CONVERSATIONS: usize = 200;
/// Turns of each: talks end.
const TURNS: u64 = 20;
pub const STEPS: usize = 3;

/// Events a second on one core.
#[derive(Debug, Serialize)]
pub struct Fold {
    pub fold_per_s: f64,
    pub decode_and_fold_per_s: f64,
    pub mean_event_bytes: f64,
}

pub fn measure(length: Duration) -> Result<Fold> {
    let decoded: Vec<Vec<Recorded>> = (0..CONVERSATIONS).map(conversation).collect();
    let written: Vec<Vec<NewRecord>> = (0..CONVERSATIONS).map(records).collect::<Result<_>>()?;
    let bytes: usize = written.iter().flatten().map(|record| record.value.len()).sum();
    let count = written.iter().map(Vec::len).sum::<usize>();
    let fold_per_s = rate(length, |nth| {
        let events = &decoded[nth % CONVERSATIONS];
        let mut state = State::new(Turn::new(&name(nth % CONVERSATIONS), 0, STEPS).conversation);
        let changed = events.iter().filter(|event| apply(&mut state, event) == Applied::Changed).count();
        black_box(&state);
        whole(changed, events.len())
    })?;
    let decode_and_fold_per_s = rate(length, |nth| {
        let records = &written[nth % CONVERSATIONS];
        let mut state = State::new(Turn::new(&name(nth % CONVERSATIONS), 0, STEPS).conversation);
        let mut changed = 0;
        for (offset, record) in records.iter().enumerate() {
            let (meta, body) = wire::read_event(&record.key, &record.value)?;
            let timestamp_ms = 1_800_000_000_000 + offset as i64;
            let event = Recorded { offset: offset as u64, timestamp_ms, command: meta.command, body };
            changed += usize::from(apply(&mut state, &event) == Applied::Changed);
        }
        black_box(&state);
        whole(changed, records.len())
    })?;
    Ok(Fold { fold_per_s, decode_and_fold_per_s, mean_event_bytes: bytes as f64 / count as f64 })
}

fn name(number: usize) -> String {
    format!("talk-{number}")
}

fn conversation(number: usize) -> Vec<Recorded> {
    let turn = |nth: u64| Turn::new(&name(number), nth, STEPS).recorded(nth * Turn::len(STEPS) as u64);
    (0..TURNS).flat_map(turn).collect()
}

fn records(number: usize) -> Result<Vec<NewRecord>> {
    let turns = (0..TURNS).map(|nth| Turn::new(&name(number), nth, STEPS).records(0));
    Ok(turns.collect::<Result<Vec<_>>>()?.concat())
}

/// A fold that ignores what it should take would be fast for nothing.
fn whole(changed: usize, events: usize) -> Result<usize> {
    if changed != events {
        bail!("the fold took {changed} of {events} events");
    }
    Ok(events)
}

/// How many a second, over at least `length`; `work` says how many it did.
fn rate(length: Duration, mut work: impl FnMut(usize) -> Result<usize>) -> Result<f64> {
    // Warm caches and a settled clock.
    for nth in 0..20 {
        work(nth)?;
    }
    let (began, mut done) = (Instant::now(), 0);
    for nth in 0.. {
        done += work(nth)?;
        if began.elapsed() >= length {
            break;
        }
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}
