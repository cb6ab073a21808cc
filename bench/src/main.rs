//! `callboard-bench`: what is claimed about Callboard, measured on real processes and a real Kafka.
//!
//! `stage` starts what is to be broken, `load` talks to it as a client would, `chaos` breaks it and judges what the log
//! holds afterwards, `topics` reads that log. `counter` is the outside world that effects are counted in.

mod arguments;
mod chaos;
mod counter;
mod load;
mod seed;
mod stage;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Bench, Job};

fn main() -> ExitCode {
    let outcome = match Bench::parse().job {
        Job::Counter(arguments) => counter::serve(&arguments).map(|()| true),
        Job::Chaos(arguments) => chaos::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("callboard-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
