//! Catch-up of a partition end to end, by the real thing: `callboard serve` starts on a log that was filled while it was away,
//! with an empty folder of snapshots, and says in its log how long it took to fold the partition.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use callboard_stores::{EmbeddedOptions, Fsync};
use serde::Serialize;

use super::arguments::HostArgs;
use super::fold::STEPS;
use crate::fill::{self, Turn};
use crate::stage::{Member, Shape, Stage};
use crate::{load, metrics};

const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(20);
/// What the host says when it is at the end of a partition.
const SAID: &str = "partition caught up";

#[derive(Debug, Serialize)]
pub struct CatchUp {
    /// Turns of each conversation.
    pub turns: u64,
    pub conversations: usize,
    pub events: u64,
    /// From the checkpoint to the end of the partition, as the host says.
    pub seconds: f64,
    pub events_per_s: f64,
    /// Written on the way: a host writes when it holds more conversations than it may.
    pub snapshots: u64,
}

/// So many turns in each conversation, one after the other as clients would ask them.
pub async fn measure(arguments: &HostArgs, turns: u64, conversations: usize) -> Result<CatchUp> {
    let (http, at) = (load::http()?, &arguments.stage);
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), None)?;
    stage.set("CALLBOARD__KAFKA__PARTITIONS", "1");
    stage.install(Shape::Alone);
    // Makes the data folder, and the topics.
    stage.start(&http).await?;
    stage.stop()?;
    let serve = stage.serve().clone();
    let options = EmbeddedOptions { partitions: 1, fsync: Fsync::Never, ..EmbeddedOptions::default() };
    let opened = stage.engine.open_with(&serve.data, options)?;
    let bar = fill::bar(turns * conversations as u64, "turns written")?;
    let all = (0..turns).flat_map(|number| {
        (0..conversations).map(move |of| Turn::new(&format!("caught-{of}"), number, STEPS))
    });
    let events = fill::fill(&*opened.log, all, &bar).await?;
    bar.finish_and_clear();
    opened.close().await;
    forget_snapshots(&serve.data)?;
    serve.start()?;
    let seconds = said(&serve, events).await?;
    stage.wait_ready(&http).await?;
    let snapshots = metrics::read(&http, &serve.url, "callboard_snapshots_written_total").await?;
    stage.stop()?;
    Ok(CatchUp {
        turns,
        conversations,
        events,
        seconds,
        events_per_s: events as f64 / seconds,
        snapshots: snapshots as u64,
    })
}

/// Deletes what the store of a stopped server keeps: the next start folds everything again.
pub fn forget_snapshots(data: &Path) -> Result<()> {
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snapshots-") {
            std::fs::remove_dir_all(entry.path())
                .with_context(|| format!("{} cannot be deleted", entry.path().display()))?;
        }
    }
    Ok(())
}

async fn said(serve: &Member, events: u64) -> Result<f64> {
    let until = Instant::now() + PATIENCE;
    loop {
        let tail = serve.tail();
        if let Some(line) = tail.lines().rev().find(|line| line.contains(SAID) && !line.contains(" to=0 ")) {
            let ms = number(line, " ms=").with_context(|| format!("no ms= in {line:?}"))?;
            let (from, to) = (number(line, " from="), number(line, " to="));
            if from != Some(0) || to != Some(events) {
                bail!("it did not fold all {events} events: {line}");
            }
            return Ok((ms.max(1) as f64) / 1e3);
        }
        if Instant::now() > until {
            bail!("it has not caught up after {PATIENCE:?}; it said last:\n{tail}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn number(line: &str, before: &str) -> Option<u64> {
    let rest = &line[line.find(before)? + before.len()..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_read_from_a_line_of_the_log() {
        let line = " INFO partition caught up partition=0 from=0 to=600 touched=100 open=0 ms=12";
        assert_eq!((number(line, " to="), number(line, " ms=")), (Some(600), Some(12)));
        assert_eq!(number(line, " none="), None);
    }
}
