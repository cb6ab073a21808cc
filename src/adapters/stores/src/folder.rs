//! The data folder: one process at a time, one format, one identity.
//!
//! `lock` is held with an advisory file lock for the life of the process and says who holds it, `format` is the
//! version of the folder's layout, `node-id` the node's name for as long as the folder lives. Neighbours: the
//! embedded log lives in `log`, snapshots in `snapshots-ENGINE`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why the data folder cannot be used; one line each.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("the data folder {path} is in use by {holder}; stop it, or choose another with --data-dir", path = path.display())]
    Locked { path: PathBuf, holder: String },
    #[error("the data folder {path} cannot be written: {source}; choose another with --data-dir", path = path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{path} is no folder; --data-dir names a folder", path = path.display())]
    NotADirectory { path: PathBuf },
    #[error(
        "the data folder {path} has format {found}, this build knows up to {known}; use a newer build",
        path = path.display()
    )]
    NewerFormat { path: PathBuf, found: String, known: u32 },
}

/// A claimed data folder. Dropping it lets the next process in.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
    node_id: String,
}

impl DataDir {
    /// Creates the folder where it is missing and claims it.
    ///
    /// # Errors
    /// [`DataDirError`] says who holds it, or what is wrong with it.
    pub fn acquire(path: &Path, format_version: u32) -> Result<Self, DataDirError> {
        let unwritable = |source| DataDirError::Unwritable { path: path.to_owned(), source };
        if path.exists() && !path.is_dir() {
            return Err(DataDirError::NotADirectory { path: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(unwritable)?;
        let lock = open_lock(path).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::Locked { path: path.to_owned(), holder: holder(path) });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        check_format(path, format_version)?;
        let node_id = keep(&path.join("node-id"), || uuid::Uuid::new_v4().to_string()).map_err(unwritable)?;
        let mut folder = Self { path: path.to_owned(), lock, node_id };
        folder.write_lock(None).map_err(unwritable)?;
        Ok(folder)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Random, made with the folder, the same for as long as the folder lives.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// Tells other processes where this one listens.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn publish_address(&mut self, address: &str) -> Result<(), DataDirError> {
        self.write_lock(Some(address))
            .map_err(|source| DataDirError::Unwritable { path: self.path.clone(), source })
    }

    /// Where the process that holds the folder listens; `None` when nobody holds it or it does not listen yet.
    #[must_use]
    pub fn address_of_holder(path: &Path) -> Option<String> {
        let lock = File::open(path.join("lock")).ok()?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => read_line(path, "address="),
            _ => None,
        }
    }

    fn write_lock(&mut self, address: Option<&str>) -> io::Result<()> {
        let mut text = format!("pid={}\n", std::process::id());
        if let Some(address) = address {
            text.push_str(&format!("address={address}\n"));
        }
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(text.as_bytes())
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("lock"))
}

fn read_line(path: &Path, name: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path.join("lock")).ok()?.take(4_096).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

fn holder(path: &Path) -> String {
    match (read_line(path, "pid="), read_line(path, "address=")) {
        (Some(pid), Some(address)) => format!("process {pid}, which listens on {address}"),
        (Some(pid), None) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

/// The content of a small file, written once and durably.
fn keep(path: &Path, make: impl FnOnce() -> String) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let text = make();
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(text)
}

fn check_format(path: &Path, known: u32) -> Result<(), DataDirError> {
    let found = keep(&path.join("format"), || known.to_string())
        .map_err(|source| DataDirError::Unwritable { path: path.to_owned(), source })?;
    match found.parse::<u32>() {
        Ok(version) if version <= known => Ok(()),
        _ => Err(DataDirError::NewerFormat { path: path.to_owned(), found, known }),
    }
}
