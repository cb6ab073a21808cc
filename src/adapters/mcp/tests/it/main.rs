//! Stories of MCP servers: official ones from npm, and one that misbehaves as told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;
mod lists;
mod official;
mod settings;
mod supervision;
mod world;
