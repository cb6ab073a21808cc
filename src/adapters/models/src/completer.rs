//! Asks a model one question, for tools: the providers in their order, each with its share of the time. There is no
//! built-in one: without a model the error says what to configure.
//!
//! [`crate::assembly`] puts it together; [`crate::planner`] and [`crate::synthesizer`] ask the same models.

use std::time::Instant;

use callboard_domain::event::{FailedCall, ModelCalls};
use callboard_domain::limits::{MAX_ANSWER_BYTES, MAX_FAILED_CALLS};
use callboard_ports::model::{Completer, Completion, CompletionRequest, ModelError};
use futures_util::future::BoxFuture;

use crate::budget::Budget;
use crate::builtin;
use crate::chat::{self, Message, Prompt, Role};
use crate::planner::{Provider, models};

/// Asks whoever can answer.
pub struct CompleterRouter {
    providers: Vec<Provider>,
}

impl CompleterRouter {
    pub(crate) fn new(providers: Vec<Provider>) -> Self {
        Self { providers }
    }

    async fn route(&self, request: CompletionRequest) -> Result<Completion, ModelError> {
        let budget = Budget::new(request.timeout_ms);
        let prompt = prompt(&request);
        let mut calls = ModelCalls::default();
        let mut last = no_model();
        for (i, provider) in self.providers.iter().enumerate() {
            let Provider::Model(model) = provider else { continue };
            let Some(share) = budget.share(models(&self.providers[i..]), model.timeout_ms()) else {
                continue;
            };
            let began = Instant::now();
            let answered = chat::ask(&**model, prompt.clone(), share).await;
            let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            match answered {
                Ok(completion) => {
                    calls.calls = 1;
                    calls.latency_ms += latency_ms;
                    calls.input_tokens = completion.author.input_tokens.unwrap_or_default();
                    calls.output_tokens = completion.author.output_tokens.unwrap_or_default();
                    let text = builtin::bounded(completion.text.trim().to_owned(), MAX_ANSWER_BYTES);
                    return Ok(Completion { text: text.into(), author: completion.author, models: calls });
                }
                Err(error) => {
                    calls.latency_ms += latency_ms;
                    if calls.failed.len() < MAX_FAILED_CALLS {
                        let (provider, kind) = (model.provider().into(), error.kind.into());
                        calls.failed.push(FailedCall { provider, model: None, kind, latency_ms });
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }
}

fn prompt(request: &CompletionRequest) -> Prompt {
    let system = request.instructions.as_ref().map(|words| Message::new(Role::System, &**words));
    let messages = system.into_iter().chain([Message::new(Role::User, &*request.prompt)]).collect();
    Prompt { messages, plan_for: None, max_tokens: request.max_tokens }
}

fn no_model() -> ModelError {
    let message = "no language model is configured: start Ollama, or set OPENAI_API_KEY or \
                   models.openai.base_url, and restart";
    ModelError {
        provider: "models".to_owned(),
        kind: "no_model",
        message: message.to_owned(),
        retryable: false,
    }
}

impl Completer for CompleterRouter {
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'_, Result<Completion, ModelError>> {
        Box::pin(self.route(request))
    }
}
