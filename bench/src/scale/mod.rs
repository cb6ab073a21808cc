//! `callboard-bench scale`: what becomes of memory, disk, start and delay when there is more of something. On the embedded log.
//!
//! `cold` is many conversations, `partitions` many partitions, `long` many turns of one conversation; `growth` is the exponent
//! of each.

pub mod arguments;
pub mod cold;
mod growth;
mod long;
mod partitions;
mod shown;

use anyhow::Result;
use serde::Serialize;

use arguments::ScaleArgs;
use cold::Cold;
use long::Long;
use partitions::Partitions;

use crate::machine::Machine;
use crate::shown::Shown;
use crate::{fill, result};

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    log: &'static str,
    cold: Vec<Cold>,
    partitions: Vec<Partitions>,
    long: Option<Long>,
    growth: Vec<Growth>,
    shown: Shown,
}

/// How a figure grows with something.
#[derive(Debug, Serialize)]
struct Growth {
    figure: &'static str,
    with: &'static str,
    exponent: f64,
}

pub fn run(arguments: &ScaleArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(arguments))?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    result::write(arguments.out.as_deref(), "scale", "embedded", &figures)?;
    Ok(true)
}

async fn measure(arguments: &ScaleArgs) -> Result<Figures> {
    let mut sizes = arguments.conversations.clone();
    if !sizes.is_empty() {
        // What every other row is compared with.
        sizes.push(0);
    }
    sizes.sort_unstable();
    sizes.dedup();
    let bar = fill::bar((sizes.len() + arguments.partitions.len()) as u64, "sizes")?;
    let mut cold = Vec::new();
    for conversations in sizes {
        bar.set_message(format!("{conversations} cold conversations"));
        bar.tick();
        cold.push(cold::measure(arguments, conversations).await?);
        bar.inc(1);
    }
    let mut partitions = Vec::new();
    for &count in &arguments.partitions {
        bar.set_message(format!("{count} partitions"));
        partitions.push(partitions::measure(arguments, count).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let long = match arguments.turns {
        0 => None,
        _ => Some(long::measure(arguments).await?),
    };
    let mut figures = Figures {
        machine: Machine::look(),
        log: "embedded",
        cold,
        partitions,
        long,
        growth: Vec::new(),
        shown: Shown::default(),
    };
    figures.growth = shown::exponents(&figures);
    figures.shown = shown::of(&figures);
    Ok(figures)
}
