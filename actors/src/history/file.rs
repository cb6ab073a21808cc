//! `history.json`: written beside itself and renamed, so that a reader never sees half of it. It is a cache: deleted, of
//! another log or unreadable, it is made again from the log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
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

/// A large file goes to the disk in pieces of this size: an fsync of the log waits for one of them, not for all.
const PIECE_BYTES: usize = 1 << 20;

/// Writes pieces, each when the one before it is on the disk.
struct Pieces {
    file: File,
    is_first: bool,
}

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.is_first) {
            self.file.sync_data()?;
        }
        self.file.write(piece)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces the file's content in one step. The last piece, which of a small file is all of it, is not synced: what a power
/// cut leaves is made again from the log, and a sync twice a second holds up every other writer of the disk, a broker among
/// them.
pub fn write_atomically(path: &Path, content: &HistoryFile) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut out =
        BufWriter::with_capacity(PIECE_BYTES, Pieces { file: File::create(&beside)?, is_first: true });
    serde_json::to_writer_pretty(&mut out, content)?;
    out.flush()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use callboard_domain::view::{HistoryTurn, HistoryView};

    use super::*;

    #[test]
    fn a_file_of_several_pieces_is_read_back_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.json");
        for many in [3_000, 1] {
            let entry = |i: usize| {
                let id = ConversationId::new(&format!("c{i}")).unwrap();
                let turn = HistoryTurn {
                    turn: 1,
                    command_id: callboard_domain::id::CommandId::new("k1").unwrap(),
                    message: "m".repeat(1_000).into(),
                    status: "answered".into(),
                    answer: Some("a".into()),
                    at: "2026-11-28T00:00:00.000Z".into(),
                };
                let view = HistoryView { conversation_id: id.clone(), offset: 2, turns: vec![turn] };
                (id, Arc::new(Entry { view, turns_total: 1, partition: 0 }))
            };
            let content = HistoryFile {
                format: HistoryFile::FORMAT,
                log: BTreeMap::new(),
                positions: BTreeMap::from([(0, 7)]),
                shrunk: false,
                conversations: (0..many).map(entry).collect(),
            };
            write_atomically(&path, &content).unwrap();
            let bytes = std::fs::metadata(&path).unwrap().len();
            assert_eq!(bytes > 2 * PIECE_BYTES as u64, many > 1, "{bytes}");
            assert_eq!(read(&path), Some(content));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
