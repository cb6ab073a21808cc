//! Planners and synthesizers: the built-in ones, which need no model, and language models behind Ollama's and OpenAI's
//! APIs; routers ask them in order.
//!
//! An adapter: it implements `callboard_ports::model` and knows no actor. [`assembly`] puts everything together from
//! [`config`]; [`planner`] and [`synthesizer`] route; [`builtin`] always answers.

pub mod assembly;
mod budget;
pub mod builtin;
mod chat;
pub mod completer;
pub mod config;
pub mod embedder;
pub mod ollama;
pub mod openai;
pub mod planner;
mod prompt;
mod proposal;
mod secret;
pub mod synthesizer;

pub use assembly::{BuildError, Built, Connected, build, connect};
pub use config::ModelsConfig;
pub use secret::Secret;
