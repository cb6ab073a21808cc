//! One call to a provider, whoever it is: who may call now (`guard`, with `breaker` and `rate`), for how long (`pace`),
//! what is heard (`ear`), what it cost (`tally`),
//! what all calls came to (`meter`). [`line`] puts them together.

pub(crate) mod breaker;
pub(crate) mod ear;
pub(crate) mod guard;
pub(crate) mod line;
pub(crate) mod meter;
pub(crate) mod pace;
pub(crate) mod rate;
pub(crate) mod tally;
