//! The actors on the fakes of the ports: one binary, stories in `world`'s controlled surroundings.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arbiters;
mod check;
mod control;
mod duplicates;
mod garbage;
mod history;
mod liar;
mod recovery;
mod supervision;
mod takeover;
mod timers;
mod turns;
mod world;
