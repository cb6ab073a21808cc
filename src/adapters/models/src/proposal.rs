//! A plan as a model writes it: the JSON Schema that its output is held to, and the way from its text to a
//! `Proposal`. [`crate::planner`] validates what comes out.
//!
//! Two spellings of the same: Ollama takes any object as a step's `arguments`; OpenAI's strict mode allows no free
//! objects, so there `arguments` is the object as JSON text. Both are read, from whomever they come.

use std::sync::Arc;

use callboard_domain::json::RawJson;
use callboard_domain::limits::MAX_STEPS;
use callboard_domain::plan::{OnFailure, Proposal, ProposedStep, Then};
use serde::Deserialize;
use serde_json::{Value, json};

/// How `arguments` are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arguments {
    Object,
    Text,
}

/// The schema of a plan over `tools`.
pub(crate) fn schema(tools: &[Arc<str>], arguments: Arguments) -> Value {
    let tools: Vec<&str> = tools.iter().map(|tool| &**tool).collect();
    let arguments = match arguments {
        Arguments::Object => json!({"type": "object"}),
        Arguments::Text => {
            json!({"type": "string", "description": "The tool's arguments: one JSON object, as text."})
        }
    };
    let mut steps = json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "tool": {"type": "string", "enum": tools},
                "arguments": arguments,
                "depends_on": {"type": "array", "items": {"type": "string"}},
                "on_failure": {"type": "string", "enum": ["fail", "skip", "replan"]}
            },
            "required": ["id", "tool", "arguments", "depends_on", "on_failure"],
            "additionalProperties": false
        }
    });
    if tools.is_empty() {
        // An empty `enum` is no schema; without tools there is only the empty plan.
        steps["maxItems"] = 0.into();
        steps["items"]["properties"]["tool"] = json!({"type": "string"});
    } else if arguments_are_free(&steps) {
        // Strict mode knows no `maxItems` on every server; where objects are free it is understood.
        steps["maxItems"] = MAX_STEPS.into();
    }
    json!({
        "type": "object",
        "properties": {
            "steps": steps,
            "then": {"type": "string", "enum": ["answer", "continue"]},
            "guidance": {"type": "string"}
        },
        "required": ["steps", "then", "guidance"],
        "additionalProperties": false
    })
}

fn arguments_are_free(steps: &Value) -> bool {
    steps["items"]["properties"]["arguments"]["type"] == "object"
}

/// A plan with the freedoms that models take: fields left out, fields invented, arguments as text.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    steps: Vec<WrittenStep>,
    #[serde(default)]
    then: Option<Then>,
    #[serde(default)]
    guidance: Option<String>,
}

#[derive(Deserialize)]
struct WrittenStep {
    id: String,
    tool: String,
    #[serde(default)]
    arguments: Option<RawJson>,
    #[serde(default)]
    depends_on: Option<Vec<String>>,
    #[serde(default)]
    on_failure: Option<OnFailure>,
}

/// Reads a model's text.
///
/// The error is for the model: what was wrong and what would be right.
pub(crate) fn read(text: &str) -> Result<Proposal, String> {
    let json = unfenced(text);
    if !json.starts_with('{') {
        return Err(
            "The reply is not a JSON object. Reply with the plan as one JSON object and nothing else."
                .to_owned(),
        );
    }
    let written: Written = serde_json::from_str(json).map_err(|error| {
        format!("The JSON cannot be read as a plan: {error}. Reply with one complete JSON object.")
    })?;
    let steps = written.steps.into_iter().map(step).collect::<Result<_, _>>()?;
    let guidance = written.guidance.filter(|text| !text.trim().is_empty()).map(Arc::from);
    Ok(Proposal { steps, then: written.then.unwrap_or_default(), guidance })
}

fn step(written: WrittenStep) -> Result<ProposedStep, String> {
    let arguments = match written.arguments {
        None => RawJson::from_value(&json!({})),
        Some(arguments) if arguments.as_str().starts_with('"') => {
            let text: String = serde_json::from_str(arguments.as_str()).map_err(|error| error.to_string())?;
            RawJson::parse(&text)
                .map_err(|error| format!("The arguments of step {:?} are not JSON: {error}.", written.id))?
        }
        Some(arguments) => arguments,
    };
    Ok(ProposedStep {
        id: written.id,
        tool: written.tool,
        arguments,
        depends_on: written.depends_on.unwrap_or_default(),
        on_failure: written.on_failure,
    })
}

/// Without the fence that models put around JSON, and without white space.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.map_or(text, |inner| inner.trim().trim_end_matches("```").trim())
}

#[cfg(test)]
mod tests {
    use super::{Arguments, read, schema};

    #[test]
    fn arguments_may_be_an_object_or_its_text() {
        for written in [
            r#"{"steps":[{"id":"a","tool":"echo","arguments":{"text":"x"}}]}"#,
            r#"{"steps":[{"id":"a","tool":"echo","arguments":"{\"text\":\"x\"}","depends_on":[],"on_failure":"skip"}],"then":"answer","guidance":"","thoughts":"…"}"#,
            "```json\n{\"steps\":[{\"id\":\"a\",\"tool\":\"echo\",\"arguments\":{\"text\":\"x\"}}]}\n```",
        ] {
            let proposal = read(written).unwrap();
            assert_eq!(proposal.steps[0].arguments.to_value()["text"], "x");
            assert!(proposal.guidance.is_none());
        }
    }

    #[test]
    fn what_is_no_plan_is_told_what_would_be_one() {
        for (text, words) in [
            ("Sure! Here is the plan.", "one JSON object"),
            (r#"{"steps":[{"id":"a""#, "EOF"),
            (r#"{"steps":"none"}"#, "sequence"),
            (r#"{"steps":[{"id":"a","tool":"echo","arguments":"text=x"}]}"#, "step \"a\""),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn strict_mode_sees_no_free_objects() {
        let strict = schema(&["echo".into()], Arguments::Text).to_string();
        assert_eq!(
            strict.matches("\"type\":\"object\"").count(),
            strict.matches("additionalProperties").count()
        );
    }
}
