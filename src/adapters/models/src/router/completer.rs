//! Asks a model one question, for tools: the providers in their order. There is no built-in one: without a model the
//! error says what to configure.

use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_ports::model::{Completer, Completion, CompletionRequest, ModelError};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::time::Instant;

use super::budget::Budget;
use super::{Choice, Provider, Shared, models};
use crate::calls::line::Asking;
use crate::calls::tally::Tally;
use crate::prompt;

/// Asks whoever can answer.
pub struct CompleterRouter {
    shared: Shared,
}

impl CompleterRouter {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    async fn route(&self, request: CompletionRequest) -> Result<Completion, ModelError> {
        let budget = Budget::new(request.timeout_ms);
        let prompt = Arc::new(prompt::question::write(&request));
        let mut tally = Tally::new(self.shared.prices.clone(), None);
        let models_only = self.shared.providers.iter().filter(|one| matches!(one, Provider::Model(_)));
        let choices: Vec<Choice> =
            models_only.map(|provider| Choice { provider: provider.clone(), model: None }).collect();
        let mut last = no_model();
        for (i, Choice { provider, model }) in choices.iter().enumerate() {
            let Provider::Model(line) = provider else { continue };
            let Some(share) = budget.share(models(&choices[i..]), line.timeout()) else {
                last = ModelError {
                    provider: line.provider().to_owned(),
                    kind: "timeout",
                    message: format!("{} ms are no time to answer in", request.timeout_ms),
                    retryable: true,
                };
                continue;
            };
            let asking = Asking {
                prompt: prompt.clone(),
                model: model.clone(),
                max_bytes: MAX_ANSWER_BYTES,
                watched: None,
                until: Instant::now() + share,
            };
            match line.call(asking).await {
                Ok(completion) => {
                    tally.answered(&completion);
                    let models = tally.sum().unwrap_or_default();
                    return Ok(Completion {
                        text: completion.text.into(),
                        author: completion.author,
                        models,
                    });
                }
                Err(silence) => {
                    tally.silent(line.provider(), &silence);
                    last = silence.error;
                }
            }
        }
        Err(last)
    }
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
