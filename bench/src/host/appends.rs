//! The log by itself, through the port: one append at a time, many at once, and all of it read back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use callboard_ports::Topic;
use callboard_ports::log::Log;
use callboard_ports::partition::partition_of;
use callboard_stores::{EmbeddedLog, EmbeddedOptions, Fsync};
use serde::Serialize;

use super::fold::STEPS;
use crate::fill::{self, Turn};
use crate::turn::Times;

/// Appends of one client are enough of these for a percentile.
const MOST_ALONE: usize = 5_000;

#[derive(Debug, Serialize)]
pub struct Appends {
    pub log: String,
    /// One record, acknowledged before the next is sent.
    pub alone: Times,
    /// The records of a turn in each append, many appends under way.
    pub appended_per_s: f64,
    pub read_per_s: f64,
    pub record_bytes: f64,
}

/// The embedded log, by when an append counts as durable.
pub async fn embedded(fsync: Fsync, length: Duration) -> Result<Appends> {
    let folder = tempfile::tempdir()?;
    let options = EmbeddedOptions { fsync, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(&folder.path().join("log"), options)?;
    let appends = measure(&*log, format!("embedded, fsync {}", fsync.word()), length).await;
    log.close().await;
    appends
}

pub async fn measure(log: &dyn Log, name: String, length: Duration) -> Result<Appends> {
    let mut alone = Vec::new();
    let began = Instant::now();
    for number in 0.. {
        if number > 1 && (began.elapsed() >= length || alone.len() >= MOST_ALONE) {
            break;
        }
        let record = records(log, number)?.swap_remove(0);
        let at = Instant::now();
        log.append(vec![record])?.await.context("the log closed")??;
        // The first one finds no connection yet.
        if number > 0 {
            alone.push(at.elapsed());
        }
    }
    let (mut appended, mut bytes, mut under_way) = (0, 0, VecDeque::new());
    let began = Instant::now();
    for number in 0.. {
        if number > 0 && began.elapsed() >= length {
            break;
        }
        let batch = records(log, number)?;
        appended += batch.len();
        bytes += batch.iter().map(callboard_ports::NewRecord::size_bytes).sum::<usize>();
        fill::append(log, batch, &mut under_way).await?;
    }
    for receipt in under_way {
        receipt.await.context("the log closed")??;
    }
    let appended_s = began.elapsed().as_secs_f64();
    let reading = Instant::now();
    let read = read_all(log).await?;
    let read_s = reading.elapsed().as_secs_f64();
    let acknowledged = appended + alone.len() + 1;
    if read != acknowledged {
        bail!("{name}: {acknowledged} records were acknowledged and {read} read back");
    }
    Ok(Appends {
        log: name,
        alone: Times::of(alone),
        appended_per_s: appended as f64 / appended_s,
        read_per_s: read as f64 / read_s,
        record_bytes: bytes as f64 / appended as f64,
    })
}

/// Counts what is there, and keeps nothing of it.
async fn read_all(log: &dyn Log) -> Result<usize> {
    let mut read = 0;
    for partition in 0..log.partitions() {
        let bounds = log.bounds(Topic::ConversationEvents, partition).await?;
        let range = bounds.start..bounds.end;
        let mut batches = log.replay(Topic::ConversationEvents, partition, vec![range], None);
        while let Some(batch) = batches.recv().await {
            read += batch?.records.len();
        }
    }
    Ok(read)
}

fn records(log: &dyn Log, number: u64) -> Result<Vec<callboard_ports::NewRecord>> {
    let turn = Turn::new(&format!("appended-{}", number % 1_000), number, STEPS);
    let partition = partition_of(turn.conversation.as_str().as_bytes(), log.partitions());
    turn.records(partition)
}
