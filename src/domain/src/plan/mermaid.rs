//! A plan version as a Mermaid flowchart, for people.

use std::fmt::Write;

use crate::view::{PlanView, StepStatus};

/// Draws `plan`; node classes carry the step status, so that a page may colour them.
#[must_use]
pub fn mermaid(plan: &PlanView) -> String {
    let mut out = String::from("flowchart LR\n");
    for (i, step) in plan.steps.iter().enumerate() {
        let status = step.status.as_str();
        let label = format!("{}: {}", step.id, step.tool).replace('"', "'");
        let _ = writeln!(out, "  s{i}[\"{label}<br/>{status}\"]:::{status}");
    }
    for (i, step) in plan.steps.iter().enumerate() {
        for dependency in &step.depends_on {
            if let Some(from) = plan.steps.iter().position(|other| other.id == *dependency) {
                let _ = writeln!(out, "  s{from} --> s{i}");
            }
        }
    }
    let _ = writeln!(out, "  answer([{}])", plan.status.as_str());
    for (i, step) in plan.steps.iter().enumerate() {
        if !plan.steps.iter().any(|other| other.depends_on.contains(&step.id)) {
            let _ = writeln!(out, "  s{i} --> answer");
        }
    }
    for (status, style) in [
        (StepStatus::Done, "fill:#d7f0d7"),
        (StepStatus::Running, "fill:#d7e6fa"),
        (StepStatus::Failed, "fill:#f8d7d7"),
        (StepStatus::InDoubt, "fill:#fae9c8"),
    ] {
        let _ = writeln!(out, "  classDef {} {style}", status.as_str());
    }
    out
}
