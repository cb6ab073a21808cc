//! The actors on the fakes of the ports: one binary, stories in `world`'s controlled surroundings.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod turns;
mod world;
