//! A plan for the terminal.

use serde_json::Value;

use super::columns::{cell, columns, text};

/// Arguments and results are cut to this many characters; `--json` shows them whole.
const CELL: usize = 60;

/// Draws a plan as the server gives it.
#[must_use]
pub fn table(plan: &Value) -> String {
    let planner = match (plan["planner"]["provider"].as_str(), plan["planner"]["model"].as_str()) {
        (Some(provider), Some(model)) => format!(", planned by {provider} {model}"),
        (Some(provider), None) => format!(", planned by {provider}"),
        _ => String::new(),
    };
    let why = match plan["reason"].as_str() {
        None | Some("first") => String::new(),
        Some(reason) => format!(", asked for again ({reason})"),
    };
    let mut out = format!(
        "turn {} version {}: {}{planner}{why}\n",
        plan["turn"],
        plan["version"],
        text(&plan["status"])
    );
    if let Some(guidance) = plan["guidance"].as_str() {
        out += &format!("guidance: {}\n", cell(&guidance.into(), 2 * CELL));
    }
    let empty = Vec::new();
    let steps = plan["steps"].as_array().unwrap_or(&empty);
    let mut rows =
        vec![["STEP", "TOOL", "STATUS", "TRIES", "AFTER", "ARGUMENTS", "RESULT"].map(str::to_owned)];
    for step in steps {
        let result = if step["result"].is_null() { &step["error"]["message"] } else { &step["result"] };
        let after = step["depends_on"]
            .as_array()
            .map_or_else(String::new, |ids| ids.iter().map(text).collect::<Vec<_>>().join(","));
        rows.push([
            text(&step["id"]),
            text(&step["tool"]),
            text(&step["status"]),
            text(&step["attempts"]),
            after,
            cell(&step["arguments"], CELL),
            cell(result, CELL),
        ]);
    }
    if steps.is_empty() {
        return out + "no steps";
    }
    out + &columns(&rows)
}
