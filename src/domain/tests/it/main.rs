//! Tests of the pure core: laws of the fold, of plans and of `due` in a simulated world (`world`), and tables
//! for what the wire accepts and what the views show.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod approvals;
mod audit;
mod bounds;
mod budgets;
mod cancels;
mod decide;
mod doubts;
mod due_laws;
mod fold_laws;
mod golden;
mod late;
mod ledger;
mod open_turns;
mod owners;
mod plan_laws;
mod queries;
mod recovery;
mod references;
mod retry_now;
#[cfg(feature = "schema")]
mod schemas;
mod settle;
mod steps;
mod story;
mod turns;
mod view;
mod wire;
mod world;
