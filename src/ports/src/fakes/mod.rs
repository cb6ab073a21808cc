//! Fakes of every port, for tests and for the simulation. They pass the contract suites and follow whatever
//! clock and runtime they are used on, so a paused tokio clock and a seed reproduce a run.

mod clock;
mod log;
mod model;
mod place;
mod snapshots;
mod tool;

pub use clock::{SplitMixEntropy, TokioClock};
pub use log::MemoryLog;
pub use model::{ScriptedCompleter, ScriptedPlanner, ScriptedSynthesizer};
pub use place::{Inline, OneArbiter};
pub use snapshots::MemorySnapshots;
pub use tool::{FakeTools, Gate, ScriptedTool};
