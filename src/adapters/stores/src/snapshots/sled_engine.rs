//! sled 0.34.7 as a map. Its flush is no full fsync and a torn file may open in a mixed state: `shelf` verifies.

use std::path::Path;

use callboard_ports::snapshot::SnapshotError;

use super::engine::{Map, NotOpened, Write};

/// sled's own default is 1 GiB.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

pub(super) struct SledEngine {
    db: sled::Db,
}

impl SledEngine {
    pub(super) fn open(dir: &Path) -> Result<Self, NotOpened> {
        // The shelf flushes after each write: no flusher thread, which would outlive a panic.
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        match config.open() {
            Ok(db) => Ok(Self { db }),
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                Err(NotOpened::Locked)
            }
            Err(sled::Error::Io(error)) if is_access(error.kind()) => Err(NotOpened::Io(error)),
            Err(error) => Err(NotOpened::Broken(error.to_string())),
        }
    }
}

fn is_access(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    matches!(kind, NotADirectory | PermissionDenied | ReadOnlyFilesystem | StorageFull)
}

fn explain(error: sled::Error) -> SnapshotError {
    match error {
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => {
            SnapshotError::Corrupt(error.to_string())
        }
        other => SnapshotError::Failed(other.to_string()),
    }
}

impl Map for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SnapshotError> {
        Ok(self.db.get(key).map_err(explain)?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), SnapshotError> {
        for entry in self.db.range(from..to) {
            let (key, value) = entry.map_err(explain)?;
            if !take(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), SnapshotError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(explain)?;
        self.db.flush().map_err(explain)?;
        Ok(())
    }
}
