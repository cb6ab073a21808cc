//! The built-in planner and synthesizer: deterministic, without a model, so that the first run works with nothing
//! installed and the last resort always answers.
//!
//! [`read`] understands a message ([`split`] and one reader per subject), [`follow_up`] one that takes an earlier one up
//! again, [`steps`] makes a plan of it, [`guidance`]
//! says what remains, [`answer`] writes the answer from the results.

mod answer;
mod arithmetic;
mod cited;
mod currency;
mod direct;
mod documents;
mod echo;
mod effect;
mod expression;
mod follow_up;
mod guidance;
mod place;
mod read;
mod small_talk;
mod split;
mod steps;
mod token;
mod unit;
mod weather;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use callboard_domain::event::{Author, PlanGenerated};
use callboard_domain::plan::{PlanReason, Proposal, Then, Toolbox, validate};
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use callboard_ports::model::{Answer, AnswerSink, ModelError, PlanRequest, Planner, Synthesizer, ToolDown};
use callboard_ports::tool::ToolRegistry;
use futures_util::future::BoxFuture;

use crate::agents::Agent;

pub(crate) const PROVIDER: &str = "builtin";

/// Whoever refers to a question before that says so.
const LOOK_BACK: usize = 4;

/// Who writes plans and answers here.
pub(crate) fn author() -> Author {
    Author { provider: Arc::from(PROVIDER), model: None, input_tokens: None, output_tokens: None }
}

/// What the planner made of a message.
#[derive(Debug)]
pub(crate) struct Thought {
    pub proposal: Proposal,
    /// Nothing of the message was left over.
    pub understood: bool,
}

/// Plans without a model.
pub struct BuiltinPlanner {
    registry: Arc<dyn ToolRegistry>,
    tools: BTreeSet<String>,
}

impl BuiltinPlanner {
    /// Plans for the tools of `registry`, and for no others.
    #[must_use]
    pub fn new(registry: Arc<dyn ToolRegistry>) -> Self {
        let tools = registry.specs().iter().map(|spec| spec.name.to_string()).collect();
        Self { registry, tools }
    }

    /// What it would propose for a message while some tools are down.
    fn think(&self, message: &str, agent: &Agent, down: &[ToolDown]) -> Thought {
        let here = self.registry.specs().into_iter().map(|spec| spec.name.to_string());
        if let Some(steps) = direct::read(message, &here.filter(|tool| agent.may_use(tool)).collect()) {
            let proposal = Proposal { steps, then: Then::Answer, guidance: None };
            return Thought { proposal, understood: true };
        }
        let tools = self.tools.iter().filter(|tool| agent.may_use(tool)).cloned().collect();
        let draft = steps::draft(read::read(message), &tools, down);
        let guidance = guidance::write(&draft, &tools).map(Arc::from);
        let understood = draft.rest.is_empty() && draft.hints.is_empty() && !draft.guessed;
        Thought { proposal: Proposal { steps: draft.steps, then: Then::Answer, guidance }, understood }
    }

    /// What it would propose for a request: for its message, or for the earlier question that it takes up again.
    fn think_of(&self, request: &PlanRequest, agent: &Agent) -> Thought {
        let alone = self.think(&request.message, agent, &request.down);
        if alone.understood {
            return alone;
        }
        let earlier = request.history.iter().rev().take(LOOK_BACK);
        let taken_up = follow_up::named(&request.message).and_then(|named| {
            let meant = earlier.filter_map(|exchange| follow_up::about(named, &exchange.message));
            meant.map(|meant| self.think(&meant, agent, &request.down)).find(|thought| thought.understood)
        });
        taken_up.unwrap_or(alone)
    }

    /// Whether it takes all of a message.
    pub(crate) fn understands(&self, request: &PlanRequest, agent: &Agent) -> bool {
        self.think_of(request, agent).understood
    }

    /// The plan for `request` over the agent's tools, which are those of `toolbox`; always one.
    pub(crate) fn answer(
        &self,
        request: &PlanRequest,
        agent: &Agent,
        toolbox: &dyn Toolbox,
    ) -> PlanGenerated {
        // It has no second thoughts: what the first plan brought is answered.
        let proposal = match request.reason {
            PlanReason::First => self.think_of(request, agent).proposal,
            PlanReason::Continue | PlanReason::Failure | PlanReason::Edit => Proposal::default(),
        };
        validated(&proposal, request, toolbox).unwrap_or_else(|problems| {
            tracing::warn!(%problems, "the built-in planner's own plan was refused; it answers without steps");
            let guidance = format!("The built-in planner's plan was refused: {problems}. Please ask in simpler words.");
            let empty = Proposal { guidance: Some(Arc::from(guidance)), ..Proposal::default() };
            validated(&empty, request, toolbox).unwrap_or_else(|_| PlanGenerated {
                version: request.version,
                reason: request.reason,
                planner: author(),
                steps: Vec::new(),
                then: Then::Answer,
                guidance: None,
                models: None,
                approvals: Vec::new(),
            })
        })
    }
}

fn validated(
    proposal: &Proposal,
    request: &PlanRequest,
    toolbox: &dyn Toolbox,
) -> Result<PlanGenerated, String> {
    validate(proposal, toolbox, author(), request.version, request.reason)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

impl Planner for BuiltinPlanner {
    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanGenerated, ModelError>> {
        Box::pin(async move { Ok(self.answer(&request, &Agent::unrestricted(), &*self.registry)) })
    }
}

/// Writes answers without a model: a line for each step.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltinSynthesizer;

impl BuiltinSynthesizer {
    pub(crate) fn compose(request: &SynthesizeFinalAnswerRequested) -> Answer {
        Answer::new(answer::write(request), author())
    }
}

impl Synthesizer for BuiltinSynthesizer {
    fn write(
        &self,
        request: SynthesizeFinalAnswerRequested,
        _timeout_ms: u64,
        _: Arc<dyn AnswerSink>,
    ) -> BoxFuture<'_, Result<Answer, ModelError>> {
        Box::pin(async move { Ok(Self::compose(&request)) })
    }
}
