//! The built-in tools: `echo`, `math`, `weather`, `exchange`, `webhook` and `deposit`, and the registry that plans are checked against.
//!
//! An adapter: it implements `callboard_ports::tool` and the domain's `Toolbox`, and knows no actor. [`config`] is
//! what an operator may set, [`registry`] puts the tools together, [`schema`] judges arguments, [`http`] is how tools
//! read from services, [`effects`] how they change something there. Each tool is a module of its own.

mod allow;
mod ask_model;
mod cache;
pub mod config;
mod deposit;
mod echo;
mod effects;
mod exchange;
mod http;
mod http_get;
mod math;
mod own;
mod registry;
mod schema;
mod secret;
mod spec;
mod weather;
mod webhook;

pub use config::ToolsConfig;
pub use own::{OwnConfig, Runs, own};
pub use registry::{BuildError, Offer, Registry, ask_model, built_in};
pub use secret::Secret;
pub use spec::{adjusted, judged};
