//! The servers' packages: fetched once per machine with npm, then shared by every test process.
//!
//! The cache is the testkit's ([`crate::cache`]), the folder below it `mcp-servers`. It appears by one rename, so it is
//! either whole or absent. No script of any package is run while they are fetched.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache;
use crate::process::{Launch, ProcessError};

/// What to fetch.
const PACKAGE: &str = include_str!("package.json");
const PACKAGE_FILE: &str = "package.json";
/// Some 40 MB in 120 packages through a slow mirror.
const FETCH_WAIT: Duration = Duration::from_secs(600);

/// Why there are no servers.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// No variable says where a cache may be.
    #[error("no folder for the MCP servers: {0}")]
    NoFolder(#[from] cache::NoFolder),
    /// The cache cannot be read or written.
    #[error("the MCP servers' folder {}: {source}", .folder.display())]
    Io {
        /// Which folder.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// npm did not run, or not in time.
    #[error("npm does not fetch the MCP servers: {0}")]
    Process(#[from] ProcessError),
    /// npm ended badly.
    #[error("npm does not fetch the MCP servers; it said last:\n{0}")]
    Npm(String),
}

/// Where the servers' scripts lie.
#[derive(Debug, Clone)]
pub struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// The packages; fetches them when they are missing. Other processes that ask meanwhile wait.
    pub fn ensure() -> Result<Self, PackagesError> {
        let folder = folder()?;
        if !is_current(&folder) {
            let parent = folder.parent().expect("the folder has a parent: it was joined from one").to_owned();
            let at = |source| PackagesError::Io { folder: parent.clone(), source };
            std::fs::create_dir_all(&parent).map_err(at)?;
            let lock = File::create(parent.join("mcp-servers.lock")).map_err(at)?;
            lock.lock().map_err(at)?;
            // Somebody may have fetched them while this process waited for the lock.
            if !is_current(&folder) {
                fetch(&folder, &parent)?;
            }
        }
        Ok(Self { folder })
    }

    fn script(&self, package: &str) -> PathBuf {
        self.folder.join("node_modules/@modelcontextprotocol").join(package).join("dist/index.js")
    }

    /// `node SCRIPT FOLDER…` serves the files below the folders.
    pub fn filesystem(&self) -> PathBuf {
        self.script("server-filesystem")
    }

    /// `node SCRIPT stdio|streamableHttp` has a tool of every kind.
    pub fn everything(&self) -> PathBuf {
        self.script("server-everything")
    }
}

/// Whether everything is here, so that npm is not needed.
pub(super) fn cached() -> bool {
    folder().is_ok_and(|folder| is_current(&folder))
}

fn fetch(folder: &Path, parent: &Path) -> Result<(), PackagesError> {
    let at = |source| PackagesError::Io { folder: folder.to_owned(), source };
    crate::announce("testkit: fetching official MCP servers with npm, once");
    let fresh = tempfile::Builder::new().prefix("mcp-servers-fetching-").tempdir_in(parent).map_err(at)?;
    std::fs::write(fresh.path().join(PACKAGE_FILE), PACKAGE).map_err(at)?;
    let npm = Launch::new("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--loglevel=error",
        ])
        .folder(fresh.path())
        .start()?;
    if !npm.wait_exit(FETCH_WAIT)?.success() {
        return Err(PackagesError::Npm(npm.tail()));
    }
    if folder.exists() {
        // Of an older testkit that asked for other versions. Servers that run from it have their files open.
        std::fs::remove_dir_all(folder).map_err(at)?;
    }
    std::fs::rename(fresh.keep(), folder).map_err(at)
}

/// The package file is what was asked for, so a cache with another one is another cache.
fn is_current(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join(PACKAGE_FILE)).is_ok_and(|found| found == PACKAGE)
}

fn folder() -> Result<PathBuf, cache::NoFolder> {
    Ok(cache::folder()?.join("mcp-servers"))
}
