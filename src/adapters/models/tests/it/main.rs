//! Planners and synthesizers as the actors use them: through the ports, with the real tools' schemas.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agents;
mod builtin_answers;
mod builtin_documents;
mod builtin_effects;
mod builtin_laws;
mod builtin_plans;
mod endings;
mod for_tools;
mod forms;
mod misbehaving;
mod providers;
mod secrets;
mod watched;
mod whole_way;
mod world;
