//! Actors: conversations and their hosts, tool and synthesis pools, the history projection, and the supervision
//! that keeps them running. actix lives in this crate and nowhere else below `server`.
//!
//! Nothing here reads a clock, makes a random number or starts a thread by itself: it gets `Clock`, `Entropy`,
//! `Placement` and `Blocking` from the ports (`placement` implements the last two for production). There are
//! no statics, so that two nodes can run in one process.

mod bridge;
pub mod conversation;
mod decode;
pub mod directory;
mod guardian;
pub mod history;
pub mod host;
pub mod limits;
pub mod node;
pub mod observe;
pub mod placement;
mod planner_pool;
mod pool;
mod shared;
pub mod supervise;
mod wakes;
mod window;

pub use limits::Limits;
pub use node::{Asked, Fatal, Follow, Node, NodeError, Readiness, start};
pub use observe::{ActorView, KillHow, MetricKind, MetricLine, Metrics};
pub use placement::{Arbiters, BlockingThreads};
pub use shared::{Ports, Roles};
