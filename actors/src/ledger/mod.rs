//! The effect ledger as a pool uses it: what must not be done twice is run by whoever reserved it first in the log.
//!
//! For each `unsafe` or `reconcilable` request a worker appends Reserved to `tool-effects`, reads it back as the first of
//! that effect and attempt ([`Ledger`] folds the partition), and only then calls the tool, within the claim's time by the
//! log's clock and by its own monotonic one ([`Claim`] remembers since when). What came of it is appended as Committed before
//! it becomes an event ([`perform`]). Whoever finds another's Reserved waits until its owner can no longer be running it; then
//! the tool's probe decides, or it is in doubt. `pure` and `idempotent` requests never get here.
//!
//! **The residual.** Between the check of the claim and the first byte that the tool sends lies no wait of ours, but the
//! process may be stopped exactly there (SIGSTOP, a hypervisor) and go on long after the claim is over. By then the effect has
//! been declared in doubt, not run again: only a person who settles it as "not done" meanwhile would make it happen twice.
//! Services that honour the idempotency key close this gap too.
//!
//! Neighbours: `domain::ledger` (the rules), `pool` (who calls this, and appends what it says).

mod claim;
mod perform;
mod reader;
mod reserve;

pub use claim::Claim;
pub use perform::perform;
pub use reader::Ledger;
pub use reserve::entry_record;
