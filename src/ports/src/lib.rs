//! The seams: what the actors need from the world, as traits, with fakes and contract suites beside them.
//!
//! Adapters implement these traits and never see the actors; actors use them and never see an adapter. The
//! suites in [`contract`] run against every implementation, the fakes in [`fakes`] included.

pub mod admin;
pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod dead_letter;
pub mod fakes;
pub mod headers;
pub mod in_hand;
pub mod inbox;
pub mod local;
pub mod log;
pub mod model;
pub mod partition;
pub mod placement;
pub mod record;
pub mod snapshot;
pub mod tool;

pub use record::{Header, HeaderList, Headers, NewRecord, Record, Topic};
