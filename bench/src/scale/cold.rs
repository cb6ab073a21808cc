//! Many conversations that nobody talks to, and a few that somebody does. The log is filled while the server is away; its first
//! start folds all of it and writes the snapshots, as after their loss; the second is the one that is measured.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use callboard_stores::{EmbeddedOptions, Fsync};
use serde::Serialize;

use super::arguments::ScaleArgs;
use crate::arguments::LogKind;
use crate::fill::{self, Turn};
use crate::stage::{Member, Shape, Stage};
use crate::turn::{Times, TurnKind, closed_loop};
use crate::{load, metrics};

/// A cold conversation is short: one question, one step.
const STEPS: usize = 1;
/// Folding a million conversations and writing them down, in a debug build.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// The projection and the first snapshots after a start.
const REST_WITHIN: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(3);
/// A look that takes longer is taken again: a connection that was asked for while the port changed hands may be answered by
/// nobody, and the client would wait for it until its own time is up.
const ONE_LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
pub struct Cold {
    pub conversations: usize,
    pub events: u64,
    pub fill_s: f64,
    /// Start to ready without snapshots: everything is folded.
    pub rebuild_s: f64,
    /// The most memory that it took for that.
    pub rebuild_mb: f64,
    /// Start to ready with them.
    pub ready_s: f64,
    /// At rest after that start.
    pub rest_mb: f64,
    /// After the hot turns.
    pub resident_mb: f64,
    pub log_bytes: u64,
    pub snapshot_bytes: u64,
    pub history_bytes: u64,
    pub hot_turns: usize,
    pub hot: Times,
}

pub async fn measure(arguments: &ScaleArgs, conversations: usize) -> Result<Cold> {
    let http = load::http()?;
    let keep = arguments.keep.as_ref().map(|folder| folder.join(format!("cold-{conversations}")));
    let mut stage = Stage::prepare(LogKind::Embedded, arguments.binary.as_deref(), keep.as_deref())?;
    stage.install(Shape::Alone);
    // Makes the data folder.
    stage.start(&http).await?;
    stage.stop()?;
    let serve = stage.serve().clone();
    let filling = Instant::now();
    let events = fill_cold(&stage, &serve.data, conversations).await?;
    let fill_s = filling.elapsed().as_secs_f64();
    let rebuild_s = ready_after_start(&http, &serve).await?;
    metrics::at_rest(&serve, REST_WITHIN).await;
    let rebuild_mb = serve.most_resident_bytes().unwrap_or_default() as f64 / 1e6;
    stage.stop()?;
    let ready_s = ready_after_start(&http, &serve).await?;
    metrics::at_rest(&serve, REST_WITHIN).await;
    let rest_mb = megabytes(&serve);
    let length = Duration::from_secs_f64(arguments.seconds);
    let numbers = Arc::new(AtomicU64::new(1));
    let hot = closed_loop(&serve.url, 1, TurnKind::default(), &numbers, (length / 4, length)).await?;
    let resident_mb = megabytes(&serve);
    stage.stop()?;
    Ok(Cold {
        conversations,
        events,
        fill_s,
        rebuild_s,
        rebuild_mb,
        ready_s,
        rest_mb,
        resident_mb,
        log_bytes: bytes_in(&serve.data, "log")?,
        snapshot_bytes: bytes_in(&serve.data, "snapshots-")?,
        history_bytes: bytes_in(&serve.data, "history")?,
        hot_turns: hot.turns,
        hot: hot.times,
    })
}

async fn fill_cold(stage: &Stage, data: &Path, conversations: usize) -> Result<u64> {
    // Nobody relies on it yet: what a crash would lose is written again.
    let options = EmbeddedOptions { fsync: Fsync::Never, ..EmbeddedOptions::default() };
    let opened = stage.engine.open_with(data, options)?;
    let bar = fill::bar(conversations as u64, "cold conversations")?;
    let turns = (0..conversations).map(|number| Turn::new(&format!("cold-{number}"), 0, STEPS));
    let events = fill::fill(&*opened.log, turns, &bar).await?;
    bar.finish_and_clear();
    opened.close().await;
    Ok(events)
}

/// Starts a process; seconds until it says that it is ready, looked at every few milliseconds.
pub async fn ready_after_start(http: &reqwest::Client, serve: &Member) -> Result<f64> {
    let path = format!("{}/readyz", serve.url);
    let began = Instant::now();
    serve.start()?;
    loop {
        if http.get(&path).timeout(ONE_LOOK).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(began.elapsed().as_secs_f64());
        }
        if began.elapsed() > PATIENCE {
            anyhow::bail!("{} is not ready after {PATIENCE:?}; it said last:\n{}", serve.name, serve.tail());
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub fn megabytes(serve: &Member) -> f64 {
    serve.resident_bytes().unwrap_or_default() as f64 / 1e6
}

/// What lies in the entries of `folder` whose names begin so; blocks that are not written do not count.
pub fn bytes_in(folder: &Path, prefix: &str) -> Result<u64> {
    let mut bytes = 0;
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} is gone", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        // A file may be deleted by its owner between the listing and the look.
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() {
            // The same goes for a folder.
            bytes_in(&entry.path(), "").unwrap_or_default()
        } else {
            std::os::unix::fs::MetadataExt::blocks(&about) * 512
        };
    }
    Ok(bytes)
}
