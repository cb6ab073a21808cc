//! The JSON Schema that a model's plan is held to, made of the tools that its agent may use.
//!
//! Two forms: [`full`] has every tool's own arguments and bounds every string and array (a small model fills unbounded
//! ones without end); [`strict`] keeps to what OpenAI's strict mode allows, where no object is free and a step's
//! `arguments` are therefore the object as JSON text. [`crate::proposal`] reads both; [`bounded`] is one tool's part.

mod bounded;

use std::sync::Arc;

use callboard_ports::tool::ToolSpec;
use serde_json::{Value, json};

/// Steps that a model may write at once. The domain allows more; a model that goes on and on is cut here, and can
/// continue with `then: continue`.
const MAX_STEPS: usize = 12;
/// Dependencies of one step.
const MAX_DEPENDENCIES: usize = 8;
/// Of a step's id: models write `weather-oslo`.
const ID_PATTERN: &str = "^[A-Za-z0-9_-]{1,24}$";
/// Of the advice to whoever writes the answer, in characters: some sentences.
const MAX_GUIDANCE: usize = 400;

/// What a plan may consist of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlanShape {
    tools: Vec<(Arc<str>, Value)>,
}

impl PlanShape {
    pub fn of<'t>(tools: impl Iterator<Item = &'t ToolSpec>) -> Self {
        Self {
            tools: tools.map(|tool| (tool.name.clone(), bounded::schema(&tool.schema.to_value()))).collect(),
        }
    }
}

/// Every tool with its arguments.
pub(crate) fn full(plan: &PlanShape) -> Value {
    let id = json!({"type": "string", "pattern": ID_PATTERN});
    let step = |(name, arguments): &(Arc<str>, Value)| {
        json!({
            "type": "object",
            "properties": {
                "id": id,
                "tool": {"type": "string", "enum": [name]},
                "arguments": arguments,
                "depends_on": {"type": "array", "items": id, "maxItems": MAX_DEPENDENCIES},
                "on_failure": {"type": "string", "enum": ["fail", "skip", "replan"]}
            },
            "required": ["id", "tool", "arguments", "depends_on", "on_failure"],
            "additionalProperties": false
        })
    };
    let steps: Vec<Value> = plan.tools.iter().map(step).collect();
    let steps = match &steps[..] {
        // Without tools there is only the empty plan.
        [] => json!({"type": "array", "items": {"type": "string", "maxLength": 1}, "maxItems": 0}),
        [one] => json!({"type": "array", "items": one, "maxItems": MAX_STEPS}),
        several => json!({"type": "array", "items": {"anyOf": several}, "maxItems": MAX_STEPS}),
    };
    let guidance = json!({"type": "string", "maxLength": MAX_GUIDANCE});
    plan_of(&steps, &guidance)
}

/// Within OpenAI's strict mode: every field required, no free object, no lengths.
pub(crate) fn strict(plan: &PlanShape) -> Value {
    let names: Vec<&str> = plan.tools.iter().map(|(name, _)| &**name).collect();
    // An empty `enum` is no schema; the prompt says that there are no tools.
    let tool =
        if names.is_empty() { json!({"type": "string"}) } else { json!({"type": "string", "enum": names}) };
    let steps = json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "tool": tool,
                "arguments": {"type": "string", "description": "The tool's arguments: one JSON object, as text."},
                "depends_on": {"type": "array", "items": {"type": "string"}},
                "on_failure": {"type": "string", "enum": ["fail", "skip", "replan"]}
            },
            "required": ["id", "tool", "arguments", "depends_on", "on_failure"],
            "additionalProperties": false
        }
    });
    plan_of(&steps, &json!({"type": "string"}))
}

fn plan_of(steps: &Value, guidance: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "steps": steps,
            "then": {"type": "string", "enum": ["answer", "continue"]},
            "guidance": guidance
        },
        "required": ["steps", "then", "guidance"],
        "additionalProperties": false
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{PlanShape, full, strict};

    fn shape(tools: &[&str]) -> PlanShape {
        let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
        PlanShape {
            tools: tools.iter().map(|name| ((*name).into(), super::bounded::schema(&schema))).collect(),
        }
    }

    #[test]
    fn strict_mode_sees_no_free_objects() {
        let strict = strict(&shape(&["echo"])).to_string();
        assert_eq!(
            strict.matches("\"type\":\"object\"").count(),
            strict.matches("additionalProperties").count()
        );
    }

    #[test]
    fn every_string_and_array_of_the_full_form_is_bounded() {
        fn walk(schema: &Value, path: &str) {
            let bounded = |keys: &[&str]| keys.iter().any(|key| schema.get(*key).is_some());
            match schema["type"].as_str() {
                Some("string") => {
                    assert!(bounded(&["maxLength", "pattern", "enum", "const"]), "{path}: {schema}")
                }
                Some("array") => assert!(bounded(&["maxItems"]), "{path}: {schema}"),
                _ => {}
            }
            match schema {
                Value::Object(fields) => {
                    fields.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}")))
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, path)),
                _ => {}
            }
        }
        for tools in [&[][..], &["echo"], &["echo", "math"]] {
            walk(&full(&shape(tools)), "plan");
        }
    }
}
