//! Python with packages from PyPI, for the examples that are written in Python: fetched once per machine with pip, then
//! shared by every test process.
//!
//! The cache is the testkit's ([`crate::cache`]), the folder below it `python-` and a hash of what was asked for. It
//! appears by one rename, so it is either whole or absent.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::cache;
use crate::process::Launch;

/// What to start Python as; Debian has no plain `python`.
const PYTHON: &str = "python3";
/// Some 15 MB through a slow mirror.
const FETCH_WAIT: Duration = Duration::from_secs(300);

/// Python and the packages in one folder.
#[derive(Debug, Clone)]
pub struct Python {
    packages: PathBuf,
}

impl Python {
    /// Python with `packages` (`name==version`). Where that cannot be had it says on stderr that the test is SKIPPED and
    /// why; with `CI` set it panics instead, since a build server that skips it proves nothing.
    pub fn with(packages: &[&str]) -> Option<Self> {
        let why = match look_around().and_then(|()| fetched(packages)) {
            Ok(packages) => return Some(Self { packages }),
            Err(why) => why,
        };
        assert!(std::env::var_os("CI").is_none(), "Python tests cannot run here, and CI is set: {why}");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        crate::announce(&format!(
            "testkit: SKIPPED {test}: no Python with its packages on this machine: {why}"
        ));
        None
    }

    /// To be started with more arguments.
    #[must_use]
    pub fn launch(&self) -> Launch {
        Launch::new(PYTHON).env("PYTHONPATH", &self.packages).env("PYTHONDONTWRITEBYTECODE", "1").arg("-u")
    }
}

fn look_around() -> Result<(), String> {
    match Command::new(PYTHON).args(["-m", "pip", "--version"]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("{PYTHON} has no pip ({})", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Err(format!("{PYTHON} does not start ({error}); install Python with pip")),
    }
}

fn fetched(packages: &[&str]) -> Result<PathBuf, String> {
    let cache = cache::folder().map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let folder = cache.join(format!("python-{:016x}", hasher.finish()));
    if folder.is_dir() {
        return Ok(folder);
    }
    let io = |error: std::io::Error| format!("{}: {error}", cache.display());
    std::fs::create_dir_all(&cache).map_err(io)?;
    let lock = File::create(cache.join("python.lock")).map_err(io)?;
    lock.lock().map_err(io)?;
    // Somebody may have fetched them while this process waited for the lock.
    if folder.is_dir() {
        return Ok(folder);
    }
    crate::announce(&format!("testkit: fetching {} with pip, once", packages.join(", ")));
    let fresh = tempfile::Builder::new().prefix("python-fetching-").tempdir_in(&cache).map_err(io)?;
    let pip =
        ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet", "--target", "."];
    let pip = Launch::new(PYTHON).folder(fresh.path()).args(pip).args(packages.iter().copied());
    let process = pip.start().map_err(|error| error.to_string())?;
    let ended = process.wait_exit(FETCH_WAIT).map_err(|error| error.to_string())?;
    if !ended.success() {
        return Err(format!("pip does not fetch {}; it said last:\n{}", packages.join(", "), process.tail()));
    }
    std::fs::rename(fresh.keep(), &folder).map_err(io)?;
    Ok(folder)
}
