//! Ollama as a stub: its list of models, chat (streamed or not) and embeddings.
//!
//! One of the services of [`super`]; [`super::model`] holds what it serves and says.

use std::io;
use std::ops::Deref;

use serde_json::{Value, json};

use super::model::{Misbehaviour, ModelServer, Script, flow, inputs, pieces, prompt_tokens, tokens, vector};
use super::request::{Received, Reply};

/// A running Ollama with the model `llama3:latest` and nothing to say yet.
#[derive(Debug)]
pub struct Ollama(ModelServer);

impl Ollama {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        ModelServer::start("ollama", "llama3:latest", answer, refusal).map(Self)
    }
}

impl Deref for Ollama {
    type Target = ModelServer;
    fn deref(&self) -> &ModelServer {
        &self.0
    }
}

fn answer(script: &mut Script, request: &Received) -> Reply {
    match request.route() {
        ("GET", "/api/tags") => Reply::ok(tags(&script.models)),
        ("GET", "/api/version") => Reply::ok(json!({"version": "0.13.0"})),
        ("POST", "/api/chat") => chat(script, &request.json()),
        ("POST", "/api/embed") => embed(&request.json()),
        _ => Reply::new(404, json!({"error": "not found"})),
    }
}

fn tags(installed: &[String]) -> Value {
    let entry = |name: &String| {
        json!({
            "name": name, "model": name, "modified_at": "2026-11-20T12:00:00Z", "size": 4_661_224_676_u64,
            "digest": "365c0bd3c000a25d28ddbf732fe1c6add414de7275464c4e4d1c3b5fcb5d8ad1",
            "details": {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
                        "parameter_size": "8.0B", "quantization_level": "Q4_0"},
        })
    };
    json!({"models": installed.iter().map(entry).collect::<Vec<_>>()})
}

fn chat(script: &mut Script, request: &Value) -> Reply {
    let model = request["model"].as_str().unwrap_or_default();
    let tagged = if model.contains(':') { model.to_owned() } else { format!("{model}:latest") };
    if !script.models.contains(&tagged) {
        return Reply::new(404, json!({"error": format!("model '{model}' not found")}));
    }
    let Some(content) = script.next(request) else {
        return Reply::new(500, json!({"error": "the test has not said what the stub answers"}));
    };
    let said = |content: &str, done: bool| {
        json!({
            "model": model, "created_at": "2026-11-20T12:00:00.000000Z",
            "message": {"role": "assistant", "content": content}, "done": done,
        })
    };
    let mut last = said("", true);
    for (field, value) in [
        ("done_reason", json!("stop")),
        ("total_duration", json!(1_000_000)),
        ("load_duration", json!(1_000)),
        ("prompt_eval_duration", json!(1_000)),
        ("eval_duration", json!(1_000)),
        ("prompt_eval_count", json!(prompt_tokens(request))),
        ("eval_count", json!(tokens(&content))),
    ] {
        last[field] = value;
    }
    // Ollama streams unless it is told not to.
    if request["stream"] == json!(false) || script.next_misbehaviour() == Some(Misbehaviour::Unstreamed) {
        script.misbehaviour();
        last["message"]["content"] = content.into();
        return Reply::ok(last);
    }
    let line = |value: Value| format!("{value}\n");
    let events: Vec<String> = pieces(&content).into_iter().map(|piece| line(said(piece, false))).collect();
    let error = line(json!({"error": "the stub broke"}));
    Reply::stream(flow("application/x-ndjson", &events, &[line(last)], &error, script))
}

fn embed(request: &Value) -> Reply {
    let vectors: Vec<Vec<f32>> = inputs(request).iter().map(|text| vector(text)).collect();
    Reply::ok(json!({"model": request["model"], "embeddings": vectors}))
}

fn refusal(status: u16) -> Value {
    json!({"error": format!("the stub was told to answer {status}")})
}
