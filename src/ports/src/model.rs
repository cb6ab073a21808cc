//! Models: who plans and who writes the answer.

use std::sync::Arc;

use callboard_domain::event::{Author, ModelCalls, PlanGenerated, ToolError};
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::plan::PlanReason;
use callboard_domain::request::{Exchange, StepReport, SynthesizeFinalAnswerRequested};
use futures_util::future::BoxFuture;

/// What a planner is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest {
    pub conversation: ConversationId,
    pub command: CommandId,
    /// The version that the plan will have, from 1.
    pub version: u32,
    pub reason: PlanReason,
    pub message: Arc<str>,
    pub agent: Arc<str>,
    /// Earlier exchanges, oldest first, already within their byte budget.
    pub history: Vec<Exchange>,
    /// What earlier versions of this turn's plan brought.
    pub results: Vec<StepReport>,
    /// Tools that cannot be used now, because their circuit breaker is open.
    pub down: Vec<ToolDown>,
    /// Time left, milliseconds.
    pub timeout_ms: u64,
}

/// A tool whose circuit breaker is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolDown {
    pub tool: Arc<str>,
    /// The error that opened it, in a sentence.
    pub why: Arc<str>,
}

/// Why no plan or answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{provider}: {message}")]
pub struct ModelError {
    pub provider: String,
    /// `unavailable`, `timeout`, `bad_response`, `plan_refused`, `refused`.
    pub kind: &'static str,
    pub message: String,
    pub retryable: bool,
}

/// Makes plans. The result has been validated against the toolbox (`domain::plan::validate`).
pub trait Planner: Send + Sync {
    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanGenerated, ModelError>>;
}

/// A written answer, at most `MAX_ANSWER_BYTES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub text: Arc<str>,
    pub author: Author,
    /// What it cost; `None` where no model was asked.
    pub models: Option<Box<ModelCalls>>,
}

impl Answer {
    /// One that no model was asked for.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>, author: Author) -> Self {
        Self { text: text.into(), author, models: None }
    }
}

/// Takes the pieces of an answer while it is being written: for people who watch, never the source of truth. Both calls
/// return at once; what is not taken away in time may be joined, never lost or reordered.
pub trait AnswerSink: Send + Sync {
    /// The next piece; the pieces since the last `restart` make up the answer so far.
    fn piece(&self, text: &str);

    /// What was said so far is void: somebody else starts from the beginning.
    fn restart(&self);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl AnswerSink for Unwatched {
    fn piece(&self, _: &str) {}
    fn restart(&self) {}
}

/// Writes answers.
pub trait Synthesizer: Send + Sync {
    /// Writes one, piece by piece into `sink` where its writer can, and whole in the end. What the whole answer says counts.
    fn write(
        &self,
        request: SynthesizeFinalAnswerRequested,
        timeout_ms: u64,
        sink: Arc<dyn AnswerSink>,
    ) -> BoxFuture<'_, Result<Answer, ModelError>>;

    /// Writes one that nobody watches.
    fn synthesize(
        &self,
        request: SynthesizeFinalAnswerRequested,
        timeout_ms: u64,
    ) -> BoxFuture<'_, Result<Answer, ModelError>> {
        self.write(request, timeout_ms, Arc::new(Unwatched))
    }
}

impl From<ModelError> for ToolError {
    fn from(error: ModelError) -> Self {
        Self::new(error.kind, error.to_string(), error.retryable)
    }
}
