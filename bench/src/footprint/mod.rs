//! `callboard-bench footprint`: what the process costs to have, and what a turn costs it in time, disk, memory traffic and
//! instructions.
//!
//! `life` measures a server from outside, `counted` runs one under valgrind.

pub mod arguments;
mod counted;
mod life;
mod shown;

use anyhow::Result;
use serde::Serialize;

use arguments::FootprintArgs;
use counted::Counted;
use life::Life;

use crate::machine::Machine;
use crate::shown::Shown;
use crate::{fill, result};

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    log: &'static str,
    binary_bytes: u64,
    stripped_bytes: Option<u64>,
    life: Life,
    counted: Vec<Counted>,
    shown: Shown,
}

pub fn run(arguments: &FootprintArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(arguments))?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    result::write(arguments.stage.out.as_deref(), "footprint", arguments.stage.log.word(), &figures)?;
    Ok(true)
}

async fn measure(arguments: &FootprintArgs) -> Result<Figures> {
    let at = &arguments.stage;
    let binary = counted::binary(at.binary.as_deref())?;
    let life = life::measure(arguments).await?;
    let (binary_bytes, stripped_bytes) = life::binary_bytes(&binary)?;
    let mut counted = Vec::new();
    if arguments.counted_turns > 0 {
        let bar = fill::bar(1, "counted")?;
        bar.set_message("instructions and allocations of a turn, under valgrind");
        bar.tick();
        counted.push(counted::count(at.log, &binary, arguments.counted_turns).await);
        bar.finish_and_clear();
    }
    let mut figures = Figures {
        machine: Machine::look(),
        log: at.log.word(),
        binary_bytes,
        stripped_bytes,
        life,
        counted,
        shown: Shown::default(),
    };
    figures.shown = shown::of(&figures);
    Ok(figures)
}
