//! The pure core of Callboard: what happened (`event`), what is asked (`command`), what follows.
//!
//! Four verbs: [`apply`](conversation::apply) folds a record into a [`State`](conversation::State),
//! [`decide`](decide::decide) turns a command into the one event that it yields, [`due`](due::due) lists the
//! work that a state calls for, [`view`](view::view) shows it. `audit` holds the named invariants.
//!
//! There is no clock, randomness, I/O, async code or logging in this crate: replay cannot be told from life.

pub mod audit;
pub mod chunk;
pub mod command;
pub mod conversation;
pub mod decide;
pub mod due;
pub mod effect;
pub mod event;
pub mod id;
pub mod json;
pub mod ledger;
pub mod limits;
pub mod open_turns;
pub mod plan;
pub mod planted;
pub mod request;
pub mod retry;
#[cfg(feature = "schema")]
pub mod schema;
pub mod time;
pub mod view;
pub mod wire;

pub use conversation::{Applied, Recorded, State, apply};
pub use id::{CommandId, ConversationId, EffectId, StepId};
pub use json::RawJson;
pub use time::Millis;
