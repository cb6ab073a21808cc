//! What the built-in planner tells whoever writes the answer: replies to remarks, and what it could not plan.
//!
//! After [`super::steps`]. The text is also the whole answer where there is nothing to run.

use std::collections::BTreeSet;

use super::small_talk::SmallTalk;
use super::steps::Draft;

/// Begins guidance that belongs beneath the answers of steps; [`super::answer`] looks for it.
pub(super) const NOTE: &str = "Note: ";
/// Parts of a message that are named as not understood.
const MAX_NAMED: usize = 3;

/// The guidance for a draft; nothing where the steps say it all.
pub(super) fn write(draft: &Draft, tools: &BTreeSet<String>) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let asks_for_help = draft.remarks.contains(&SmallTalk::Help);
    if draft.steps.is_empty() {
        let nothing_asked = draft.rest.is_empty() && draft.hints.is_empty();
        parts.extend(draft.remarks.iter().filter_map(|remark| reply(*remark)).map(str::to_owned));
        if nothing_asked && draft.remarks.is_empty() {
            parts.push("There is no question in this message.".to_owned());
        }
        if asks_for_help || !draft.rest.is_empty() || (nothing_asked && draft.remarks.is_empty()) {
            parts.extend(not_understood(draft, "I could not work out how to answer"));
            parts.extend(draft.hints.iter().cloned());
            parts.push(abilities(tools));
            parts.push(more());
        } else {
            parts.extend(draft.hints.iter().cloned());
        }
        return Some(parts.join(" "));
    }
    parts.extend(not_understood(draft, "I did not understand"));
    parts.extend(draft.hints.iter().cloned());
    if asks_for_help {
        parts.push(abilities(tools));
    }
    if !draft.rest.is_empty() {
        parts.push(more());
    }
    (!parts.is_empty()).then(|| format!("{NOTE}{}", parts.join(" ")))
}

fn not_understood(draft: &Draft, beginning: &str) -> Option<String> {
    let named: Vec<String> = draft.rest.iter().take(MAX_NAMED).map(|rest| format!("“{rest}”")).collect();
    let more = match draft.rest.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    (!named.is_empty()).then(|| format!("{beginning} {}{more}.", named.join(", ")))
}

fn reply(remark: SmallTalk) -> Option<&'static str> {
    Some(match remark {
        SmallTalk::Greeting => "Hello! What can I do for you?",
        SmallTalk::HowAreYou => "All is well on the board, thank you. What can I do for you?",
        SmallTalk::Thanks => "You are welcome.",
        SmallTalk::Farewell => "Goodbye!",
        SmallTalk::WhoAreYou => {
            "I am Callboard, a runtime for tool-using agents, answering with its built-in planner: no language model is at work."
        }
        SmallTalk::Help => return None,
    })
}

fn abilities(tools: &BTreeSet<String>) -> String {
    let known: Vec<&str> = [
        ("math", "arithmetic and units (“what is 17% of 2340?”, “12 miles in km”)"),
        ("exchange", "currencies (“convert 120 USD to EUR and take 19% of it”)"),
        ("weather", "the weather (“weather in Berlin and Paris”, “weather in Oslo tomorrow”)"),
        ("echo", "repeating a text (“echo hello”)"),
        ("knowledge", "questions about the documents (“look up the warranty”)"),
    ]
    .into_iter()
    .filter(|(tool, _)| tools.contains(*tool))
    .map(|(_, words)| words)
    .collect();
    match known.split_last() {
        None => "The built-in planner knows none of the tools that are available here.".to_owned(),
        Some((last, [])) => format!("The built-in planner can do {last}."),
        Some((last, others)) => {
            format!(
                "The built-in planner can do {} and {last}, several questions in one message too.",
                others.join(", ")
            )
        }
    }
}

pub(super) fn more() -> String {
    "For anything else give Callboard a language model: start Ollama (its address goes into OLLAMA_HOST) or set \
     OPENAI_API_KEY, and restart."
        .to_owned()
}
