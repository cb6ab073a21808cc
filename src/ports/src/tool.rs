//! Tools: what a plan's steps call.

use std::sync::Arc;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure, StepPolicy, Toolbox};
use futures_util::future::BoxFuture;

/// What a tool is, for planners, plans and pools.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    pub name: Arc<str>,
    /// For the planner: what it does and when to use it.
    pub description: Arc<str>,
    /// JSON Schema of the arguments.
    pub schema: RawJson,
    pub effect: EffectClass,
    pub pool: Arc<str>,
    pub timeout_ms: u64,
    pub deadline_ms: u64,
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub on_failure: OnFailure,
    /// Invocations of this tool at once in one pool member.
    pub concurrency: usize,
    /// Whether a person has to approve each of its steps, and how long that is waited for.
    pub approval_timeout_ms: Option<u64>,
}

impl ToolSpec {
    /// The policy that a step of this tool gets in its plan.
    #[must_use]
    pub fn policy(&self) -> StepPolicy {
        StepPolicy {
            effect: self.effect,
            pool: self.pool.clone(),
            timeout_ms: self.timeout_ms,
            deadline_ms: self.deadline_ms,
            max_attempts: self.max_attempts,
            backoff: self.backoff,
            on_failure: self.on_failure,
            needs_approval: self.approval_timeout_ms.is_some(),
        }
    }
}

/// One attempt at running a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The effect id: the same for every attempt, given to services as idempotency key.
    pub idempotency_key: String,
    pub attempt: u32,
    /// References resolved.
    pub arguments: RawJson,
    pub timeout_ms: u64,
}

/// What a tool found out about an attempt whose outcome was lost.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// It took effect, with this result.
    Done(RawJson),
    /// It did not take effect and never will: it may be run again.
    NotDone,
    /// It cannot tell, now: why.
    Unknown(Arc<str>),
}

/// Something that can be run.
pub trait Tool: Send + Sync {
    fn spec(&self) -> &ToolSpec;

    /// This process is going to run it: what takes a while can begin before the first call. Returns at once.
    fn prepare(&self) {}

    /// Runs one attempt; the future may be dropped at its timeout. A result is one JSON value of at most
    /// `MAX_RESULT_BYTES`.
    ///
    /// # Errors
    /// [`ToolError`], `retryable` only where another attempt may help.
    /// For an `unsafe` tool `retryable` also says that nothing was sent, and [`ToolError::in_doubt`] that it
    /// cannot tell; any other error says that it knows it took no effect.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>>;

    /// Asks the service whether an earlier attempt at the effect `call.idempotency_key` took effect. Only for
    /// `reconcilable` tools.
    fn probe(&self, call: Call) -> BoxFuture<'_, Probe> {
        let words = format!("the tool {} has no probe for {}", self.spec().name, call.idempotency_key);
        Box::pin(std::future::ready(Probe::Unknown(words.into())))
    }
}

/// All tools that plans may use. Also the domain's [`Toolbox`].
pub trait ToolRegistry: Toolbox {
    fn specs(&self) -> Vec<ToolSpec>;

    /// The tool of this name, when this process runs it (external tools are only specified).
    fn tool(&self, name: &str) -> Option<Arc<dyn Tool>>;

    /// Whether resolved arguments match the tool's schema.
    ///
    /// # Errors
    /// `invalid_arguments` or `unknown_tool`, never retryable.
    fn check_resolved(&self, name: &str, arguments: &RawJson) -> Result<(), ToolError>;
}
