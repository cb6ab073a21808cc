//! One tool's JSON Schema as a model is held to it: bounded, without the keywords that grammar-driven servers refuse, and
//! with a `${reference}` wherever another step's result may stand. The domain judges by the tool's own schema: what is
//! looser here is refused there, with words.

use serde_json::{Map, Value, json};

/// Of a free string, in characters. Grammars grow with it; llama.cpp refuses repetitions beyond 2,000.
const MAX_TEXT: u64 = 300;
/// Of a free array.
const MAX_ITEMS: u64 = 8;
/// Deeper schemas are let go: any text may stand there.
const MAX_DEPTH: usize = 6;
/// Alternatives of one place; more are a catalogue.
const MAX_ALTERNATIVES: usize = 64;
/// `${step.path}`.
const REFERENCE: &str = r"^\$\{[A-Za-z0-9_-]{1,24}(\.[A-Za-z0-9_-]{1,32}){0,4}\}$";

/// The schema of a tool's arguments, bounded; always an object's.
pub(super) fn schema(tool: &Value) -> Value {
    match object(tool, 0) {
        Some(object) => object,
        None => free_object(),
    }
}

fn at(schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return text(schema);
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<&Value> = values.iter().take(MAX_ALTERNATIVES).collect();
        return or_reference(json!({"enum": values}));
    }
    if let Some(value) = schema.get("const") {
        return json!({"enum": [value]});
    }
    let alternatives = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array());
    if let Some(alternatives) = alternatives.filter(|alternatives| !alternatives.is_empty()) {
        let of = alternatives.iter().take(MAX_ALTERNATIVES).map(|one| at(one, depth + 1));
        return json!({"anyOf": of.collect::<Vec<_>>()});
    }
    match kind(schema) {
        "string" => text(schema),
        "integer" => or_reference(with_range(schema, "integer")),
        "number" => or_reference(json!({"type": "number"})),
        "boolean" => or_reference(json!({"type": "boolean"})),
        "null" => json!({"type": "null"}),
        "array" => or_reference(array(schema, depth)),
        "object" => object(schema, depth).unwrap_or_else(free_object),
        // Anything may stand there: what a person would write by hand.
        _ => json!({"anyOf": [text(&Value::Null), {"type": "number"}, {"type": "boolean"}, free_object()]}),
    }
}

/// The type, of several the first that is not null.
fn kind(schema: &Value) -> &str {
    let several = schema["type"].as_array().into_iter().flatten().filter_map(Value::as_str);
    schema["type"].as_str().or_else(|| several.into_iter().find(|kind| *kind != "null")).unwrap_or_else(
        || {
            if schema.get("properties").is_some() { "object" } else { "" }
        },
    )
}

/// A string of any kind; a reference is one too.
fn text(schema: &Value) -> Value {
    let most = schema["maxLength"].as_u64().map_or(MAX_TEXT, |most| most.clamp(64, MAX_TEXT));
    let least = schema["minLength"].as_u64().unwrap_or(0).min(1);
    if least == 0 {
        json!({"type": "string", "maxLength": most})
    } else {
        json!({"type": "string", "minLength": 1, "maxLength": most})
    }
}

fn with_range(schema: &Value, kind: &str) -> Value {
    let mut bounded = json!({"type": kind});
    for key in ["minimum", "maximum"] {
        if schema[key].is_i64() {
            bounded[key] = schema[key].clone();
        }
    }
    bounded
}

fn array(schema: &Value, depth: usize) -> Value {
    let most = schema["maxItems"].as_u64().map_or(MAX_ITEMS, |most| most.min(MAX_ITEMS));
    let least = schema["minItems"].as_u64().unwrap_or(0).min(most);
    json!({"type": "array", "items": at(&schema["items"], depth + 1), "minItems": least, "maxItems": most})
}

fn object(schema: &Value, depth: usize) -> Option<Value> {
    let fields = schema["properties"].as_object().filter(|fields| !fields.is_empty());
    let Some(fields) = fields else {
        // Nothing is allowed in it, so it is empty.
        let closed = schema["additionalProperties"] == false;
        return closed.then(|| json!({"type": "object", "properties": {}, "additionalProperties": false}));
    };
    let properties: Map<String, Value> =
        fields.iter().map(|(name, field)| (name.clone(), at(field, depth + 1))).collect();
    let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
    Some(json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    }))
}

fn free_object() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string", "maxLength": MAX_TEXT}})
}

fn or_reference(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "string", "pattern": REFERENCE}]})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{REFERENCE, schema};

    #[test]
    fn a_tools_schema_is_bounded_and_takes_references() {
        let bounded = schema(&json!({
            "type": "object",
            "properties": {
                "place": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Where.", "format": "x"},
                "text": {"type": "string", "pattern": "^a+"},
                "amount": {"type": ["number", "null"]},
                "delay_ms": {"type": "integer", "minimum": 0, "maximum": 60000},
                "units": {"type": "string", "enum": ["metric", "imperial"]},
                "days": {"type": "array", "items": {"type": "string"}},
                "body": {"description": "anything"}
            },
            "required": ["place"],
            "not": {"required": ["text", "body"]},
            "additionalProperties": false
        }));
        let reference = json!({"type": "string", "pattern": REFERENCE});
        let fields = &bounded["properties"];
        assert_eq!(fields["place"], json!({"type": "string", "minLength": 1, "maxLength": 200}));
        assert_eq!(fields["text"], json!({"type": "string", "maxLength": 300}));
        assert_eq!(fields["amount"]["anyOf"], json!([{"type": "number"}, reference]));
        assert_eq!(
            fields["delay_ms"]["anyOf"][0],
            json!({"type": "integer", "minimum": 0, "maximum": 60000})
        );
        assert_eq!(fields["units"]["anyOf"], json!([{"enum": ["metric", "imperial"]}, reference]));
        assert_eq!(fields["days"]["anyOf"][0]["maxItems"], 8);
        assert!(fields["body"]["anyOf"].is_array() && bounded.get("not").is_none());
        assert_eq!(
            (&bounded["required"], &bounded["additionalProperties"]),
            (&json!(["place"]), &json!(false))
        );
    }

    #[test]
    fn schemas_that_say_little_are_bounded_too() {
        assert_eq!(
            schema(&json!({"type": "object", "additionalProperties": false}))["properties"],
            json!({})
        );
        assert_eq!(schema(&json!({}))["additionalProperties"]["maxLength"], 300);
        let mut deep = json!({"type": "string"});
        for _ in 0..40 {
            deep = json!({"type": "object", "properties": {"in": deep}});
        }
        assert!(schema(&deep).to_string().len() < 2_000);
    }
}
