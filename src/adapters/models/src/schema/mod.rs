//! The JSON Schema that a model's plan is held to, made of the tools that its agent may use.
//!
//! Two forms: [`full`] has every tool's own arguments and bounds every string and array (a small model fills unbounded
//! ones without end), in the order in which a model should write it, because a grammar keeps to the order of the schema:
//! the tool before its arguments; [`strict`] keeps to what OpenAI's strict mode allows, where no object is free and a step's
//! `arguments` are therefore the object as JSON text. [`crate::proposal`] reads both; [`bounded`] is one tool's part.

mod bounded;

use std::sync::Arc;

use callboard_ports::tool::ToolSpec;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Steps that a model may write at once. The domain allows more; a model that goes on and on is cut here, and can
/// continue with `then: continue`.
const MAX_STEPS: usize = 8;
/// Dependencies of one step: all others.
const MAX_DEPENDENCIES: usize = 7;
/// Of a step's id: models write `weather-oslo`.
const ID_PATTERN: &str = "^[A-Za-z0-9_-]{1,24}$";
/// Of the advice to whoever writes the answer, in characters: some sentences.
const MAX_GUIDANCE: usize = 300;

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

/// Every tool with its arguments. What a step can do without may be left out: the less a small model has to write, the
/// sooner it comes to an end.
pub(crate) fn full(plan: &PlanShape) -> Box<RawValue> {
    let id = json!({"type": "string", "pattern": ID_PATTERN});
    let dependencies = json!({"type": "array", "items": id, "maxItems": MAX_DEPENDENCIES});
    let on_failure = json!({"type": "string", "enum": ["fail", "skip", "replan"]});
    let step = |(name, arguments): &(Arc<str>, Value)| {
        let tool = json!({"type": "string", "enum": [name]});
        format!(
            r#"{{"type":"object","properties":{{"id":{id},"tool":{tool},"arguments":{arguments},"depends_on":{dependencies},"on_failure":{on_failure}}},"required":["id","tool","arguments"],"additionalProperties":false}}"#
        )
    };
    let steps: Vec<String> = plan.tools.iter().map(step).collect();
    let steps = match &steps[..] {
        // Without tools there is only the empty plan.
        [] => r#"{"type":"array","items":{"type":"string","maxLength":1},"maxItems":0}"#.to_owned(),
        [one] => format!(r#"{{"type":"array","items":{one},"maxItems":{MAX_STEPS}}}"#),
        several => {
            let several = several.join(",");
            format!(r#"{{"type":"array","items":{{"anyOf":[{several}]}},"maxItems":{MAX_STEPS}}}"#)
        }
    };
    raw(format!(
        r#"{{"type":"object","properties":{{"steps":{steps},"then":{{"type":"string","enum":["answer","continue"]}},"guidance":{{"type":"string","maxLength":{MAX_GUIDANCE}}}}},"required":["steps","then","guidance"],"additionalProperties":false}}"#
    ))
}

/// Within OpenAI's strict mode: every field required, no free object, no lengths.
pub(crate) fn strict(plan: &PlanShape) -> Box<RawValue> {
    let names: Vec<&str> = plan.tools.iter().map(|(name, _)| &**name).collect();
    // An empty `enum` is no schema; the prompt says that there are no tools.
    let tool =
        if names.is_empty() { json!({"type": "string"}) } else { json!({"type": "string", "enum": names}) };
    let arguments =
        json!({"type": "string", "description": "The tool's arguments: one JSON object, as text."});
    raw(format!(
        r#"{{"type":"object","properties":{{"steps":{{"type":"array","items":{{"type":"object","properties":{{"id":{{"type":"string"}},"tool":{tool},"arguments":{arguments},"depends_on":{{"type":"array","items":{{"type":"string"}}}},"on_failure":{{"type":"string","enum":["fail","skip","replan"]}}}},"required":["id","tool","arguments","depends_on","on_failure"],"additionalProperties":false}}}},"then":{{"type":"string","enum":["answer","continue"]}},"guidance":{{"type":"string"}}}},"required":["steps","then","guidance"],"additionalProperties":false}}"#
    ))
}

/// JSON whose order is kept: a `Value` would sort its keys.
pub(crate) fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("what is put together of JSON is JSON")
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
        let strict = strict(&shape(&["echo"])).get().to_owned();
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
            let full = full(&shape(tools));
            walk(&serde_json::from_str(full.get()).unwrap(), "plan");
            let order = ["\"steps\"", "\"id\"", "\"tool\"", "\"arguments\"", "\"then\""];
            let places: Vec<usize> = order.iter().filter_map(|word| full.get().find(word)).collect();
            assert!(places.is_sorted(), "{full}");
        }
    }
}
