//! Who plans: the providers in their order, one repair for a plan that is refused, and the built-in planner as the last
//! resort, so that there is always a plan.
//!
//! [`super::synthesizer`] is its twin for answers.

use std::sync::Arc;

use callboard_domain::event::PlanGenerated;
use callboard_domain::plan::{PlanReason, validate};
use callboard_ports::model::{ModelError, PlanRequest, Planner};
use callboard_ports::tool::{ToolRegistry, ToolSpec};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::budget::Budget;
use super::{Choice, Provider, Shared, models};
use crate::agents::{Agent, AgentToolbox, Agents};
use crate::builtin::BuiltinPlanner;
use crate::calls::line::{Asking, Completion, Line};
use crate::calls::tally::Tally;
use crate::prompt;
use crate::proposal;

/// A plan of 32 steps with long arguments; whoever writes more is in a loop.
const MAX_PLAN_BYTES: usize = 256 * 1024;

/// Plans with whoever can.
pub struct PlannerRouter {
    shared: Shared,
    agents: Agents,
    builtin: BuiltinPlanner,
    registry: Arc<dyn ToolRegistry>,
}

/// What one request is asked for with.
struct Job<'a> {
    request: &'a PlanRequest,
    agent: &'a Agent,
    toolbox: AgentToolbox<'a>,
}

impl PlannerRouter {
    pub(crate) fn new(shared: Shared, agents: Agents, registry: Arc<dyn ToolRegistry>) -> Self {
        Self { shared, agents, builtin: BuiltinPlanner::new(registry.clone()), registry }
    }

    async fn route(&self, request: &PlanRequest) -> Result<PlanGenerated, ModelError> {
        let agent = &**self.agents.get(&request.agent)?;
        let job = Job { request, agent, toolbox: AgentToolbox { agent, registry: &*self.registry } };
        let budget = Budget::new(request.timeout_ms);
        let mut tally = Tally::new(self.shared.prices.clone(), Some(agent.prompt_hash.clone()));
        let choices = self.shared.choices(agent);
        // Only a model is told of the tools.
        let mut tools: Option<Vec<ToolSpec>> = None;
        for (i, Choice { provider, model }) in choices.iter().enumerate() {
            let line = match provider {
                Provider::Model(line) => line,
                Provider::Builtin if self.builtin_understands(&job) => break,
                Provider::Builtin => continue,
            };
            let Some(share) = budget.share(models(&choices[i..]), line.timeout()) else { continue };
            let tools = tools.get_or_insert_with(|| agent.tools(self.registry.specs()));
            let asking = Asking {
                prompt: Arc::new(prompt::plan::write(request, agent, tools, self.shared.history_bytes)),
                model: model.clone(),
                max_bytes: MAX_PLAN_BYTES,
                watched: None,
                until: Instant::now() + share,
            };
            if let Some(mut plan) = ask(line, asking, &job, &mut tally).await {
                plan.models = tally.sum().map(Box::new);
                return Ok(plan);
            }
        }
        Ok(self.builtin_plan(&job, tally))
    }

    fn builtin_understands(&self, job: &Job<'_>) -> bool {
        job.request.reason == PlanReason::First && self.builtin.understands(job.request, job.agent)
    }

    fn builtin_plan(&self, job: &Job<'_>, tally: Tally) -> PlanGenerated {
        let mut plan = self.builtin.answer(job.request, job.agent, &job.toolbox);
        let failures = tally.failures();
        if let (false, Some(guidance)) = (failures.is_empty(), &plan.guidance) {
            plan.guidance = Some(Arc::from(format!("{guidance} (No model could help: {failures}.)")));
        }
        plan.models = tally.sum().map(Box::new);
        plan
    }
}

/// One provider's plan; refused once, it may mend it.
async fn ask(line: &Line, asking: Asking, job: &Job<'_>, tally: &mut Tally) -> Option<PlanGenerated> {
    let first = complete(line, asking.clone(), job, tally, "plan").await?;
    let problems = match judge(&first, job) {
        Ok(plan) => return Some(plan),
        Err(problems) => problems,
    };
    tracing::info!(
        conversation = %job.request.conversation, provider = line.provider(), problems = %problems.join("; "),
        "a plan was refused; its writer may mend it once"
    );
    let repair = prompt::plan::repair(&asking.prompt, &first.text, &problems);
    let asking = Asking { prompt: Arc::new(repair), ..asking };
    let mended = complete(line, asking, job, tally, "repair").await?;
    judge(&mended, job)
        .map_err(|problems| {
            tracing::warn!(
                conversation = %job.request.conversation, provider = line.provider(),
                problems = %problems.join("; "), "a plan was refused twice; the next planner is asked"
            );
            tally.refused(line.provider(), &mended);
        })
        .ok()
}

async fn complete(
    line: &Line,
    asking: Asking,
    job: &Job<'_>,
    tally: &mut Tally,
    what: &'static str,
) -> Option<Completion> {
    match line.call(asking).await {
        Ok(completion) => {
            tracing::info!(
                conversation = %job.request.conversation, provider = line.provider(),
                model = completion.author.model.as_deref(), took_ms = completion.latency_ms,
                input_tokens = completion.author.input_tokens, output_tokens = completion.author.output_tokens,
                what, "a model replied"
            );
            tally.answered(&completion);
            Some(completion)
        }
        Err(silence) => {
            tracing::warn!(
                conversation = %job.request.conversation, provider = line.provider(), kind = silence.error.kind,
                error = %silence.error.message, took_ms = silence.latency_ms,
                "a planner failed; the next one is asked"
            );
            tally.silent(line.provider(), &silence);
            None
        }
    }
}

fn judge(completion: &Completion, job: &Job<'_>) -> Result<PlanGenerated, Vec<String>> {
    if completion.cut {
        return Err(vec![
            "The reply did not come to its end. Write a shorter plan: fewer steps, brief arguments."
                .to_owned(),
        ]);
    }
    let request = job.request;
    let proposal = proposal::read(&completion.text, &request.results)
        .map_err(|problem| vec![format!("{problem} (not_a_plan)")])?;
    validate(&proposal, &job.toolbox, completion.author.clone(), request.version, request.reason)
        .map_err(|problems| prompt::plan::problems(&problems))
}

impl Planner for PlannerRouter {
    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanGenerated, ModelError>> {
        Box::pin(async move { self.route(&request).await })
    }
}
