//! One chat with Ollama: the request, and its reply as lines of JSON.
//!
//! [`super::Ollama`] sends the one and hands the other here.

use std::sync::Arc;

use futures_util::StreamExt;
use reqwest::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::PROVIDER;
use crate::calls::ear::Ear;
use crate::calls::pace::Pace;
use crate::prompt::{Message, Prompt};
use crate::providers::Heard;
use crate::providers::http::{self, Failure};
use crate::providers::lines::Lines;
use crate::schema;

/// How a plan's form is demanded, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    /// A JSON Schema with every tool's arguments.
    #[default]
    Full,
    /// Any JSON.
    Json,
    /// Nothing; the JSON is looked for in the text.
    Text,
}

impl Form {
    /// What to try after this refusal, where it is the form that was refused: an old server, or a schema that is too much
    /// for it.
    pub fn simpler(self, failure: &Failure) -> Option<Self> {
        let words = failure.error.message.as_str();
        let about_form = ["format", "schema", "grammar"].iter().any(|word| words.contains(word));
        match (failure.status?, self) {
            (400 | 422 | 500 | 501, Self::Full) if about_form => Some(Self::Json),
            (400 | 422 | 500 | 501, Self::Json) if about_form => Some(Self::Text),
            _ => None,
        }
    }
}

/// A request; the schema in it keeps its order.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    stream: bool,
    options: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Box<RawValue>>,
}

pub(super) fn body<'a>(model: &'a str, prompt: &'a Prompt, form: Form, max_tokens: u32) -> Body<'a> {
    let max_tokens = prompt.max_tokens.map_or(max_tokens, |wanted| wanted.min(max_tokens));
    let options = json!({
        "temperature": 0.1, "num_ctx": context_tokens(prompt, max_tokens), "num_predict": max_tokens,
    });
    let format = prompt.plan.as_ref().and_then(|plan| match form {
        Form::Full => Some(schema::full(plan)),
        Form::Json => Some(schema::raw("\"json\"".to_owned())),
        Form::Text => None,
    });
    Body { model, messages: &prompt.messages, stream: true, options, format }
}

/// Ollama silently cuts a prompt that is longer than its context, from the front: the instructions would go first.
fn context_tokens(prompt: &Prompt, max_tokens: u32) -> u64 {
    /// Few tokens are shorter than three bytes, in any language.
    const BYTES_PER_TOKEN: u64 = 3;
    let bytes: u64 = prompt.messages.iter().map(|message| message.content.len() as u64).sum();
    (bytes / BYTES_PER_TOKEN + u64::from(max_tokens)).next_power_of_two().clamp(8_192, 65_536)
}

/// Tells `ear` the reply.
pub(super) async fn hear(
    response: Response,
    model: &Arc<str>,
    pace: &mut Pace,
    ear: &mut Ear,
) -> Result<Heard, Failure> {
    let mut heard = Heard {
        model: model.clone(),
        asked_model: model.clone(),
        input_tokens: None,
        output_tokens: None,
        unfinished: false,
        pause: None,
    };
    let mut lines = Lines::default();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = pace.wait(chunks.next()).await? {
        let chunk = chunk.map_err(|failed| http::transport(PROVIDER, &failed))?;
        if !lines.push(&chunk) {
            return Err(http::error(PROVIDER, "bad_response", "it sent a line without end", false).into());
        }
        while let Some(line) = lines.next() {
            if !line_of(&line, &mut heard, pace, ear)? {
                return Ok(heard);
            }
        }
    }
    match lines.rest() {
        Some(line) if !line_of(&line, &mut heard, pace, ear)? => Ok(heard),
        _ => Err(http::error(PROVIDER, "unavailable", "its stream ended before the model did", true).into()),
    }
}

/// Takes a line; false when it was the last, or the ear has heard enough.
fn line_of(line: &str, heard: &mut Heard, pace: &mut Pace, ear: &mut Ear) -> Result<bool, Failure> {
    if line.trim().is_empty() {
        return Ok(true);
    }
    let said: Value = serde_json::from_str(line)
        .map_err(|_| http::error(PROVIDER, "bad_response", "a line of its reply is not JSON", true))?;
    if !said["error"].is_null() {
        let message = format!("it broke off: {}", http::said(&said, None));
        return Err(http::error(PROVIDER, "unavailable", message, true).into());
    }
    pace.heard();
    let more = said["message"]["content"].as_str().is_none_or(|piece| ear.hear(piece));
    if said["done"] == true {
        heard.input_tokens = said["prompt_eval_count"].as_u64();
        heard.output_tokens = said["eval_count"].as_u64();
        heard.unfinished = said["done_reason"] == "length";
        return Ok(false);
    }
    Ok(more)
}
