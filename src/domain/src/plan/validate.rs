//! From a planner's proposal to a plan: every refusal has a code and a sentence that a model can act on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::reference::referenced_steps;
use super::{OnFailure, PlanReason, PlannedStep, StepPolicy, Then, structure_problem};
use crate::event::{ApprovalTimeout, Author, PlanGenerated, TurnLimits};
use crate::id::StepId;
use crate::json::RawJson;
use crate::limits::{DEFAULT_APPROVAL_TIMEOUT_MS, MAX_STEPS};

/// What the domain needs to know of the tools: names, schemas and policies, nothing of how they run.
pub trait Toolbox: Send + Sync {
    /// The policy of `tool` when `arguments` match its schema. Values that contain a `${reference}` are
    /// checked again by the worker once they are resolved.
    ///
    /// # Errors
    /// [`ToolRefusal`] says which tool or which argument is wrong and what would be right.
    fn check(&self, tool: &str, arguments: &RawJson) -> Result<StepPolicy, ToolRefusal>;

    /// The limits of a turn of `agent`.
    fn turn_limits(&self, agent: &str) -> TurnLimits;

    /// How long a step of `tool` waits for its approval, where its policy asks for one.
    fn approval_timeout_ms(&self, _tool: &str) -> u64 {
        DEFAULT_APPROVAL_TIMEOUT_MS
    }

    /// Tokens that a conversation with `agent` may use; `None`: as many as it takes.
    fn token_budget(&self, _agent: &str) -> Option<u64> {
        None
    }
}

/// Why a toolbox refuses a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolRefusal {
    #[error("there is no tool {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("the arguments of tool {tool:?} are wrong: {problem}")]
    Arguments { tool: String, problem: String },
}

/// A step as a planner wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposedStep {
    pub id: String,
    pub tool: String,
    pub arguments: RawJson,
    #[serde(default)]
    pub depends_on: Vec<String>,
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// A plan as a planner wrote it, not yet believed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    #[serde(default)]
    pub steps: Vec<ProposedStep>,
    #[serde(default)]
    pub then: Then,
    #[serde(default)]
    pub guidance: Option<Arc<str>>,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanProblem {
    /// `step_id`, `unknown_tool`, `arguments`, `structure`, `too_many_steps`.
    pub code: &'static str,
    pub message: String,
}

impl PlanProblem {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Turns a proposal into the event that records it.
///
/// # Errors
/// All broken rules at once, so that one repair can mend them together.
pub fn validate(
    proposal: &Proposal,
    toolbox: &dyn Toolbox,
    planner: Author,
    version: u32,
    reason: PlanReason,
) -> Result<PlanGenerated, Vec<PlanProblem>> {
    if proposal.steps.len() > MAX_STEPS {
        let found = proposal.steps.len();
        let message = format!("the plan has {found} steps; at most {MAX_STEPS} are allowed");
        return Err(vec![PlanProblem::new("too_many_steps", message)]);
    }
    let mut problems = Vec::new();
    let mut steps = Vec::with_capacity(proposal.steps.len());
    for proposed in &proposal.steps {
        match step(proposed, toolbox) {
            Ok(step) => steps.push(step),
            Err(mut found) => problems.append(&mut found),
        }
    }
    if problems.is_empty()
        && let Some(message) = structure_problem(&steps)
    {
        problems.push(PlanProblem::new("structure", message));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let guidance = proposal.guidance.clone().filter(|text| !text.is_empty()).map(bounded_guidance);
    let approvals = steps.iter().filter(|step| step.policy.needs_approval).map(|step| ApprovalTimeout {
        step: step.id.clone(),
        timeout_ms: toolbox.approval_timeout_ms(&step.tool),
    });
    let approvals = approvals.collect();
    Ok(PlanGenerated {
        version,
        reason,
        planner,
        steps,
        then: proposal.then,
        guidance,
        models: None,
        approvals,
    })
}

/// Guidance is a hint of a few sentences; a model that writes a book there is cut short.
fn bounded_guidance(text: Arc<str>) -> Arc<str> {
    const MAX_GUIDANCE_BYTES: usize = 4 * 1024;
    if text.len() <= MAX_GUIDANCE_BYTES {
        return text;
    }
    Arc::from(&text[..text.floor_char_boundary(MAX_GUIDANCE_BYTES)])
}

fn step(proposed: &ProposedStep, toolbox: &dyn Toolbox) -> Result<PlannedStep, Vec<PlanProblem>> {
    let mut problems = Vec::new();
    let mut id_of = |text: &str| match StepId::new(text) {
        Ok(id) => Some(id),
        Err(error) => {
            problems.push(PlanProblem::new("step_id", format!("step id {text:?}: {error}")));
            None
        }
    };
    let id = id_of(&proposed.id);
    let mut depends_on: Vec<StepId> = proposed.depends_on.iter().filter_map(|text| id_of(text)).collect();
    for implied in referenced_steps(&proposed.arguments) {
        depends_on.push(implied);
    }
    let mut seen = std::collections::HashSet::new();
    depends_on.retain(|dependency| seen.insert(dependency.clone()));
    let policy = toolbox.check(&proposed.tool, &proposed.arguments).map_err(|refusal| {
        let code = match refusal {
            ToolRefusal::Unknown { .. } => "unknown_tool",
            ToolRefusal::Arguments { .. } => "arguments",
        };
        PlanProblem::new(code, format!("step {:?}: {refusal}", proposed.id))
    });
    match (id, policy) {
        (Some(id), Ok(mut policy)) if problems.is_empty() => {
            if let Some(on_failure) = proposed.on_failure {
                policy.on_failure = on_failure;
            }
            let tool = Arc::from(proposed.tool.as_str());
            Ok(PlannedStep { id, tool, arguments: proposed.arguments.clone(), depends_on, policy })
        }
        (_, policy) => {
            problems.extend(policy.err());
            Err(problems)
        }
    }
}
