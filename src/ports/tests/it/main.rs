//! The fakes under the contract suites, and what is peculiar to them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fakes;
mod memory;
