//! The built-in tools: `echo`, `math`, `weather` and `exchange`, and the registry that plans are checked against.
//!
//! An adapter: it implements `callboard_ports::tool` and the domain's `Toolbox`, and knows no actor. [`config`] is
//! what an operator may set, [`registry`] puts the tools together, [`schema`] judges arguments, [`http`] is how tools
//! reach services. Each tool is a module of its own.

pub mod config;
mod echo;
mod exchange;
mod http;
mod math;
mod registry;
mod schema;
mod secret;
mod spec;
mod weather;

pub use config::ToolsConfig;
pub use registry::{BuildError, Registry};
pub use secret::Secret;
