//! The library behind the binary `callboard`.
//!
//! `cli` is what can be typed, `config` what can be set, `serve` runs a node until `shutdown`, `http` is its face,
//! `offline` reads a data folder that nobody holds. `wiring` is the only place that names adapters and actors
//! together.

pub mod cli;
pub mod compare;
pub mod config;
mod dead_letters;
mod demo;
mod heart;
mod history;
pub mod http;
mod offline;
mod records;
pub mod serve;
mod shutdown;
mod startup;
pub mod system;
mod telemetry;
pub mod wiring;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Failure, Global};
use config::{Environment, Flag, Loaded};

/// The whole program: arguments in (the program's name first), exit code out.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    match Cli::try_parse_from(cli::with_default_command(arguments)) {
        Ok(cli) => run(&cli),
        Err(error) => {
            // Help and version are answers; anything else is wrong usage.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
        }
    }
}

/// Runs a parsed command line.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    cli::finish(cli::run(cli))
}

/// The configuration of this process: defaults, file, environment, flags.
///
/// # Errors
/// A file that cannot be read, a key that nobody knows, a value that is none.
pub fn settings(global: &Global, more: &[Flag]) -> Result<Loaded, Failure> {
    let mut flags = global.flags();
    flags.extend_from_slice(more);
    Ok(config::load(global.config.as_deref(), Path::new("."), &Environment::of_process(), &flags)?)
}
