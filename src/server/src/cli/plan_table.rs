//! A plan for the terminal.

use std::fmt::Write;

use serde_json::Value;

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
    let mut out =
        format!("turn {} version {}: {}{planner}\n", plan["turn"], plan["version"], text(&plan["status"]));
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
            cell(&step["arguments"]),
            cell(result),
        ]);
    }
    if steps.is_empty() {
        return out + "no steps";
    }
    let widths: Vec<usize> =
        (0..7).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        for (text, width) in row.iter().zip(&widths) {
            let _ = write!(out, "{text:width$}  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cell(value: &Value) -> String {
    let text = text(value).replace(['\n', '\r', '\t'], " ");
    if text.chars().count() <= CELL { text } else { text.chars().take(CELL - 1).chain(['…']).collect() }
}
