//! A real language model: it follows a schema, counts its tokens, and comes back after a kill.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use callboard_testkit::real_model::{self, MODEL_NAME, Options, RealModel};
use callboard_testkit::wait;
use serde_json::{Value, json};

/// Beside a build, a token takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(120);

fn post(model: &RealModel, body: &Value) -> TcpStream {
    let address = model.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

fn complete(model: &RealModel, body: &Value) -> Value {
    let mut answer = String::new();
    post(model, body).read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn picks_a_tool() -> Value {
    json!({
        "messages": [{"role": "user", "content": "Which tool tells the time? Reply as JSON."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "choice", "strict": true, "schema": {
            "type": "object",
            "properties": {
                "tool": {"type": "string", "enum": ["clock", "scale"]},
                "why": {"type": "string", "maxLength": 40},
            },
            "required": ["tool", "why"],
            "additionalProperties": false,
        }}},
    })
}

#[test]
fn a_real_model_keeps_to_a_schema_counts_tokens_and_comes_back_after_a_kill() {
    if !real_model::require() {
        return;
    }
    let mut model = RealModel::start(&Options::default()).unwrap();
    let answer = complete(&model, &picks_a_tool());
    assert_eq!(answer["model"], MODEL_NAME);
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let choice: Value = serde_json::from_str(content).unwrap();
    assert!(["clock", "scale"].contains(&choice["tool"].as_str().unwrap()), "{choice}");
    assert!(choice["why"].as_str().unwrap().chars().count() <= 40, "{choice}");
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 10, "{answer}");
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 4, "{answer}");

    let long = json!({"stream": true, "messages": [{"role": "user", "content": "Tell me a long story about the sea."}]});
    let mut stream = BufReader::new(post(&model, &long));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "{}", model.process().tail());
    }
    wait::until(PATIENCE, "the model to be at work", || model.is_busy()).unwrap();
    model.kill().unwrap();
    let mut rest = Vec::new();
    // Broken off: by an error, or by an end without the last line.
    let _ = stream.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"), "the story ended before the kill");
    assert!(!model.is_busy());

    model.restart().unwrap();
    let again = complete(&model, &picks_a_tool());
    assert_eq!(again["choices"][0]["message"]["content"].as_str(), Some(content), "one prompt, one answer");
}
