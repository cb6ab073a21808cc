//! Who writes the answer: the providers in their order, each with its share of the time, and the built-in synthesizer
//! as the last resort, so that there is always an answer.
//!
//! [`crate::assembly`] puts it together; [`crate::planner`] is its twin for plans.

use std::sync::Arc;
use std::time::Instant;

use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use callboard_ports::model::{Answer, AnswerSink, ModelError, Synthesizer};
use futures_util::future::BoxFuture;

use crate::budget::Budget;
use crate::builtin::{self, BuiltinSynthesizer};
use crate::chat;
use crate::planner::{Provider, models};
use crate::prompt;

/// Writes answers with whoever can.
pub struct SynthesizerRouter {
    providers: Vec<Provider>,
}

impl SynthesizerRouter {
    pub(crate) fn new(providers: Vec<Provider>) -> Self {
        Self { providers }
    }

    async fn route(&self, request: &SynthesizeFinalAnswerRequested, timeout_ms: u64) -> Answer {
        let budget = Budget::new(timeout_ms);
        let prompt = prompt::answer(request);
        for (i, provider) in self.providers.iter().enumerate() {
            let model = match provider {
                Provider::Model(model) => model,
                // Named before a model, it writes what it has words for: results.
                Provider::Builtin if !request.steps.is_empty() => break,
                Provider::Builtin => continue,
            };
            let Some(share) = budget.share(models(&self.providers[i..]), model.timeout_ms()) else {
                continue;
            };
            let began = Instant::now();
            match chat::ask(&**model, prompt.clone(), share).await {
                Ok(completion) => {
                    tracing::info!(
                        provider = model.provider(),
                        model = completion.author.model.as_deref(),
                        took_ms = began.elapsed().as_millis(),
                        input_tokens = completion.author.input_tokens,
                        output_tokens = completion.author.output_tokens,
                        "a model wrote the answer"
                    );
                    let text = builtin::bounded(completion.text.trim().to_owned(), MAX_ANSWER_BYTES);
                    return Answer::new(text, completion.author);
                }
                Err(error) => tracing::warn!(
                    provider = model.provider(), kind = error.kind, error = %error.message,
                    "a synthesizer failed; the next one is asked"
                ),
            }
        }
        BuiltinSynthesizer::write(request)
    }
}

impl Synthesizer for SynthesizerRouter {
    fn write(
        &self,
        request: SynthesizeFinalAnswerRequested,
        timeout_ms: u64,
        _: Arc<dyn AnswerSink>,
    ) -> BoxFuture<'_, Result<Answer, ModelError>> {
        Box::pin(async move { Ok(self.route(&request, timeout_ms).await) })
    }
}
