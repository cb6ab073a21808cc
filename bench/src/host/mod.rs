//! `callboard-bench host`: the parts of a conversation host one by one, in process: the fold, a conversation brought back, a
//! partition caught up with, the snapshot stores and the log. All but the catch-up (a real `serve`) are library calls.

mod appends;
pub mod arguments;
pub mod catch_up;
mod fold;
mod rehydrate;
mod shown;
mod stores;

use std::time::Duration;

use anyhow::Result;
use callboard_stores::{Engine, Fsync};
use serde::Serialize;

use appends::Appends;
use arguments::HostArgs;
use catch_up::CatchUp;
use fold::Fold;
use rehydrate::Rehydration;
use stores::Store;

use crate::machine::Machine;
use crate::shown::Shown;
use crate::{fill, result, stage};

/// Turns of a conversation that talks for a while.
const TALK: u64 = 20;
/// Of the topics that are made for the log alone.
const PARTITIONS: u32 = 8;

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    log: &'static str,
    fold: Fold,
    rehydration: Vec<Rehydration>,
    catch_up: Vec<CatchUp>,
    stores: Vec<Store>,
    logs: Vec<Appends>,
    shown: Shown,
}

pub fn run(arguments: &HostArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(arguments))?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    result::write(arguments.stage.out.as_deref(), "host", arguments.stage.log.word(), &figures)?;
    Ok(true)
}

async fn measure(arguments: &HostArgs) -> Result<Figures> {
    let length = Duration::from_secs_f64(arguments.seconds);
    let bar = fill::bar(5, "subjects")?;
    bar.set_message("the fold");
    bar.tick();
    let fold = fold::measure(length)?;
    bar.inc(1);
    let mut rehydration = Vec::new();
    for &events in &arguments.events {
        bar.set_message(format!("a conversation of {events} events"));
        rehydration.push(rehydrate::measure(events, length).await?);
    }
    bar.inc(1);
    let mut stores = Vec::new();
    for (engine, word) in [(Engine::Sled, "sled"), (Engine::Fjall, "fjall")] {
        bar.set_message(format!("snapshots on {word}"));
        let hidden = indicatif::ProgressBar::hidden();
        stores.push(stores::measure(engine, word, arguments.snapshots, &hidden).await?);
    }
    bar.inc(1);
    let logs = logs(arguments, length, &bar).await?;
    bar.inc(1);
    bar.finish_and_clear();
    let talks = (arguments.conversations / TALK as usize).max(1);
    let catch_up = vec![
        catch_up::measure(arguments, TALK, talks).await?,
        catch_up::measure(arguments, 1, arguments.conversations).await?,
    ];
    let mut figures = Figures {
        machine: Machine::look(),
        log: arguments.stage.log.word(),
        fold,
        rehydration,
        catch_up,
        stores,
        logs,
        shown: Shown::default(),
    };
    figures.shown = shown::of(&figures);
    Ok(figures)
}

async fn logs(arguments: &HostArgs, length: Duration, bar: &indicatif::ProgressBar) -> Result<Vec<Appends>> {
    let mut logs = Vec::new();
    for fsync in [Fsync::Always, Fsync::Group, Fsync::Never] {
        bar.set_message(format!("the embedded log, fsync {}", fsync.word()));
        logs.push(appends::embedded(fsync, length).await?);
    }
    let engine = stage::Engine::start(arguments.stage.log)?;
    if engine.kafka().is_some() {
        bar.set_message("the log on Kafka");
        engine.create_topics(PARTITIONS).await?;
        // Kafka has no folder of ours.
        let opened = engine.open(std::path::Path::new(""))?;
        logs.push(appends::measure(&*opened.log, arguments.stage.log.word().to_owned(), length).await?);
    }
    Ok(logs)
}
