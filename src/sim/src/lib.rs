//! The simulation: the real actors, on ports in memory, in one thread, on a clock that jumps, against an adversary that is
//! drawn from a seed. A seed reproduces a run exactly; `domain::audit` judges it. What it does and does not show is in
//! `docs/SIMULATION.md`.
//!
//! | file | is |
//! |---|---|
//! | `dice`, `mix`, `workload` | what a seed draws: randomness, bounds and faults, what users ask |
//! | `world`, `trace`, `outside`, `ownership` | what all processes share, and what an onlooker writes down |
//! | `courier`, `shuffle`, `log`, `inbox`, `disk`, `clock`, `tools`, `models` | the ports, with an adversary in each |
//! | `audience` | who watches answers while they are being written |
//! | `life`, `process`, `director`, `gateway` | processes that die and come back, and who makes them |
//! | `run`, `judge`, `sweep`, `report`, `defects` | one run, its verdict, many runs, what is printed, what is planted |

pub mod defects;
pub mod fault;
pub mod report;
pub mod run;
pub mod sweep;

mod audience;
mod clock;
mod courier;
mod dice;
mod director;
mod disk;
mod gateway;
mod inbox;
mod judge;
mod life;
mod log;
mod mix;
mod models;
mod outside;
mod ownership;
mod process;
mod shuffle;
mod tools;
mod trace;
mod workload;
mod world;

pub use callboard_domain::planted::Defect;
pub use fault::Fault;
pub use judge::Ledgered;
pub use run::{Outcome, run};
pub use sweep::{Sweep, Total};
