//! fjall 3 as a map, in a database of its own: a broken snapshot store must not touch the log.

use std::path::Path;

use callboard_ports::snapshot::SnapshotError;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::engine::{Map, NotOpened, Write};
use crate::background::in_background;

/// As much as sled gets.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// What a start reads again from the journal at most.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
const JOURNALS_BYTES: u64 = 128 * 1024 * 1024;

pub(super) struct FjallEngine {
    db: Database,
    map: Keyspace,
}

impl FjallEngine {
    pub(super) fn open(dir: &Path) -> Result<Self, NotOpened> {
        let opened = in_background(|| Self::try_open(dir)).map_err(NotOpened::Io)?;
        opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(|error| match error {
            fjall::Error::Locked => NotOpened::Locked,
            fjall::Error::Io(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::PermissionDenied
                        | std::io::ErrorKind::StorageFull
                        | std::io::ErrorKind::ReadOnlyFilesystem
                        | std::io::ErrorKind::NotADirectory
                ) =>
            {
                NotOpened::Io(error)
            }
            other => NotOpened::Broken(other.to_string()),
        })
    }

    fn try_open(dir: &Path) -> fjall::Result<Self> {
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNALS_BYTES)
            .worker_threads(1)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let map = db.keyspace("snapshots", options)?;
        Ok(Self { db, map })
    }
}

fn explain(error: fjall::Error) -> SnapshotError {
    match error {
        fjall::Error::Io(error) => SnapshotError::Failed(error.to_string()),
        other => SnapshotError::Corrupt(other.to_string()),
    }
}

impl Map for FjallEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SnapshotError> {
        Ok(self.map.get(key).map_err(explain)?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), SnapshotError> {
        for guard in self.map.range(from..to) {
            let (key, value) = guard.into_inner().map_err(explain)?;
            if !take(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), SnapshotError> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(&self.map, key, value),
                None => batch.remove(&self.map, key),
            }
        }
        batch.commit().map_err(explain)
    }
}
