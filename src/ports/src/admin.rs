//! Topics as they should be and as they are.

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::log::LogError;

/// One difference between `topics.toml` and the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicDrift {
    pub topic: String,
    /// `missing`, `partitions`, or the name of the setting.
    pub what: String,
    pub wanted: String,
    pub found: String,
    /// Fatal drift stops the start; the rest warns.
    pub fatal: bool,
    /// Whether `callboard topics apply` mends it.
    pub mendable: bool,
}

/// Looks after topics.
pub trait TopicAdmin: Send + Sync {
    /// What differs; empty when all is as declared.
    fn diff(&self) -> BoxFuture<'_, Result<Vec<TopicDrift>, LogError>>;
    /// Creates what is missing and touches nothing that exists; gives what was done, a line each.
    fn create_missing(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>>;
    /// Creates what is missing and mends what can be mended; gives what was done, a line each.
    fn apply(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>>;
}
