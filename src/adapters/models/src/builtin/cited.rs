//! What `knowledge` found, in its own sentences and with where they stand: `… [warranty.md:7-9]`.
//!
//! Called by [`super::answer`]. The citation is the tool's: file and lines as it read them.

use callboard_domain::request::StepReport;
use serde_json::Value;

use super::steps::shortened;

/// The tool's name.
pub(super) const TOOL: &str = "knowledge";

/// The best passage's sentences, or that there are none.
pub(super) fn told(step: &StepReport, result: &Value) -> Option<String> {
    let query = step.arguments.to_value();
    let query = shortened(query["query"].as_str().unwrap_or("that"));
    let samples = match result["searched"]["samples"].as_bool() {
        Some(true) => " (samples: tools.knowledge.path is not set)",
        _ => "",
    };
    let nothing = || Some(format!("The documents{samples} say nothing about “{query}”."));
    let confidence = result["confidence"].as_str()?;
    let Some(best) = result["passages"].as_array()?.first().filter(|_| confidence != "none") else {
        return nothing();
    };
    let excerpt = &best["excerpt"];
    let (text, file) = (excerpt["text"].as_str()?, best["file"].as_str()?);
    let cited = format!("{text} [{file}:{}]", excerpt["lines"].as_str()?);
    if confidence == "good" {
        return Some(cited);
    }
    Some(format!("The documents{samples} may not answer “{query}”. The nearest that they say: {cited}"))
}

/// Whether the documents were asked and had nothing.
pub(super) fn is_without_answer(step: &StepReport) -> bool {
    &*step.tool == TOOL && step.result().is_some_and(|result| result.to_value()["confidence"] == "none")
}
