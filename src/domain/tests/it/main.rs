//! Tests of the pure core: laws of the fold, of plans and of `due` in a simulated world (`world`), and tables
//! for what the wire accepts and what the views show.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audit;
mod bounds;
mod decide;
mod due_laws;
mod fold_laws;
mod golden;
mod owners;
mod plan_laws;
mod queries;
mod recovery;
mod references;
#[cfg(feature = "schema")]
mod schemas;
mod steps;
mod story;
mod turns;
mod view;
mod wire;
mod world;
