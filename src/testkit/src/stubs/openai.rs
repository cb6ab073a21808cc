//! An OpenAI-compatible model server as a stub: its list of models and non-streamed chat completions.
//!
//! One of the services of [`super`]; [`super::model`] holds what it serves and says. Any API key will do; the
//! request keeps the `authorization` header for the test to look at. Its API begins at `/v1`.

use std::io;
use std::ops::Deref;

use serde_json::{Value, json};

use super::model::{ModelServer, Script, inputs, prompt_tokens, tokens, vector};
use super::request::{Received, Reply};

/// A running model server with the model `gpt-4o-mini` and nothing to say yet.
#[derive(Debug)]
pub struct OpenAi(ModelServer);

impl OpenAi {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        ModelServer::start("openai", "gpt-4o-mini", answer, refusal).map(Self)
    }
}

impl Deref for OpenAi {
    type Target = ModelServer;
    fn deref(&self) -> &ModelServer {
        &self.0
    }
}

fn answer(script: &mut Script, request: &Received) -> Reply {
    match request.route() {
        ("GET", "/v1/models") => Reply::ok(models(&script.models)),
        ("POST", "/v1/chat/completions") => complete(script, &request.json()),
        ("POST", "/v1/embeddings") => embeddings(&request.json()),
        (method, path) => error(404, &format!("Unknown request URL: {method} {path}"), "unknown_url"),
    }
}

fn models(served: &[String]) -> Value {
    let entry =
        |id: &String| json!({"id": id, "object": "model", "created": 1_721_172_741, "owned_by": "stub"});
    json!({"object": "list", "data": served.iter().map(entry).collect::<Vec<_>>()})
}

fn complete(script: &mut Script, request: &Value) -> Reply {
    let model = request["model"].as_str().unwrap_or_default();
    if !script.models.iter().any(|known| known == model) {
        return error(404, &format!("The model `{model}` does not exist"), "model_not_found");
    }
    if request["stream"] == json!(true) {
        return error(400, "the stub does not stream", "unsupported_value");
    }
    let Some(content) = script.next(request) else {
        return error(500, "the test has not said what the stub answers", "nothing_scripted");
    };
    let (asked, answered) = (prompt_tokens(request), tokens(&content));
    Reply::ok(json!({
        "id": "chatcmpl-stub", "object": "chat.completion", "created": 1_795_176_000, "model": model,
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": content, "refusal": null},
            "logprobs": null, "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }))
}

/// Backwards, as it may: the index says which text a vector belongs to.
fn embeddings(request: &Value) -> Reply {
    let entry = |(index, text): (usize, &String)| json!({"object": "embedding", "index": index, "embedding": vector(text)});
    let data: Vec<Value> = inputs(request).iter().enumerate().rev().map(entry).collect();
    Reply::ok(json!({"object": "list", "model": request["model"], "data": data}))
}

fn error(status: u16, message: &str, code: &str) -> Reply {
    Reply::new(status, error_body(status, message, code))
}

fn error_body(status: u16, message: &str, code: &str) -> Value {
    let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

fn refusal(status: u16) -> Value {
    error_body(status, &format!("the stub was told to answer {status}"), "told_to_fail")
}
