//! Contract suites: what every implementation of a port must do.
//!
//! Each case is a plain async function over a harness; `all` runs them in order and names each on stderr.
//! Every case uses fresh keys and groups, so that the suites can run against a broker that others use too.
//! [`harness`] is what an implementation provides, [`story`] the vocabulary of the cases.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// A replay takes a list of ranges; one range is the usual list.
#![allow(clippy::single_range_in_vec_init)]

pub mod append;
pub mod harness;
pub mod in_hand;
pub mod inbox;
pub mod members;
pub mod replay;
pub mod snapshot;
pub mod story;
pub mod tail;

pub use harness::{InHandHarness, LogHarness, SnapshotHarness};

/// Runs cases in order, naming each.
macro_rules! run {
    ($harness:expr, $suite:literal, $($case:path),+ $(,)?) => {{
        $(
            eprintln!("contract {}: {}", $suite, stringify!($case));
            $case($harness).await;
        )+
    }};
}
pub(crate) use run;

/// The whole contract of `Log` and `Inbox`.
pub mod log {
    use super::harness::LogHarness;

    pub async fn all(harness: &dyn LogHarness) {
        super::append::all(harness).await;
        super::replay::all(harness).await;
        super::tail::all(harness).await;
        super::inbox::all(harness).await;
        super::members::all(harness).await;
    }
}
