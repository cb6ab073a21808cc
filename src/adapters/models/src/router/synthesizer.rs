//! Who writes the answer: the providers in their order, and the built-in synthesizer as the last resort, so that there
//! is always an answer. Whoever watches sees it grow; when a provider breaks off, the next one starts from the beginning.
//!
//! [`super::planner`] is its twin for plans.

use std::sync::Arc;

use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use callboard_ports::model::{Answer, AnswerSink, ModelError, Synthesizer};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::budget::Budget;
use super::{Choice, Provider, Shared, models};
use crate::agents::Agents;
use crate::builtin::BuiltinSynthesizer;
use crate::calls::ear::Watched;
use crate::calls::line::Asking;
use crate::calls::tally::Tally;
use crate::prompt;

/// Writes answers with whoever can.
pub struct SynthesizerRouter {
    shared: Shared,
    agents: Agents,
}

impl SynthesizerRouter {
    pub(crate) fn new(shared: Shared, agents: Agents) -> Self {
        Self { shared, agents }
    }

    async fn route(
        &self,
        request: &SynthesizeFinalAnswerRequested,
        timeout_ms: u64,
        sink: Arc<dyn AnswerSink>,
    ) -> Answer {
        let agent = self.agents.get_or_default(&request.agent);
        let budget = Budget::new(timeout_ms);
        let watched = Arc::new(Watched::new(sink));
        let prompt = Arc::new(prompt::answer::write(request, agent, self.shared.history_bytes));
        let mut tally = Tally::new(self.shared.prices.clone(), Some(agent.prompt_hash.clone()));
        let mut choices = self.shared.choices(agent);
        if request.tokens_left == Some(0) {
            // A spent budget asks no model: what the tools have found is written down all the same.
            choices.clear();
        }
        for (i, Choice { provider, model }) in choices.iter().enumerate() {
            let line = match provider {
                Provider::Model(line) => line,
                // Named before a model, it writes what it has words for: results.
                Provider::Builtin if !request.steps.is_empty() => break,
                Provider::Builtin => continue,
            };
            let Some(share) = budget.share(models(&choices[i..]), line.timeout()) else { continue };
            let asking = Asking {
                prompt: prompt.clone(),
                model: model.clone(),
                max_bytes: MAX_ANSWER_BYTES,
                watched: Some(watched.clone()),
                until: Instant::now() + share,
            };
            match line.call(asking).await {
                Ok(completion) => {
                    tracing::info!(
                        provider = line.provider(),
                        model = completion.author.model.as_deref(),
                        took_ms = completion.latency_ms,
                        input_tokens = completion.author.input_tokens,
                        output_tokens = completion.author.output_tokens,
                        "a model wrote the answer"
                    );
                    tally.answered(&completion);
                    let models = tally.sum().map(Box::new);
                    return Answer { text: completion.text.into(), author: completion.author, models };
                }
                Err(silence) => {
                    tracing::warn!(
                        provider = line.provider(), kind = silence.error.kind, error = %silence.error.message,
                        took_ms = silence.latency_ms, "a synthesizer failed; the next one is asked"
                    );
                    tally.silent(line.provider(), &silence);
                    watched.restart();
                }
            }
        }
        let answer = BuiltinSynthesizer::compose(request);
        let models = tally.sum().map(Box::new);
        if models.is_some() {
            // Whoever watched a model fail sees what is said instead; otherwise the event says it soon enough.
            watched.piece(&answer.text);
        }
        Answer { models, ..answer }
    }
}

impl Synthesizer for SynthesizerRouter {
    fn write(
        &self,
        request: SynthesizeFinalAnswerRequested,
        timeout_ms: u64,
        sink: Arc<dyn AnswerSink>,
    ) -> BoxFuture<'_, Result<Answer, ModelError>> {
        Box::pin(async move { Ok(self.route(&request, timeout_ms, sink).await) })
    }
}
