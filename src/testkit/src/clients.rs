//! The official OpenAI clients, as their users install them: fetched once per machine with pip and npm, then shared by every
//! test process.
//!
//! The cache is the testkit's ([`crate::cache`]), a folder below it per client and version. It appears by one rename, so it is
//! either whole or absent. Scripts run in the client's own language, as processes that can be bounded.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::cache;
use crate::process::Launch;

/// Some 25 MB through a slow mirror.
const FETCH_WAIT: Duration = Duration::from_secs(300);

/// A language that OpenAI has a client for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `openai` from PyPI.
    Python,
    /// `openai` from npm.
    JavaScript,
}

static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
static JAVASCRIPT: OnceLock<Result<PathBuf, String>> = OnceLock::new();

impl Client {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "openai-python-3.57.0",
            Self::JavaScript => "openai-javascript-6.49.0",
        }
    }

    /// The program that runs `script` with the client at hand. Nothing where it cannot be had: then it says on stderr that the
    /// test is SKIPPED and why; with `CI` set it panics instead, since a build server that skips these proves nothing.
    ///
    /// # Panics
    /// With `CI` set, when the client cannot be had.
    pub fn script(self, script: &str) -> Option<Launch> {
        let once = if self == Self::Python { &PYTHON } else { &JAVASCRIPT };
        let folder = match once.get_or_init(|| self.ensure()) {
            Ok(folder) => folder,
            Err(why) => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "{self:?} tests cannot run here, and CI is set: {why}"
                );
                let test = std::thread::current().name().unwrap_or("a test").to_owned();
                crate::announce(&format!(
                    "testkit: SKIPPED {test}: no official OpenAI client for {self:?}: {why}"
                ));
                return None;
            }
        };
        Some(match self {
            Self::Python => Launch::new("python3").env("PYTHONPATH", folder).args(["-u", "-c", script]),
            Self::JavaScript => {
                Launch::new("node").env("NODE_PATH", folder.join("node_modules")).args(["-e", script])
            }
        })
    }

    fn ensure(self) -> Result<PathBuf, String> {
        let parent = cache::folder().map_err(|error| error.to_string())?;
        let folder = parent.join(self.name());
        if folder.is_dir() {
            return Ok(folder);
        }
        std::fs::create_dir_all(&parent).map_err(|error| error.to_string())?;
        let lock =
            File::create(parent.join(format!("{}.lock", self.name()))).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        // Somebody may have fetched it while this process waited for the lock.
        if !folder.is_dir() {
            crate::announce(&format!("testkit: fetching {} (25 MB), once", self.name()));
            let fresh = tempfile::Builder::new().prefix("openai-fetching-").tempdir_in(&parent);
            let fresh = fresh.map_err(|error| error.to_string())?;
            self.fetch(fresh.path())?;
            std::fs::rename(fresh.keep(), &folder).map_err(|error| error.to_string())?;
        }
        Ok(folder)
    }

    fn fetch(self, into: &Path) -> Result<(), String> {
        let launch = match self {
            Self::Python => Launch::new("python3")
                .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet"])
                .args(["--no-warn-conflicts", "--target", ".", "openai==3.57.0"]),
            Self::JavaScript => Launch::new("npm").args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                ".",
                "openai@6.49.0",
            ]),
        };
        let process = launch.folder(into).start().map_err(|error| error.to_string())?;
        let ended = process.wait_exit(FETCH_WAIT).map_err(|error| error.to_string())?;
        if ended.success() {
            Ok(())
        } else {
            Err(format!("it cannot be fetched; said last:\n{}", process.tail()))
        }
    }
}
