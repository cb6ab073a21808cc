//! Snapshots on the local disk: one layout, two engines, one thread.
//!
//! `shelf` is the layout and does all verifying, `index` the offsets of a conversation, `entry` the small records, `known` what there is nothing of;
//! `sled_engine` and `fjall_engine` are plain ordered maps with an atomic write; `thread` runs a shelf and is what
//! callers hold. A store is a cache: whatever does not open or verify is moved aside and rebuilt from the log.

mod aside;
mod engine;
mod entry;
mod fjall_engine;
mod index;
mod known;
mod shelf;
mod sled_engine;
mod thread;

use std::path::Path;
use std::sync::Arc;

use callboard_ports::snapshot::SnapshotStore;

pub use engine::Engine;

/// Why no snapshot store can be opened, not even an empty one; one line.
#[derive(Debug, thiserror::Error)]
pub enum OpenSnapshotsError {
    #[error("the snapshots in {path} are in use by another process")]
    Locked { path: String },
    #[error("the snapshots in {path} cannot be opened: {reason}")]
    Unusable { path: String, reason: String },
}

/// Opens `DATA/snapshots-ENGINE`; what does not open is moved to `snapshots-ENGINE.bad-N` and said.
///
/// # Errors
/// [`OpenSnapshotsError`] when even an empty store cannot be made there.
pub fn open_snapshots(engine: Engine, data_dir: &Path) -> Result<Arc<dyn SnapshotStore>, OpenSnapshotsError> {
    let others = Engine::ALL.into_iter().filter(|other| *other != engine);
    for left in others.map(|other| data_dir.join(other.folder())).filter(|dir| dir.is_dir()) {
        tracing::info!(
            folder = %left.display(), engine = engine.word(),
            "snapshots of another engine are not used, those of this one are made from the log; that folder can be deleted"
        );
    }
    let shelf = shelf::Shelf::open(engine, data_dir)?;
    let store = thread::StoreThread::start(shelf).map_err(|error| OpenSnapshotsError::Unusable {
        path: data_dir.display().to_string(),
        reason: error.to_string(),
    })?;
    Ok(Arc::new(store))
}
