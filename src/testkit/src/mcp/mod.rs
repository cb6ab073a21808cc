//! Official MCP servers for tests: published on npm, run by Node.
//!
//! `packages` fetches them once per machine; [`http`] is one that serves streamable HTTP on a port of its own. A server
//! over standard streams is started by whoever speaks with it, as `node SCRIPT`. Needs Node and npm; [`require`] says so
//! loudly where they are missing.

mod http;
mod packages;

use std::process::Command;
use std::sync::OnceLock;

pub use http::{HttpServer, StartError};
pub use packages::{Packages, PackagesError};

/// What runs the servers.
pub const NODE: &str = "node";

static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();

/// Whether this machine can run the servers.
pub fn available() -> Result<(), String> {
    AVAILABLE.get_or_init(look_around).clone()
}

/// Whether to run a test that needs the servers. Where they cannot run this says on stderr that the test is SKIPPED and
/// why; with `CI` set it panics instead, since a build server that skips it proves nothing.
pub fn require() -> bool {
    let Err(why) = available() else { return true };
    assert!(std::env::var_os("CI").is_none(), "MCP tests cannot run here, and CI is set: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    crate::announce(&format!("testkit: SKIPPED {test}: no MCP server on this machine: {why}"));
    false
}

fn look_around() -> Result<(), String> {
    /// The packages say that they run from here on.
    const OLDEST_NODE: u32 = 18;
    let version = version(NODE)?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        return Err(format!("Node is {version}; the servers need {OLDEST_NODE} or newer"));
    }
    if packages::cached() { Ok(()) } else { version_of_npm() }
}

fn version_of_npm() -> Result<(), String> {
    version("npm").map(drop)
}

fn version(program: &str) -> Result<String, String> {
    match Command::new(program).arg("--version").output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => {
            Err(format!("{program} --version fails: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Err(format!("{program} does not start ({error}); on Debian install nodejs and npm")),
    }
}
