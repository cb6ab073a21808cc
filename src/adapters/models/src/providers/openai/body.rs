//! What is sent to `/chat/completions`, in the dialect of its server. [`super::stream`] reads what comes back.

use serde_json::{Value, json};

use super::dialect::{Dialect, Form};
use crate::prompt::Prompt;
use crate::schema;

/// The function whose call is a plan, for servers that force calls and nothing else.
const FUNCTION: &str = "submit_plan";

pub(super) fn write(model: &str, prompt: &Prompt, dialect: Dialect, max_tokens: u32) -> Value {
    // No temperature: the newer models refuse any but their own.
    let mut body = json!({"model": model, "messages": prompt.messages, "stream": true});
    if dialect.usage {
        body["stream_options"] = json!({"include_usage": true});
    }
    let limit = if dialect.newer_limit { "max_completion_tokens" } else { "max_tokens" };
    body[limit] = prompt.max_tokens.map_or(max_tokens, |wanted| wanted.min(max_tokens)).into();
    let Some(plan) = &prompt.plan else { return body };
    let named = |schema: Value| json!({"type": "json_schema", "json_schema": {"name": "plan", "strict": true, "schema": schema}});
    match dialect.form {
        Form::Full => body["response_format"] = named(schema::full(plan)),
        Form::Strict => body["response_format"] = named(schema::strict(plan)),
        Form::JsonObject => body["response_format"] = json!({"type": "json_object"}),
        Form::FunctionCall => {
            let function = json!({
                "name": FUNCTION, "description": "Submits the plan.", "parameters": schema::full(plan),
            });
            body["tools"] = json!([{"type": "function", "function": function}]);
            body["tool_choice"] = json!({"type": "function", "function": {"name": FUNCTION}});
        }
        Form::Text => {}
    }
    body
}
