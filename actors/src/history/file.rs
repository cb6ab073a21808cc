//! `history.json`: written beside itself and renamed, so that a reader never sees half of it. It is a cache: deleted, of
//! another log or unreadable, it is made again from the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use callboard_domain::id::ConversationId;
use callboard_ports::log::LogIdentity;
use serde::{Deserialize, Serialize};

use super::book::Entry;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryFile {
    pub format: u32,
    /// Which log each partition's position belongs to.
    pub log: BTreeMap<u32, LogIdentity>,
    /// Next offset of each partition.
    pub positions: BTreeMap<u32, u64>,
    /// Whether older conversations were left out.
    pub shrunk: bool,
    pub conversations: BTreeMap<ConversationId, Arc<Entry>>,
}

impl HistoryFile {
    pub const FORMAT: u32 = 1;

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("maps with string keys can be written")
    }
}

/// Reads the file; `None` where there is none that can be used.
pub fn read(path: &Path) -> Option<HistoryFile> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "history.json cannot be read; it is made again");
            return None;
        }
    };
    match serde_json::from_slice::<HistoryFile>(&bytes) {
        Ok(file) if file.format == HistoryFile::FORMAT => Some(file),
        Ok(file) => {
            tracing::warn!(format = file.format, "history.json has another format; it is made again");
            None
        }
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "history.json is damaged; it is made again");
            None
        }
    }
}

/// Replaces the file's content in one step. Not synced: what a power cut leaves of it is made again from the log, and a sync
/// twice a second holds up every other writer of the disk, a broker among them.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("json.new");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, path)
}
