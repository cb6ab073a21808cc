//! What a model is told: `files` are the words, `plan`, `answer` and `question` put them together with the tools, the
//! conversation and the results, within a budget; `fence` keeps data apart from instructions.
//!
//! [`crate::router`] asks with these. Contexts are small and dear, so everything is clipped, with a mark; results whole
//! are the business of the built-in synthesizer.

pub(crate) mod answer;
mod fence;
pub(crate) mod files;
mod history;
pub(crate) mod plan;
pub(crate) mod question;

use std::fmt::Write;
use std::sync::Arc;

use callboard_domain::event::Outcome;
use callboard_domain::request::StepReport;
use serde::Serialize;

use crate::schema::PlanShape;

/// Of the user's message: some 12,000 tokens.
const MAX_MESSAGE_BYTES: usize = 48 * 1024;
/// Of one result, and of all of them.
const MAX_RESULT_BYTES: usize = 8 * 1024;
const MAX_RESULTS_BYTES: usize = 64 * 1024;
/// Of one step's arguments.
const MAX_ARGUMENTS_BYTES: usize = 1_024;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Message {
    pub role: Role,
    pub content: String,
}

impl Message {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    pub messages: Vec<Message>,
    /// What the reply must look like, when it must be a plan.
    pub plan: Option<Arc<PlanShape>>,
    /// Of the reply; `None`: the provider's usual bound.
    pub max_tokens: Option<u32>,
}

/// The system's words: the agent's instructions in front.
fn system(instructions: &str, words: &str) -> String {
    if instructions.is_empty() { words.to_owned() } else { format!("{instructions}\n\n{words}") }
}

/// The results so far, each fenced: they are data, whatever they say.
fn results(asked: &mut String, steps: &[StepReport]) {
    if steps.is_empty() {
        return;
    }
    asked.push_str("\n\nThe results of the tool calls:");
    let mut left = MAX_RESULTS_BYTES;
    for step in steps {
        let outcome = match &step.outcome {
            Some(Outcome::Ok(result)) => clipped(result.as_str(), MAX_RESULT_BYTES.min(left)),
            Some(Outcome::Error(error)) => format!("failed ({}): {}", error.kind, error.message),
            None => "skipped, because a step that it needs did not succeed".to_owned(),
        };
        left = left.saturating_sub(outcome.len());
        let arguments = clipped(step.arguments.as_str(), MAX_ARGUMENTS_BYTES);
        let data = format!("{arguments}: {outcome}");
        let _ = write!(asked, "\n{}", fence::fenced(&format!("step {}, tool {}", step.id, step.tool), &data));
    }
}

/// At most `max_bytes` of `text`; a cut says so.
fn clipped(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(max_bytes);
    format!("{}… (cut: {kept} of {} bytes)", &text[..kept], text.len())
}
