//! Commands: what is asked of a conversation. Each yields exactly one event (`decide`).
//!
//! | command | asks | yields |
//! |---|---|---|
//! | UserQueryReceived | a new turn | UserQueryReceived |
//! | UserHistoryReset | forget the context, cancel what is open | UserHistoryReset |
//! | PlanCancelRequested | end the named turn | PlanCancelled or CommandRefused |

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{CommandId, fnv1a};
use crate::json::RawJson;

/// A user's question. Only `message` is required, so that a foreign client can write it by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    pub message: Arc<str>,
    #[serde(default = "default_agent")]
    pub agent: Arc<str>,
    #[serde(default)]
    pub principal: Option<Arc<str>>,
    #[serde(default)]
    pub metadata: Option<RawJson>,
}

/// The agent that answers when none is named.
#[must_use]
pub fn default_agent() -> Arc<str> {
    Arc::from("default")
}

impl UserQuery {
    /// Fingerprint of everything that makes two requests with one idempotency key the same request.
    #[must_use]
    pub fn body_hash(&self) -> u64 {
        let metadata = self.metadata.as_ref().map_or("", RawJson::as_str);
        fnv1a(&[self.message.as_bytes(), self.agent.as_bytes(), metadata.as_bytes()])
    }
}

/// Ends the turn whose command id is `turn_command_id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanCancelRequest {
    pub turn_command_id: CommandId,
    #[serde(default)]
    pub by: Option<Arc<str>>,
    #[serde(default)]
    pub reason: Option<Arc<str>>,
}

/// Clears the context of later turns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryReset {
    #[serde(default)]
    pub by: Option<Arc<str>>,
}

/// What can be asked of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    UserQueryReceived(UserQuery),
    UserHistoryReset(HistoryReset),
    PlanCancelRequested(PlanCancelRequest),
}

impl Command {
    /// The bare name that `type` carries.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UserQueryReceived(_) => "UserQueryReceived",
            Self::UserHistoryReset(_) => "UserHistoryReset",
            Self::PlanCancelRequested(_) => "PlanCancelRequested",
        }
    }

    /// Newest payload version written by this build.
    #[must_use]
    pub fn version(&self) -> u32 {
        1
    }
}

/// A command with its identity, as the host decides it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The command's id: the envelope's `command_id`, or its `id` where that is missing.
    pub id: CommandId,
    pub command: Command,
}
