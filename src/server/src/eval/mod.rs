//! `callboard eval`: questions with what is expected of them, asked and scored.
//!
//! [`suite`] reads a file of questions, [`stage`] sets up a server of its own where none is named, [`ask`] asks and reads
//! the log back as [`observed`], [`score`] judges (with [`expected`], [`expression`] and [`facts`]), [`report`] sums up and
//! prints. Everything but `stage` and `ask` is pure. The command is `crate::cli::eval`; `docs/eval.md` is for its users.

pub mod ask;
mod expected;
mod expression;
mod facts;
pub mod observed;
pub mod report;
pub mod score;
pub mod stage;
pub mod suite;
