//! Approvals, as events say them: that a person is asked, and what the person said. How they move a step is in
//! `conversation::approvals`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{CommandId, StepId};
use crate::json::RawJson;

/// How long a step's approval is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApprovalTimeout {
    pub step: StepId,
    pub timeout_ms: u64,
}

/// A step waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApprovalRequested {
    pub version: u32,
    pub step: StepId,
    pub timeout_ms: u64,
}

/// A person's word on a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    Approved,
    ApprovedWith(RawJson),
    Rejected,
}

/// An approval was given or refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApprovalRecorded {
    pub version: u32,
    pub step: StepId,
    pub decision: Approval,
    pub by: Arc<str>,
    pub reason: Option<Arc<str>>,
    pub approval_command: Option<CommandId>,
}
