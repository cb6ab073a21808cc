//! Planners and synthesizers: the built-in ones, which need no model, and language models behind Ollama's and OpenAI's
//! APIs; routers ask them in order.
//!
//! An adapter: it implements `callboard_ports::model` and knows no actor. [`assembly`] puts everything together from
//! [`config`]; `router` asks, `prompt` and `schema` are what is asked, `providers` who, `calls` how one call goes;
//! `agents` is for whom. [`builtin`] always answers.

mod agents;
pub mod assembly;
pub mod builtin;
mod calls;
pub mod config;
mod prompt;
mod proposal;
mod providers;
mod router;
mod schema;
mod secret;

pub use agents::AgentError;
pub use assembly::{BuildError, Built, Connected, Meters, build, connect};
pub use calls::meter::Reading;
pub use config::ModelsConfig;
pub use providers::ollama::{Detection, host_url};
pub use secret::Secret;
