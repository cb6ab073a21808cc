//! Who plans: the providers in their order, each with its share of the time, one repair for a plan that is refused,
//! and the built-in planner as the last resort, so that there is always a plan.
//!
//! [`crate::assembly`] puts it together; [`crate::synthesizer`] is its twin for answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_domain::event::PlanGenerated;
use callboard_domain::plan::{PlanReason, validate};
use callboard_ports::model::{ModelError, PlanRequest, Planner};
use callboard_ports::tool::ToolRegistry;
use futures_util::future::BoxFuture;

use crate::budget::Budget;
use crate::builtin::BuiltinPlanner;
use crate::chat::{self, ChatModel, Completion, Prompt};
use crate::prompt;
use crate::proposal;

/// One that may be asked.
#[derive(Clone)]
pub(crate) enum Provider {
    Model(Arc<dyn ChatModel>),
    Builtin,
}

/// How many of `providers` are models: those that take time.
pub(crate) fn models(providers: &[Provider]) -> usize {
    providers.iter().filter(|provider| matches!(provider, Provider::Model(_))).count()
}

/// Plans with whoever can.
pub struct PlannerRouter {
    providers: Vec<Provider>,
    builtin: BuiltinPlanner,
    registry: Arc<dyn ToolRegistry>,
}

impl PlannerRouter {
    pub(crate) fn new(providers: Vec<Provider>, registry: Arc<dyn ToolRegistry>) -> Self {
        Self { providers, builtin: BuiltinPlanner::new(registry.clone()), registry }
    }

    async fn route(&self, request: &PlanRequest) -> PlanGenerated {
        let budget = Budget::new(request.timeout_ms);
        let mut failures: Vec<String> = Vec::new();
        for (i, provider) in self.providers.iter().enumerate() {
            match provider {
                Provider::Builtin => {
                    let first = request.reason == PlanReason::First;
                    if first && self.builtin.think(&request.message, &request.down).understood {
                        return self.builtin.answer(request);
                    }
                }
                Provider::Model(model) => {
                    let Some(share) = budget.share(models(&self.providers[i..]), model.timeout_ms()) else {
                        continue;
                    };
                    match self.ask(&**model, request, share).await {
                        Ok(plan) => return plan,
                        Err(error) => {
                            tracing::warn!(
                                conversation = %request.conversation, provider = model.provider(), kind = error.kind,
                                error = %error.message, "a planner failed; the next one is asked"
                            );
                            failures.push(format!("{}: {}", error.provider, error.kind));
                        }
                    }
                }
            }
        }
        let mut plan = self.builtin.answer(request);
        if let (false, Some(guidance)) = (failures.is_empty(), &plan.guidance) {
            plan.guidance =
                Some(Arc::from(format!("{guidance} (No model could help: {}.)", failures.join(", "))));
        }
        plan
    }

    /// One provider's plan; refused once, it may mend it.
    async fn ask(
        &self,
        model: &dyn ChatModel,
        request: &PlanRequest,
        share: Duration,
    ) -> Result<PlanGenerated, ModelError> {
        let until = Instant::now() + share;
        let first = prompt::plan(request, &self.registry.specs());
        let completion = self.complete(model, request, first.clone(), until, "plan").await?;
        let problems = match self.judge(&completion, request) {
            Ok(plan) => return Ok(plan),
            Err(problems) => problems,
        };
        tracing::info!(
            conversation = %request.conversation, provider = model.provider(), problems = %problems.join("; "),
            "a plan was refused; its writer may mend it once"
        );
        let repair = prompt::repair(first, &completion.text, &problems);
        let mended = self.complete(model, request, repair, until, "repair").await?;
        self.judge(&mended, request).map_err(|problems| {
            chat::error(
                model.provider(),
                "plan_refused",
                format!("its plan was refused twice: {}", problems.join("; ")),
                false,
            )
        })
    }

    async fn complete(
        &self,
        model: &dyn ChatModel,
        request: &PlanRequest,
        prompt: Prompt,
        until: Instant,
        what: &'static str,
    ) -> Result<Completion, ModelError> {
        let began = Instant::now();
        let completion = chat::ask(model, prompt, until.saturating_duration_since(began)).await?;
        tracing::info!(
            conversation = %request.conversation, provider = model.provider(), model = completion.author.model.as_deref(),
            took_ms = began.elapsed().as_millis(), input_tokens = completion.author.input_tokens,
            output_tokens = completion.author.output_tokens, what, "a model replied"
        );
        Ok(completion)
    }

    fn judge(&self, completion: &Completion, request: &PlanRequest) -> Result<PlanGenerated, Vec<String>> {
        let proposal = proposal::read(&completion.text).map_err(|problem| vec![problem])?;
        validate(&proposal, &*self.registry, completion.author.clone(), request.version, request.reason)
            .map_err(|problems| prompt::problems(&problems))
    }
}

impl Planner for PlannerRouter {
    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanGenerated, ModelError>> {
        Box::pin(async move { Ok(self.route(&request).await) })
    }
}
