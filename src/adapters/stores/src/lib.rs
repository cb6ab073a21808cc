//! What Callboard keeps on the local disk: the embedded log, the snapshots, and the folder that holds both.
//!
//! [`DataDir`] claims the folder, [`EmbeddedLog`] serves the log ports where there is no Kafka, [`open_snapshots`]
//! opens the snapshot store of either engine, [`InHandJournal`] notes what is in hand, and [`repair_log`] saves what a
//! damaged log still holds.

mod background;
mod folder;
mod in_hand;
mod log;
mod snapshots;

pub use folder::{DataDir, DataDirError};
pub use in_hand::InHandJournal;
pub use log::{
    EmbeddedLog, EmbeddedOptions, Fsync, OpenError, RepairError, RepairReport, Retention, repair_log,
};
pub use snapshots::{Engine, OpenSnapshotsError, open_snapshots};
