//! A conversation as the fold of its records: `state` says what it consists of, `turn` how one turn moves on,
//! `apply` is the one total match that moves it, with `steps` for what concerns a single step.

mod apply;
mod late;
mod state;
mod steps;
mod turn;

pub use apply::{Applied, Ignored, Recorded, apply};
pub use state::{Blocked, ClosedTurn, FOLD_VERSION, Known, State, TurnStatus};
pub use turn::{Phase, PlanVersion, Step, StepState, Turn};
