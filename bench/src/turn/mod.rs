//! `callboard-bench turn`: the whole system over HTTP, beside the floor of the same run. One client first, then closed loops of
//! more and more, then open loops at shares of the best rate.
//!
//! `question` says what is asked, `talk` in which conversation, `client` asks it, `closed` and `open` are the two ways of
//! asking; `floor` is what the same records cost without Callboard. `matrix` are other turns, `model` plans and answers one of
//! them, `fsync` is what the disk takes, `shown` lays it all out.

mod client;
mod closed;
mod fsync;
mod matrix;
mod model;
mod open;
mod question;
mod shown;
mod spread;
mod talk;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

pub use client::Client;
pub use closed::{Closed, run as closed_loop};
use open::Open;
pub use question::{Order, ToolKind, TurnKind};
pub use spread::Times;

use crate::arguments::TurnArgs;
use crate::floor::{self, Floor};
use crate::machine::Machine;
use crate::shown::Shown;
use crate::stage::{Member, Shape, Stage};
use crate::{load, result};

/// What one client is compared with: hops in sequence of a turn whose plan does not wait for its question's read-back.
const HOPS: u32 = 6;

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    log: &'static str,
    settings: Vec<(String, String)>,
    turn: TurnKind,
    seconds: f64,
    floor: Option<Floor>,
    closed: Vec<Row>,
    open: Vec<Open>,
    matrix: Vec<matrix::Kind>,
    /// A write and an `fdatasync` of 4 kB where the embedded log lies.
    fsync_ms: Option<f64>,
    ratios: Option<Ratios>,
    resident_mb: f64,
    shown: Shown,
}

/// A closed loop with what it cost.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    loop_: Closed,
    /// Processor time of Callboard's processes, broker and load apart.
    cpu_ms_per_turn: f64,
}

/// Against the floor of the same run.
#[derive(Debug, Serialize)]
struct Ratios {
    one_client_p50_to_chain: f64,
    one_client_p99_to_chain: f64,
    best_to_turn_shape: f64,
}

pub fn run(arguments: &TurnArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(arguments))?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    result::write(arguments.stage.out.as_deref(), "turn", arguments.stage.log.word(), &figures)?;
    Ok(true)
}

async fn measure(arguments: &TurnArgs) -> Result<Figures> {
    let at = &arguments.stage;
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), at.keep.as_deref())?;
    let settings = settings(&arguments.set)?;
    for (name, value) in &settings {
        stage.set(&format!("CALLBOARD__{}", name.to_uppercase().replace('.', "__")), value);
    }
    stage.install(Shape::Alone);
    stage.start(&load::http()?).await?;
    let kind = arguments.kind();
    let serve = stage.serve().clone();
    let numbers = Arc::new(AtomicU64::new(1));
    let (floor, fsync_ms) = match stage.engine.kafka() {
        Some(_) if !arguments.without_floor => {
            let shape = floor::shape(&stage, &serve.url, &kind).await?;
            let floor = floor::measure(&stage, shape, HOPS, &arguments.clients, arguments.seconds).await?;
            (Some(floor), None)
        }
        Some(_) => (None, None),
        None => (None, Some(fsync::median_ms(&serve.data)?)),
    };
    let length = Duration::from_secs_f64(arguments.seconds);
    let bar = ProgressBar::new((arguments.clients.len() + arguments.open.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    let (closed, open) = loops(arguments, &serve, &numbers, &bar).await?;
    let resident_mb = serve.resident_bytes().unwrap_or_default() as f64 / 1e6;
    let matrix = match arguments.matrix {
        true => matrix::run(&mut stage, &numbers, length, &bar).await?,
        false => Vec::new(),
    };
    bar.finish_and_clear();
    stage.stop()?;
    let mut figures = Figures {
        machine: Machine::look(),
        log: at.log.word(),
        settings,
        turn: kind,
        seconds: arguments.seconds,
        ratios: floor.as_ref().and_then(|floor| ratios(floor, &closed)),
        floor,
        closed,
        open,
        matrix,
        fsync_ms,
        resident_mb,
        shown: Shown::default(),
    };
    figures.shown = shown::of(&figures);
    Ok(figures)
}

/// `log.fsync=never` as name and value.
fn settings(set: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |setting: &String| {
        let (name, value) = setting
            .split_once('=')
            .with_context(|| format!("--set {setting}: it wants KEY=VALUE, log.fsync=never for example"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    set.iter().map(pair).collect()
}

/// The closed loops, then the open ones at shares of the best rate.
async fn loops(
    arguments: &TurnArgs,
    serve: &Member,
    numbers: &Arc<AtomicU64>,
    bar: &ProgressBar,
) -> Result<(Vec<Row>, Vec<Open>)> {
    let (kind, length) = (arguments.kind(), Duration::from_secs_f64(arguments.seconds));
    let mut closed = Vec::new();
    for &clients in &arguments.clients {
        bar.set_message(format!("closed loop, {clients} clients"));
        closed.push(row(serve, clients, kind, numbers, length).await?);
        bar.inc(1);
    }
    let best = closed.iter().map(|row| row.loop_.turns_per_s).fold(0.0, f64::max);
    let mut open = Vec::new();
    for &percent in &arguments.open {
        bar.set_message(format!("open loop, {percent} % of {best:.0} turns/s"));
        let rate = (percent, best * percent / 100.0);
        open.push(open::run(&serve.url, rate, kind, numbers, length).await?);
        bar.inc(1);
    }
    Ok((closed, open))
}

async fn row(
    serve: &Member,
    clients: usize,
    kind: TurnKind,
    numbers: &Arc<AtomicU64>,
    length: Duration,
) -> Result<Row> {
    let warm_up = length / 4;
    let before = serve.cpu_ms().unwrap_or_default();
    let loop_ = closed::run(&serve.url, clients, kind, numbers, (warm_up, length)).await?;
    let spent = serve.cpu_ms().unwrap_or_default() - before;
    Ok(Row { cpu_ms_per_turn: spent / (loop_.answered as f64).max(1.0), loop_ })
}

fn ratios(floor: &Floor, closed: &[Row]) -> Option<Ratios> {
    let alone = closed.iter().find(|row| row.loop_.clients == 1)?;
    let chain = floor.chains.iter().find(|chain| chain.in_flight == 1)?;
    let best = closed.iter().map(|row| row.loop_.turns_per_s).fold(0.0, f64::max);
    let shape = floor.turns.iter().map(|turns| turns.per_second).fold(0.0, f64::max);
    Some(Ratios {
        one_client_p50_to_chain: alone.loop_.times.p50_ms * 1e3 / chain.p50_us.max(1) as f64,
        one_client_p99_to_chain: alone.loop_.times.p99_ms * 1e3 / chain.p99_us.max(1) as f64,
        best_to_turn_shape: best / shape.max(1e-9),
    })
}
