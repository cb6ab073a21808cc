//! What a model is told: the prompts of `prompts/*.md`, the tools, the conversation and the results, within a budget.
//!
//! [`crate::planner`] and [`crate::synthesizer`] ask with these. Contexts are small and dear, so everything is clipped;
//! results whole are the business of the built-in synthesizer.

use std::fmt::Write;

use callboard_domain::event::Outcome;
use callboard_domain::plan::{PlanProblem, PlanReason};
use callboard_domain::request::{Exchange, StepReport, SynthesizeFinalAnswerRequested};
use callboard_ports::model::PlanRequest;
use callboard_ports::tool::ToolSpec;

use crate::chat::{Message, Prompt, Role};

const PLAN: &str = include_str!("../prompts/plan.md");
const REPAIR: &str = include_str!("../prompts/repair.md");
const SYNTHESIZE: &str = include_str!("../prompts/synthesize.md");

const DOWN: &str = "\nThese tools are down and cannot be used now. Plan without them; when a question needs one of them, say so in \
                    the guidance, with the reason:\n";

/// Of the reason why a tool is down.
const MAX_WHY_BYTES: usize = 300;
/// Of the user's message: some 12,000 tokens.
const MAX_MESSAGE_BYTES: usize = 48 * 1024;
/// Of one result, and of all of them.
const MAX_RESULT_BYTES: usize = 8 * 1024;
const MAX_RESULTS_BYTES: usize = 64 * 1024;
/// Of one earlier message or answer, and of all of them, newest first.
const MAX_EXCHANGE_BYTES: usize = 4 * 1024;
const MAX_HISTORY_BYTES: usize = 16 * 1024;
/// Of a refused plan that is sent back.
const MAX_REFUSED_BYTES: usize = 16 * 1024;
/// Problems named to a model at once; more are the same mistake.
const MAX_PROBLEMS: usize = 12;

/// Asks for a plan.
pub(crate) fn plan(request: &PlanRequest, tools: &[ToolSpec]) -> Prompt {
    let mut system = PLAN.to_owned();
    let up = |tool: &&ToolSpec| !request.down.iter().any(|down| down.tool == tool.name);
    for tool in tools.iter().filter(up) {
        let _ = writeln!(system, "- {}: {} Arguments: {}", tool.name, tool.description, tool.schema.as_str());
    }
    if !request.down.is_empty() {
        system.push_str(DOWN);
        for down in &request.down {
            let _ = writeln!(system, "- {}: {}", down.tool, clipped(&down.why, MAX_WHY_BYTES));
        }
    }
    let mut messages = vec![Message::new(Role::System, system)];
    messages.extend(history(&request.history));
    let mut asked = clipped(&request.message, MAX_MESSAGE_BYTES);
    match request.reason {
        PlanReason::First => {}
        PlanReason::Continue => {
            asked.push_str("\n\nThe steps so far have ended. Plan what is still needed, or nothing.")
        }
        PlanReason::Failure => {
            asked.push_str("\n\nA step failed. Plan another way, or nothing when there is none.")
        }
        PlanReason::Edit => asked.push_str("\n\nThe plan was edited. Plan what is still needed, or nothing."),
    }
    results(&mut asked, &request.results);
    messages.push(Message::new(Role::User, asked));
    let plan_for = Some(tools.iter().filter(up).map(|tool| tool.name.clone()).collect());
    Prompt { messages, plan_for, max_tokens: None }
}

/// Asks to mend a plan that was refused.
pub(crate) fn repair(mut prompt: Prompt, refused: &str, problems: &[String]) -> Prompt {
    let mut asked = REPAIR.to_owned();
    for problem in problems.iter().take(MAX_PROBLEMS) {
        let _ = writeln!(asked, "- {problem}");
    }
    prompt.messages.push(Message::new(Role::Assistant, clipped(refused, MAX_REFUSED_BYTES)));
    prompt.messages.push(Message::new(Role::User, asked));
    prompt
}

/// The problems of a plan, for its writer.
pub(crate) fn problems(found: &[PlanProblem]) -> Vec<String> {
    found.iter().map(|problem| format!("{} ({})", problem.message, problem.code)).collect()
}

/// Asks for an answer.
pub(crate) fn answer(request: &SynthesizeFinalAnswerRequested) -> Prompt {
    let mut messages = vec![Message::new(Role::System, SYNTHESIZE)];
    messages.extend(history(&request.history));
    let mut asked = clipped(&request.message, MAX_MESSAGE_BYTES);
    results(&mut asked, &request.steps);
    if let Some(guidance) = &request.guidance {
        let _ = write!(asked, "\n\nThe planner's advice to you: {guidance}");
    }
    messages.push(Message::new(Role::User, asked));
    Prompt { messages, plan_for: None, max_tokens: None }
}

fn history(exchanges: &[Exchange]) -> Vec<Message> {
    let mut left = MAX_HISTORY_BYTES;
    let mut newest_first = Vec::new();
    for exchange in exchanges.iter().rev() {
        let message = clipped(&exchange.message, MAX_EXCHANGE_BYTES);
        let answer = clipped(exchange.answer.as_deref().unwrap_or("(no answer)"), MAX_EXCHANGE_BYTES);
        let bytes = message.len() + answer.len();
        if bytes > left {
            break;
        }
        left -= bytes;
        newest_first.push(Message::new(Role::Assistant, answer));
        newest_first.push(Message::new(Role::User, message));
    }
    newest_first.reverse();
    newest_first
}

fn results(asked: &mut String, steps: &[StepReport]) {
    if steps.is_empty() {
        return;
    }
    asked.push_str("\n\nThe results of the tool calls:\n");
    let mut left = MAX_RESULTS_BYTES;
    for step in steps {
        let arguments = clipped(step.arguments.as_str(), 1_024);
        let outcome = match &step.outcome {
            Some(Outcome::Ok(result)) => clipped(result.as_str(), MAX_RESULT_BYTES.min(left)),
            Some(Outcome::Error(error)) => format!("failed ({}): {}", error.kind, error.message),
            None => "skipped, because a step that it needs did not succeed".to_owned(),
        };
        left = left.saturating_sub(outcome.len());
        let _ = writeln!(asked, "- {} ({} {arguments}): {outcome}", step.id, step.tool);
    }
}

fn clipped(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    format!("{}… (cut)", &text[..text.floor_char_boundary(max_bytes)])
}
