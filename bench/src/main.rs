//! `callboard-bench`: what is claimed about Callboard, measured on real processes and a real Kafka.
//!
//! `stage` starts what is to be broken, `load` talks to it as a client would, `chaos` breaks it and judges what the log
//! holds afterwards, `topics` reads that log. `flood` asks for far more than can be done, `recover` kills with much on disk.
//! `floor` is what Kafka itself costs, `turn` the speed of the whole beside it, `machine` what it was taken on.
//! `host`, `components`, `scale` and `footprint` measure parts, services, growth and cost; `fill` lays turns into a log for them.
//! `counter` is the outside world that effects are counted in, `result` where figures go, `shown` how they are laid out.
//! `report` writes BENCHMARK.md from the results, `compare` says what moved between two, `smoke` tries every job.

mod arguments;
mod budget;
mod chaos;
mod compare;
mod components;
mod counter;
mod fill;
mod flood;
mod floor;
mod footprint;
mod host;
mod load;
mod machine;
mod metrics;
mod recover;
mod report;
mod result;
mod scale;
mod seed;
mod shown;
mod smoke;
mod stage;
mod story;
mod topics;
mod turn;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Bench, Job};

fn main() -> ExitCode {
    match perform(Bench::parse().job) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("callboard-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Does `job`; whether every promise was kept.
fn perform(job: Job) -> anyhow::Result<bool> {
    match job {
        Job::Budget(arguments) => budget::run(&arguments),
        Job::Host(arguments) => host::run(&arguments),
        Job::Scale(arguments) => scale::run(&arguments),
        Job::Footprint(arguments) => footprint::run(&arguments),
        Job::Components(arguments) => components::run(&arguments),
        Job::Counter(arguments) => counter::serve(&arguments).map(|()| true),
        Job::Chaos(arguments) => chaos::run(&arguments),
        Job::Flood(arguments) => flood::run(&arguments),
        Job::Floor(arguments) => floor::run(&arguments),
        Job::Turn(arguments) => turn::run(&arguments),
        Job::Recover(arguments) => recover::run(&arguments),
        Job::Smoke(arguments) => smoke::run(&arguments),
        Job::Compare(arguments) => compare::run(&arguments),
        Job::Report(arguments) => report::run(&arguments),
    }
}
