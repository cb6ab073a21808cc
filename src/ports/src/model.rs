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
    /// What is left of the conversation's token budget; never 0. `None`: there is none.
    pub tokens_left: Option<u64>,
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
    /// `unavailable`, `timeout`, `bad_response`, `plan_refused`, `refused`, `breaker_open`, `busy`, `rate_limited`,
    /// `no_model`, `unknown_agent`.
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

/// A question to a model beside planning and answering: what the tool `ask_model` asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionRequest {
    /// What goes before the question; the caller's own words, never a user's or a document's.
    pub instructions: Option<Arc<str>>,
    pub prompt: Arc<str>,
    /// Of the reply; `None`: the provider's usual bound.
    pub max_tokens: Option<u32>,
    pub timeout_ms: u64,
}

/// What a model said, at most `MAX_ANSWER_BYTES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub text: Arc<str>,
    pub author: Author,
    pub models: ModelCalls,
}

/// Asks a language model, whichever answers first in the configured order. There is no built-in one.
pub trait Completer: Send + Sync {
    /// # Errors
    /// `no_model` names what to configure; otherwise why the last one that was asked did not answer.
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'_, Result<Completion, ModelError>>;
}

/// Turns texts into vectors.
pub trait Embedder: Send + Sync {
    /// `PROVIDER/MODEL`. Vectors of different names must not be compared.
    fn name(&self) -> &str;

    /// A vector for each text, in their order, all of the same length.
    ///
    /// # Errors
    /// [`ModelError`]; no vector is left out in silence.
    fn embed(
        &self,
        texts: Vec<Arc<str>>,
        timeout_ms: u64,
    ) -> BoxFuture<'_, Result<Vec<Vec<f32>>, ModelError>>;
}

impl From<ModelError> for ToolError {
    fn from(error: ModelError) -> Self {
        Self::new(error.kind, error.to_string(), error.retryable)
    }
}
