//! `callboard-bench recover`: a process is killed with many conversations on disk and some of them at work. How long until
//! they go on, and until they are done. On Kafka also a tool worker that is killed and does not come back.
//!
//! `actors` kills parts of the tree under load, `restart` compares a start from snapshots with one that folds everything.

mod actors;
mod restart;
mod shown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::task::JoinSet;

use actors::ActorsKilled;
use restart::Restart;

use crate::arguments::{LogKind, RecoverArgs};
use crate::load::{self, Asked, Load, Palette, Question, Targets};
use crate::machine::Machine;
use crate::result::{self, Spread};
use crate::seed::now_ms;
use crate::shown::Shown;
use crate::stage::{Role, Shape, Stage};
use crate::story::Story;
use crate::topics::Topics;

/// Clients that fill the disk.
const CLIENTS: usize = 64;
/// Turns queued in each open conversation, so that each is at some point of one when the kill comes.
const QUEUED: usize = 10;
const STEP_MS: u64 = 200;
/// After every conversation has its first turn: long enough for all to be at work, short enough that none is through.
const KILL_AFTER: Duration = Duration::from_millis(300);
const OPEN_WAIT: Duration = Duration::from_secs(30);
/// Snapshots are taken every two seconds, at most 2,000 a partition: what was filled is on disk after this.
const SETTLE: Duration = Duration::from_secs(10);
/// Of the group protocol (classic, the broker's floor).
const SESSION_S: f64 = 6.0;

#[derive(Debug, Serialize)]
struct Figures {
    good: bool,
    machine: Machine,
    log: &'static str,
    bench_build: &'static str,
    cores: usize,
    conversations: usize,
    fill_turns_per_s: f64,
    open_conversations: usize,
    /// From the start of the new process.
    ready_s: f64,
    first_progress_s: f64,
    first_progress_goal_s: f64,
    /// From the start of the new process to the end of the turn that was running in each open conversation.
    open_turns_end: Spread,
    lost: usize,
    resident_mb: f64,
    restarts: Vec<Restart>,
    worker_loss: Option<WorkerLoss>,
    actors_killed: Vec<ActorsKilled>,
    shown: Shown,
}

#[derive(Debug, Default, Serialize)]
struct WorkerLoss {
    /// From the kill to the last result of what the dead worker had in hand or was assigned.
    taken_over_s: f64,
    goal_s: f64,
    open_turns_end: Spread,
}

pub fn run(arguments: &RecoverArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(async {
        let mut figures = process_killed(arguments).await?;
        if arguments.stage.log != LogKind::Embedded {
            let loss = worker_killed(arguments).await?;
            figures.good &= loss.taken_over_s <= loss.goal_s;
            figures.worker_loss = Some(loss);
        }
        figures.actors_killed = actors::killed(arguments).await?;
        figures.shown = shown::of(&figures);
        anyhow::Ok(figures)
    })?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    let out = arguments.stage.out.as_deref();
    result::write(out, "recover", arguments.stage.log.word(), &figures)?;
    Ok(figures.good)
}

async fn process_killed(arguments: &RecoverArgs) -> Result<Figures> {
    let (http, at) = (load::http()?, &arguments.stage);
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), at.keep.as_deref())?;
    stage.install(Shape::Alone);
    stage.start(&http).await?;
    let serve = stage.serve().clone();
    let load = Arc::new(Load::new(http.clone(), Targets::of(&serve.url), Palette::default(), 1));
    let bar = ProgressBar::new(arguments.conversations as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} conversations, {per_sec}, {eta}")?);
    let filling = Instant::now();
    fill(&load, arguments.conversations, &bar).await;
    let fill_s = filling.elapsed().as_secs_f64();
    bar.finish_and_clear();
    tokio::time::sleep(SETTLE).await;
    let hot = Arc::new(Load::new(http.clone(), Targets::of(&serve.url), Palette::default(), 2));
    let mut asking = open(&hot, arguments.open);
    wait_open(&hot, arguments.open).await?;
    serve.end();
    let killed_ms = now_ms();
    let restarted = Instant::now();
    serve.start()?;
    stage.wait_ready(&http).await?;
    let ready_s = restarted.elapsed().as_secs_f64();
    while asking.join_next().await.is_some() {}
    let resident = serve.resident_bytes().unwrap_or_default();
    let restarts = restart::both(&http, &stage).await?;
    stage.stop()?;
    let story = read(&stage).await?;
    let back = back(&story, killed_ms);
    let goal = if at.log == LogKind::Embedded { 1.0 } else { 3.0 };
    let asked = [load.book.all(), hot.book.all()].concat();
    let lost = asked.iter().filter(|asked| asked.ended.is_none()).count();
    let lost = lost + story.turns.values().filter(|turn| turn.ends.len() != 1).count();
    if back.ends.count < arguments.open {
        bail!("only {} of {} conversations had a turn open at the kill", back.ends.count, arguments.open);
    }
    Ok(Figures {
        good: lost == 0 && back.first_s <= goal,
        machine: Machine::look(),
        log: at.log.word(),
        bench_build: result::build(),
        cores: result::cores(),
        conversations: arguments.conversations,
        fill_turns_per_s: arguments.conversations as f64 / fill_s,
        open_conversations: arguments.open,
        ready_s,
        first_progress_s: back.first_s,
        first_progress_goal_s: goal,
        open_turns_end: back.ends,
        lost,
        resident_mb: (resident >> 20) as f64,
        restarts,
        worker_loss: None,
        actors_killed: Vec::new(),
        shown: Shown::default(),
    })
}

/// One answered turn in each of so many conversations.
async fn fill(load: &Arc<Load>, conversations: usize, bar: &ProgressBar) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (load, next, bar) = (load.clone(), next.clone(), bar.clone());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= conversations {
                    return;
                }
                let tag = format!("cold{number}");
                let question = Question { message: format!("echo {tag}"), tag: tag.clone() };
                load.ask(&tag, &question, true).await;
                bar.inc(1);
            }
        });
    }
    while clients.join_next().await.is_some() {}
}

/// A queue of slow turns in each of so many conversations, asked by clients that do not give up.
fn open(load: &Arc<Load>, conversations: usize) -> JoinSet<()> {
    let mut asking = JoinSet::new();
    for turn in 0..QUEUED {
        for conversation in 0..conversations {
            let load = load.clone();
            asking.spawn(async move {
                let tag = format!("hot{conversation}x{turn}");
                let question = Question { message: format!("echo {tag} after {STEP_MS} ms"), tag };
                load.ask(&format!("cold{conversation}"), &question, false).await;
            });
        }
    }
    asking
}

/// Waits until each of those conversations is at work.
async fn wait_open(load: &Load, conversations: usize) -> Result<()> {
    let until = Instant::now() + OPEN_WAIT;
    let first = |asked: &&Asked| asked.tag.starts_with("hot") && asked.tag.ends_with("x0");
    loop {
        let asked = load.book.all();
        let accepted = asked.iter().filter(first).filter(|asked| asked.accepted.is_some()).count();
        if accepted >= conversations {
            tokio::time::sleep(KILL_AFTER).await;
            return Ok(());
        }
        if Instant::now() > until {
            bail!("only {accepted} of {conversations} conversations were opened in {OPEN_WAIT:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn read(stage: &Stage) -> Result<Story> {
    let opened = stage.engine.open(&stage.serve().data)?;
    let topics = Topics::read(&*opened.log, &ProgressBar::hidden()).await;
    opened.close().await;
    Ok(Story::read(&topics?))
}

struct Back {
    first_s: f64,
    ends: Spread,
}

/// When turns that were open at `killed_ms` moved again, and when the oldest open one of each conversation ended.
fn back(story: &Story, killed_ms: i64) -> Back {
    let moved = |m: &&crate::story::Move| m.ms > killed_ms && m.began_ms <= killed_ms;
    let first = story.moves.iter().find(moved).map_or(i64::MAX, |moved| moved.ms - killed_ms);
    let mut ends: BTreeMap<&str, i64> = BTreeMap::new();
    for turn in story.turns.values().filter(|turn| turn.began_ms <= killed_ms) {
        if let Some((_, ended_ms)) = turn.ends.first().filter(|(_, ended_ms)| *ended_ms > killed_ms) {
            let end = ends.entry(turn.conversation.as_str()).or_insert(i64::MAX);
            *end = (*end).min(ended_ms - killed_ms);
        }
    }
    Back { first_s: first as f64 / 1_000.0, ends: Spread::of(ends.into_values().collect()) }
}

/// Two tool workers under load; one is killed for good.
async fn worker_killed(arguments: &RecoverArgs) -> Result<WorkerLoss> {
    let (http, at) = (load::http()?, &arguments.stage);
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), None)?;
    stage.install(Shape::Apart);
    stage.start(&http).await?;
    let load = Arc::new(Load::new(http.clone(), Targets::of(&stage.serve().url), Palette::default(), 2));
    // Both are members, and warm, before one of them dies.
    fill(&load, 200, &ProgressBar::hidden()).await;
    let mut asking = open(&load, arguments.open);
    wait_open(&load, arguments.open).await?;
    let Some(victim) = stage.members.iter().find(|member| member.role == Role::Tools) else {
        bail!("there is no tool worker to be killed");
    };
    victim.end();
    let killed_ms = now_ms();
    while asking.join_next().await.is_some() {}
    let story = read(&stage).await?;
    let ends = back(&story, killed_ms).ends;
    Ok(WorkerLoss { taken_over_s: ends.max_s, goal_s: SESSION_S + 2.0, open_turns_end: ends })
}
