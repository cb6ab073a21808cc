//! What is sent to `/chat/completions`, in the dialect of its server. [`super::stream`] reads what comes back.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::dialect::{Dialect, Form};
use crate::prompt::Prompt;
use crate::schema::{self, PlanShape};

/// The function whose call is a plan, for servers that force calls and nothing else.
const FUNCTION: &str = "submit_plan";

/// A request's fields; schemas keep their order.
pub(super) type Body = BTreeMap<&'static str, Box<RawValue>>;

pub(super) fn write(model: &str, prompt: &Prompt, dialect: Dialect, max_tokens: u32) -> Body {
    let messages = serde_json::to_value(&prompt.messages).expect("roles and texts are JSON");
    // No temperature: the newer models refuse any but their own.
    let mut body = Body::from([
        ("model", value(&json!(model))),
        ("messages", value(&messages)),
        ("stream", value(&json!(true))),
    ]);
    if dialect.usage {
        body.insert("stream_options", value(&json!({"include_usage": true})));
    }
    let limit = if dialect.newer_limit { "max_completion_tokens" } else { "max_tokens" };
    let tokens = prompt.max_tokens.map_or(max_tokens, |wanted| wanted.min(max_tokens));
    body.insert(limit, value(&json!(tokens)));
    if let Some(plan) = &prompt.plan {
        demand(&mut body, plan, dialect.form);
    }
    body
}

fn demand(body: &mut Body, plan: &PlanShape, form: Form) {
    let named = |schema: Box<RawValue>| {
        schema::raw(format!(
            r#"{{"type":"json_schema","json_schema":{{"name":"plan","strict":true,"schema":{schema}}}}}"#
        ))
    };
    match form {
        Form::Full => body.insert("response_format", named(schema::full(plan))),
        Form::Strict => body.insert("response_format", named(schema::strict(plan))),
        Form::JsonObject => body.insert("response_format", value(&json!({"type": "json_object"}))),
        Form::FunctionCall => {
            let schema = schema::full(plan);
            let tools = format!(
                r#"[{{"type":"function","function":{{"name":"{FUNCTION}","description":"Submits the plan.","parameters":{schema}}}}}]"#
            );
            body.insert("tools", schema::raw(tools));
            body.insert("tool_choice", value(&json!({"type": "function", "function": {"name": FUNCTION}})))
        }
        Form::Text => None,
    };
}

fn value(value: &Value) -> Box<RawValue> {
    schema::raw(value.to_string())
}
