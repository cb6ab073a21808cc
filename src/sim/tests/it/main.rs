//! Stories about the simulation itself: seeds hold, a seed is one run, defects are found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod defects;
mod seeds;
