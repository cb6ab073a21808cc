//! Fills a log with turns that nobody asked for, as fast as the log takes them: what lies there before something is measured.
//!
//! `turn` makes the records.

mod turn;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result};
use callboard_ports::NewRecord;
use callboard_ports::log::{AppendError, Log, Receipt};
use callboard_ports::partition::partition_of;
use indicatif::{ProgressBar, ProgressStyle};

pub use turn::Turn;

/// Records of one append: enough that an fsync for each would not be felt.
const BATCH: usize = 600;
/// Appends under way; more would only wait in the log's queue.
const IN_FLIGHT: usize = 32;
const FULL: Duration = Duration::from_millis(2);

/// Appends all turns, each to its conversation's partition; how many records that were.
pub async fn fill(log: &dyn Log, turns: impl Iterator<Item = Turn>, bar: &ProgressBar) -> Result<u64> {
    let mut under_way: VecDeque<Receipt> = VecDeque::new();
    let (mut batch, mut records) = (Vec::with_capacity(BATCH), 0);
    for turn in turns {
        let partition = partition_of(turn.conversation.as_str().as_bytes(), log.partitions());
        batch.extend(turn.records(partition)?);
        bar.inc(1);
        if batch.len() >= BATCH {
            records += batch.len() as u64;
            append(log, std::mem::take(&mut batch), &mut under_way).await?;
        }
    }
    records += batch.len() as u64;
    append(log, batch, &mut under_way).await?;
    for receipt in under_way {
        receipt.await.context("the log closed")??;
    }
    Ok(records)
}

/// Appends one batch and waits while too many are under way.
pub async fn append(log: &dyn Log, batch: Vec<NewRecord>, under_way: &mut VecDeque<Receipt>) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    while under_way.len() >= IN_FLIGHT {
        let oldest = under_way.pop_front().context("there are some")?;
        oldest.await.context("the log closed")??;
    }
    loop {
        match log.append(batch.clone()) {
            Ok(receipt) => {
                under_way.push_back(receipt);
                return Ok(());
            }
            Err(AppendError::Full) => tokio::time::sleep(FULL).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// A bar that counts `what` up to `length`.
pub fn bar(length: u64, what: &str) -> Result<ProgressBar> {
    let bar = ProgressBar::new(length);
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} {{msg}}");
    bar.set_style(ProgressStyle::with_template(&template)?);
    Ok(bar)
}
