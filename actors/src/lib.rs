//! Actors: conversations and their hosts, tool and synthesis pools, the history projection, and the supervision
//! that keeps them running. actix lives in this crate and nowhere else below `server`.
//!
//! Nothing here reads a clock, makes a random number or starts a thread by itself: it gets `Clock`, `Entropy`,
//! `Placement` and `Blocking` from the ports (`placement` implements the last two for production). There are
//! no statics, so that two nodes can run in one process.

pub mod breaker;
mod bridge;
pub mod conversation;
mod crash_point;
mod decode;
pub mod directory;
mod fenced;
mod gauges;
mod guardian;
pub mod history;
pub mod host;
mod ledger;
pub mod limits;
pub mod node;
pub mod observe;
mod open_index;
pub mod placement;
mod planner_pool;
mod pool;
mod shared;
mod streams;
pub mod supervise;
mod tenure;
mod wakes;
mod watchdog;
mod window;

#[cfg(feature = "crash-points")]
pub use crash_point::CRASH_POINTS;
pub use limits::Limits;
pub use node::{
    Asked, Commanded, Fatal, Follow, NoCursor, Node, NodeError, OpenCursor, OpenFilter, OpenPage, Readiness,
    start,
};
pub use observe::{ActorView, KillHow, MailboxView, MetricKind, MetricLine, Metrics};
pub use placement::{Arbiters, BlockingThreads};
pub use shared::{Ports, Roles};
pub use streams::{Said, Watch, Watched};
pub use watchdog::WatchBounds;
