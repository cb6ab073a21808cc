//! A conversation as the fold of its records: `state` says what it consists of, `turn` how one turn moves on,
//! `apply` is the one total match that moves it, with `steps` for what concerns a single step, `approvals` for a
//! person's word on it and `late` for what is heard of it after its turn has closed.

mod apply;
mod approvals;
mod late;
mod state;
mod step;
mod steps;
mod turn;

pub use apply::{Applied, Ignored, Recorded, apply};
pub use state::{Blocked, ClosedTurn, FOLD_VERSION, Known, State, TurnStatus};
pub use step::{Awaited, Step, StepState};
pub use turn::{Phase, PlanVersion, Turn};
