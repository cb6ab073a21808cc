//! The library behind the binary `callboard`.
//!
//! `app` is its front door, for those who add tools of their own; `cli` is what can be typed, `config` what can be set, `serve` runs a node until `shutdown`, `http` is its face,
//! `offline` reads a data folder that nobody holds. `wiring` is the only place that names adapters and actors
//! together.

mod app;
pub mod cli;
pub mod compare;
pub mod config;
mod dead_letters;
mod demo;
mod eval;
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

use std::path::Path;

pub use app::{App, Attempt, EffectClass, Found, Tool, ToolError};

use cli::{Failure, Global};
use config::{Environment, Flag, Loaded};

/// The configuration of this process: defaults, file, environment, flags.
///
/// # Errors
/// A file that cannot be read, a key that nobody knows, a value that is none.
pub fn settings(global: &Global, more: &[Flag]) -> Result<Loaded, Failure> {
    let mut flags = global.flags();
    flags.extend_from_slice(more);
    Ok(config::load(global.config.as_deref(), Path::new("."), &Environment::of_process(), &flags)?)
}
