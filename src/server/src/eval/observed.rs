//! What a question came to, read back from the log: its plans with their authors and costs, and how it ended.
//!
//! [`super::ask`] fetches the records, [`super::score`] judges what is read here.

use callboard_domain::event::{FinalAnswerSynthesized, ModelCalls, PlanGenerated};
use serde::Deserialize;
use serde_json::Value;

/// One plan version.
#[derive(Debug, Clone)]
pub struct SeenPlan {
    pub version: u32,
    pub provider: String,
    pub model: Option<String>,
    pub steps: Vec<SeenStep>,
    pub models: Option<ModelCalls>,
}

/// A planned call.
#[derive(Debug, Clone)]
pub struct SeenStep {
    pub version: u32,
    pub id: String,
    pub tool: String,
    pub arguments: Value,
    pub depends_on: Vec<String>,
}

/// A turn that has ended, or was given up.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pub conversation: String,
    /// `answered`, `failed`, `cancelled`, `pending`.
    pub status: String,
    /// The answer, or why there is none.
    pub text: String,
    pub plans: Vec<SeenPlan>,
    /// Who wrote the answer.
    pub writer: Option<String>,
    /// What the answer cost.
    pub answer_models: Option<ModelCalls>,
    /// From the question to its end, as its asker saw it.
    pub latency_ms: u64,
    /// Why it could not be asked, or read back.
    pub problem: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    command_id: Option<String>,
    payload: Value,
}

impl Observed {
    /// From a turn as HTTP shows it and its conversation's records as JSON lines. The first of each plan version and the
    /// first answer count, as they do in the log.
    pub fn read(turn: &Value, lines: &str, latency_ms: u64) -> Result<Self, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (command, error) = (text(&turn["command_id"]), &turn["error"]);
        let mut seen = Self {
            conversation: text(&turn["conversation_id"]),
            status: text(&turn["status"]),
            text: match turn["answer"].as_str() {
                Some(answer) => answer.to_owned(),
                None => text(if error["detail"].is_string() { &error["detail"] } else { &error["title"] }),
            },
            latency_ms,
            ..Self::default()
        };
        for line in lines.lines().filter(|line| !line.is_empty()) {
            // What cannot be read is skipped by every reader.
            let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
            if line.command_id.as_deref() == Some(command.as_str()) {
                seen.take(line)?;
            }
        }
        Ok(seen)
    }

    fn take(&mut self, line: Line) -> Result<(), String> {
        let unreadable = |error: serde_json::Error| format!("a {} cannot be read: {error}", line.kind);
        match line.kind.as_str() {
            "PlanGenerated" => {
                let plan: PlanGenerated = serde_json::from_value(line.payload).map_err(unreadable)?;
                if self.plans.iter().all(|known| known.version != plan.version) {
                    self.plans.push(seen(&plan));
                }
            }
            "FinalAnswerSynthesized" if self.writer.is_none() => {
                let answer: FinalAnswerSynthesized =
                    serde_json::from_value(line.payload).map_err(unreadable)?;
                self.writer = Some(answer.synthesizer.provider.to_string());
                self.answer_models = answer.models.map(|models| *models);
            }
            _ => {}
        }
        Ok(())
    }

    /// One that could not be asked or read back.
    pub fn broken(problem: String, latency_ms: u64) -> Self {
        Self { status: "broken".to_owned(), problem: Some(problem), latency_ms, ..Self::default() }
    }

    /// The steps of all versions.
    pub fn steps(&self) -> impl Iterator<Item = &SeenStep> {
        self.plans.iter().flat_map(|plan| &plan.steps)
    }

    /// What all models of the turn were asked, plans and answer.
    pub fn calls(&self) -> impl Iterator<Item = &ModelCalls> {
        self.plans.iter().filter_map(|plan| plan.models.as_ref()).chain(&self.answer_models)
    }
}

fn seen(plan: &PlanGenerated) -> SeenPlan {
    let step = |step: &callboard_domain::plan::PlannedStep| SeenStep {
        version: plan.version,
        id: step.id.to_string(),
        tool: step.tool.to_string(),
        arguments: step.arguments.to_value(),
        depends_on: step.depends_on.iter().map(ToString::to_string).collect(),
    };
    SeenPlan {
        version: plan.version,
        provider: plan.planner.provider.to_string(),
        model: plan.planner.model.as_deref().map(str::to_owned),
        steps: plan.steps.iter().map(step).collect(),
        models: plan.models.as_deref().cloned(),
    }
}
