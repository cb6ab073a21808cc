//! An OpenAI-compatible model server as a stub: its list of models, chat completions (streamed or not) and embeddings.
//!
//! One of the services of [`super`]; [`super::model`] holds what it serves and says. Any API key will do; the
//! request keeps the `authorization` header for the test to look at. Its API begins at `/v1`.

use std::io;
use std::ops::Deref;

use serde_json::{Value, json};

use super::flow::Flow;
use super::model::{Misbehaviour, ModelServer, Script, flow, inputs, pieces, prompt_tokens, tokens, vector};
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

impl OpenAi {
    /// From now on a request that has `part` is answered with 400, as by a server that does not know it:
    /// `response_format.type=json_schema`, `stream_options`, `tools`.
    pub fn does_not_know(&self, part: &str) {
        self.0.does_not_know(part);
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
    if let Some(refused) = script.refuses_in(request) {
        return error(400, &format!("Unsupported parameter: {refused}"), "unsupported_parameter");
    }
    let Some(content) = script.next(request) else {
        return error(500, "the test has not said what the stub answers", "nothing_scripted");
    };
    if request["stream"] == json!(true) && script.next_misbehaviour() != Some(Misbehaviour::Unstreamed) {
        return Reply::stream(stream(script, request, model, &content));
    }
    script.misbehaviour();
    let message = match function(request) {
        None => json!({"role": "assistant", "content": content, "refusal": null}),
        Some(name) => json!({
            "role": "assistant", "content": null,
            "tool_calls": [{"id": "call-1", "type": "function", "function": {"name": name, "arguments": content}}],
        }),
    };
    Reply::ok(json!({
        "id": "chatcmpl-stub", "object": "chat.completion", "created": CREATED, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}],
        "usage": usage(request, &content),
    }))
}

const CREATED: u64 = 1_795_176_000;

/// The function whose call is forced.
fn function(request: &Value) -> Option<&str> {
    request["tool_choice"]["function"]["name"].as_str()
}

fn usage(request: &Value, content: &str) -> Value {
    let (asked, answered) = (prompt_tokens(request), tokens(content));
    json!({"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered})
}

/// Server-sent events: the role, each piece, the end, the usage where it was asked for, `[DONE]`.
fn stream(script: &mut Script, request: &Value, model: &str, content: &str) -> Flow {
    let chunk = |choices: Value| json!({"id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": CREATED, "model": model, "choices": choices});
    let delta = |delta: Value| event(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}])));
    let said = |piece: &str| match function(request) {
        None => delta(json!({"content": piece})),
        Some(_) => delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})),
    };
    let mut events =
        vec![": a comment\r\n\r\n".to_owned(), delta(json!({"role": "assistant", "content": ""}))];
    events.extend(pieces(content).into_iter().map(said));
    let mut end = vec![event(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])))];
    if request["stream_options"]["include_usage"] == json!(true) {
        let mut last = chunk(json!([]));
        last["usage"] = usage(request, content);
        end.push(event(&last));
    }
    end.push("data: [DONE]\n\n".to_owned());
    let error = event(&json!({"error": {"message": "the stub broke", "type": "server_error"}}));
    flow("text/event-stream", &events, &end, &error, script)
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
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
