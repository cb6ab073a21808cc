//! Asks for a plan, and asks to mend one. [`crate::schema`] says what it must look like, [`crate::proposal`] reads it.

use std::fmt::Write;
use std::sync::Arc;

use callboard_domain::plan::{PlanProblem, PlanReason};
use callboard_ports::model::PlanRequest;
use callboard_ports::tool::ToolSpec;

use super::files::{PLAN, REPAIR};
use super::{MAX_MESSAGE_BYTES, Message, Prompt, Role, clipped, fence, history, results, system};
use crate::agents::Agent;
use crate::schema::PlanShape;

const DOWN: &str = "\nThese tools are down and cannot be used now. Plan without them; when a question needs one of them, say so in \
                    the guidance, with the reason:\n";

/// Of the reason why a tool is down.
const MAX_WHY_BYTES: usize = 300;
/// Of a refused plan that is sent back.
const MAX_REFUSED_BYTES: usize = 16 * 1024;
/// Problems named to a model at once; more are the same mistake.
const MAX_PROBLEMS: usize = 12;

/// Asks `agent` for a plan over `tools`, which are those that it may use.
pub(crate) fn write(
    request: &PlanRequest,
    agent: &Agent,
    tools: &[ToolSpec],
    history_bytes: usize,
) -> Prompt {
    let mut words = system(&agent.instructions, PLAN);
    let down = |tool: &ToolSpec| request.down.iter().find(|down| down.tool == tool.name);
    let up: Vec<&ToolSpec> = tools.iter().filter(|tool| down(tool).is_none()).collect();
    for tool in &up {
        let _ = writeln!(words, "- {}: {} Arguments: {}", tool.name, tool.description, tool.schema.as_str());
    }
    if up.is_empty() {
        words.push_str("(none: \"steps\" must be empty)\n");
    }
    let mut broken = tools.iter().filter_map(down).peekable();
    if broken.peek().is_some() {
        words.push_str(DOWN);
        for down in broken {
            let _ = writeln!(words, "- {}: {}", down.tool, fence::quoted(&clipped(&down.why, MAX_WHY_BYTES)));
        }
    }
    let mut messages = vec![Message::new(Role::System, words)];
    messages.extend(history::messages(&request.history, history_bytes));
    let mut asked = clipped(&request.message, MAX_MESSAGE_BYTES);
    asked.push_str(match request.reason {
        PlanReason::First => "",
        PlanReason::Continue => "\n\nThe steps so far have ended. Plan what is still needed, or nothing.",
        PlanReason::Failure => "\n\nA step failed. Plan another way, or nothing when there is none.",
        PlanReason::Edit => "\n\nThe plan was edited. Plan what is still needed, or nothing.",
    });
    results(&mut asked, &request.results);
    messages.push(Message::new(Role::User, asked));
    Prompt { messages, plan: Some(Arc::new(PlanShape::of(up.into_iter()))), max_tokens: None }
}

/// Asks to mend a plan that was refused.
pub(crate) fn repair(prompt: &Prompt, refused: &str, problems: &[String]) -> Prompt {
    let mut prompt = prompt.clone();
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
