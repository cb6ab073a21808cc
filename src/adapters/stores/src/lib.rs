//! What Callboard keeps on the local disk: the embedded log, the snapshots, and the folder that holds both.
//!
//! [`DataDir`] claims the folder, [`EmbeddedLog`] serves the log ports where there is no Kafka, [`open_snapshots`]
//! opens the snapshot store of either engine, and [`repair_log`] saves what a damaged log still holds.

mod folder;
mod log;
mod snapshots;

pub use folder::{DataDir, DataDirError};
pub use log::{
    EmbeddedLog, EmbeddedOptions, Fsync, OpenError, RepairError, RepairReport, Retention, repair_log,
};
pub use snapshots::{Engine, OpenSnapshotsError, open_snapshots};
