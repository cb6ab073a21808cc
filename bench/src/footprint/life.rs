//! What a server costs without being asked anything, and what a turn costs it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::arguments::FootprintArgs;
use crate::scale::cold::{bytes_in, megabytes, ready_after_start};
use crate::stage::{Shape, Stage};
use crate::turn::{TurnKind, closed_loop};
use crate::{fill, load, metrics};

/// Timers of a start (leases, first snapshots) are over.
const REST_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
pub struct Life {
    pub starts_s: Vec<f64>,
    pub start_median_s: f64,
    pub idle_mb: f64,
    pub idle_core_percent: f64,
    pub idle_seconds: f64,
    pub turns: usize,
    pub turns_per_s: f64,
    pub cpu_ms_per_turn: f64,
    pub after_turns_mb: f64,
    /// Of Callboard's data folder, or the broker's on Kafka.
    pub disk_bytes_per_turn: f64,
    /// Handed to the disk by Callboard's process, rewrites included; nothing where the system does not say.
    pub written_bytes_per_turn: Option<f64>,
}

pub async fn measure(arguments: &FootprintArgs) -> Result<Life> {
    let (http, at) = (load::http()?, &arguments.stage);
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), at.keep.as_deref())?;
    stage.install(Shape::Alone);
    let serve = stage.serve().clone();
    if stage.engine.kafka().is_some() {
        // Topics are made once in a cluster's life, not at every start.
        stage.start(&http).await?;
        stage.stop()?;
    }
    let bar = fill::bar(arguments.starts as u64, "starts")?;
    let mut starts_s = Vec::new();
    for _ in 0..arguments.starts.max(1) {
        serve.end();
        if serve.data.exists() {
            std::fs::remove_dir_all(&serve.data)?;
        }
        starts_s.push(ready_after_start(&http, &serve).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    metrics::at_rest(&serve, REST_WITHIN).await;
    let before = serve.cpu_ms().unwrap_or_default();
    tokio::time::sleep(Duration::from_secs_f64(arguments.idle_seconds)).await;
    let idle_ms = serve.cpu_ms().unwrap_or_default() - before;
    let idle_mb = megabytes(&serve);
    let folder = stage.engine.folder().unwrap_or(&serve.data);
    let length = Duration::from_secs_f64(arguments.seconds);
    let numbers = Arc::new(AtomicU64::new(1));
    let ask = |length: Duration| {
        let (url, numbers) = (serve.url.clone(), &numbers);
        async move {
            let lengths = (Duration::ZERO, length);
            closed_loop(&url, arguments.clients, TurnKind::default(), numbers, lengths).await
        }
    };
    // Code, allocator and files that grow in steps are warm after this.
    ask(length / 4).await?;
    metrics::at_rest(&serve, REST_WITHIN).await;
    let asked = |numbers: &AtomicU64| numbers.load(std::sync::atomic::Ordering::Relaxed);
    let (cpu, disk, written, first) =
        (serve.cpu_ms().unwrap_or_default(), bytes_in(folder, "")?, serve.written_bytes(), asked(&numbers));
    let loop_ = ask(length).await?;
    let after_turns_mb = megabytes(&serve);
    // Turns that were under way at the end count too: their cost does.
    let turns = (asked(&numbers) - first).max(1) as f64;
    let cpu_ms_per_turn = (serve.cpu_ms().unwrap_or_default() - cpu) / turns;
    metrics::at_rest(&serve, REST_WITHIN).await;
    let disk_bytes_per_turn = (bytes_in(folder, "")? as f64 - disk as f64) / turns;
    let written_bytes_per_turn =
        written.zip(serve.written_bytes()).map(|(before, after)| (after - before) as f64 / turns);
    stage.stop()?;
    let mut sorted = starts_s.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(Life {
        start_median_s: sorted[sorted.len() / 2],
        starts_s,
        idle_mb,
        idle_core_percent: idle_ms / 10.0 / arguments.idle_seconds.max(1e-9),
        idle_seconds: arguments.idle_seconds,
        turns: turns as usize,
        turns_per_s: loop_.turns_per_s,
        cpu_ms_per_turn,
        after_turns_mb,
        disk_bytes_per_turn,
        written_bytes_per_turn,
    })
}

/// Bytes of the binary as it is, and without what only a debugger reads, where this machine can tell.
pub fn binary_bytes(binary: &Path) -> Result<(u64, Option<u64>)> {
    let folder = tempfile::tempdir()?;
    let bare = folder.path().join("callboard");
    let stripped = Command::new("strip").arg("-o").arg(&bare).arg(binary).output();
    let stripped = stripped.ok().filter(|strip| strip.status.success());
    let bare = stripped.and_then(|_| Some(std::fs::metadata(&bare).ok()?.len()));
    Ok((std::fs::metadata(binary)?.len(), bare))
}
