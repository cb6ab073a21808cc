//! The command line of the simulation: `callboard-sim --seeds N --from S` runs any number of seeds and prints a table;
//! `--trace SEED` shows one of them; `--defects` looks for every planted defect.

use std::process::ExitCode;

use callboard_sim::{Defect, Sweep, defects, report, run};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// Runs Callboard's actors against a seeded adversary. Exit code 1: something was violated.
#[derive(Debug, Parser)]
#[command(name = "callboard-sim", version)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; each runs one seed at a time.
    #[arg(long)]
    jobs: Option<usize>,
    /// Runs with a planted defect (needs the feature `planted`).
    #[arg(long, value_parser = defect)]
    defect: Option<Defect>,
    /// Shows what happened in this seed, line by line.
    #[arg(long, value_name = "SEED")]
    trace: Option<u64>,
    /// Looks for every planted defect and prints which seed found it (needs the feature `planted`).
    #[arg(long)]
    defects: bool,
}

fn defect(name: &str) -> Result<Defect, String> {
    Defect::named(name).ok_or_else(|| {
        let known: Vec<&str> = Defect::ALL.iter().map(|defect| defect.name()).collect();
        format!("there is no defect {name:?}; there are: {}", known.join(", "))
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if (arguments.defects || arguments.defect.is_some()) && !cfg!(feature = "planted") {
        eprintln!("this build has no planted defects; build it with `--features planted`");
        return ExitCode::from(2);
    }
    let threads =
        arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    if let Some(seed) = arguments.trace {
        return show(seed, arguments.defect);
    }
    if arguments.defects {
        return look_for_defects(threads);
    }
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    let bar = ProgressBar::new(arguments.seeds);
    let style = "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left, {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let sweep = Sweep { seeds, threads, defect: arguments.defect, until_broken: false };
    let total = sweep.run(|total| {
        bar.set_position(total.seeds);
        bar.set_message(format!("{} with violations", total.broken.len()));
    });
    bar.finish_and_clear();
    print!("{}", report::table(&total));
    if total.broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!();
    print!("{}", report::violations(&total, 20, arguments.defect.map(Defect::name)));
    ExitCode::from(1)
}

/// One seed, in a thread whose panics are silent.
fn show(seed: u64, defect: Option<Defect>) -> ExitCode {
    run::listen_to_panics();
    let thread = std::thread::Builder::new().name(run::THREAD.to_owned());
    let Ok(running) = thread.spawn(move || callboard_sim::run(seed, defect, true)) else {
        eprintln!("no thread can be started");
        return ExitCode::from(2);
    };
    let Ok(outcome) = running.join() else {
        eprintln!("the simulation itself panicked in seed {seed}");
        return ExitCode::from(1);
    };
    println!("seed {seed}: {} entries, trace {:016x}", outcome.entries, outcome.hash);
    for violation in &outcome.violations {
        println!("{} {}: {}", violation.invariant, violation.conversation, violation.detail);
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn look_for_defects(threads: usize) -> ExitCode {
    let bar = ProgressBar::new(Defect::ALL.len() as u64);
    let mut all = Vec::new();
    for defect in Defect::ALL.iter().copied() {
        bar.set_message(defect.name());
        all.push(defects::find(defect, threads));
        bar.inc(1);
    }
    bar.finish_and_clear();
    print!("{}", defects::table(&all));
    if all.iter().all(|found| found.by.is_some()) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
