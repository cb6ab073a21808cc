//! What comes back from `/chat/completions`: server-sent events, or one JSON object from a server that does not stream.
//! [`super::body`] is what was sent.

use std::sync::Arc;

use futures_util::StreamExt;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::PROVIDER;
use crate::calls::ear::Ear;
use crate::calls::pace::Pace;
use crate::calls::rate;
use crate::providers::Heard;
use crate::providers::http::{self, Failure, MAX_BODY_BYTES};
use crate::providers::lines::{Lines, data};
use crate::secret::Secret;

struct Hearing<'a> {
    heard: Heard,
    /// The model has said why it ended.
    ended: bool,
    key: Option<&'a Secret>,
}

/// Tells `ear` the reply.
pub(super) async fn hear(
    response: Response,
    model: &Arc<str>,
    key: Option<&Secret>,
    pace: &mut Pace,
    ear: &mut Ear,
) -> Result<Heard, Failure> {
    let heard = Heard {
        model: model.clone(),
        asked_model: model.clone(),
        input_tokens: None,
        output_tokens: None,
        unfinished: false,
        pause: rate::exhausted(response.headers()),
    };
    let mut hearing = Hearing { heard, ended: false, key };
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        let reply = pace.wait(http::read(PROVIDER, response, MAX_BODY_BYTES, key)).await??;
        hearing.event(&reply, "message", ear)?;
        // It came whole, whether it says why it ended or not.
        return Ok(hearing.heard);
    }
    let mut lines = Lines::default();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = pace.wait(chunks.next()).await? {
        let chunk = chunk.map_err(|failed| http::transport(PROVIDER, &failed))?;
        if !lines.push(&chunk) {
            return Err(http::error(PROVIDER, "bad_response", "it sent a line without end", false).into());
        }
        while let Some(line) = lines.next() {
            match hearing.line(&line, pace, ear)? {
                Next::More => {}
                Next::Done => return hearing.end(),
                Next::Enough => return Ok(hearing.heard),
            }
        }
    }
    if let Some(line) = lines.rest() {
        hearing.line(&line, pace, ear)?;
    }
    hearing.end()
}

/// Whether the model gets on: it speaks, thinks or ends. The first event of a stream only opens it.
fn is_token(choice: &Value) -> bool {
    let delta = &choice["delta"];
    let speaks = ["content", "reasoning_content", "reasoning", "refusal"]
        .iter()
        .any(|part| delta[*part].as_str().is_some_and(|text| !text.is_empty()));
    speaks || delta["tool_calls"].is_array() || choice["finish_reason"].is_string()
}

enum Next {
    More,
    /// The server says that this was all.
    Done,
    /// The ear has heard enough.
    Enough,
}

impl Hearing<'_> {
    fn line(&mut self, line: &str, pace: &mut Pace, ear: &mut Ear) -> Result<Next, Failure> {
        let Some(payload) = data(line) else { return Ok(Next::More) };
        if payload == "[DONE]" {
            // A server that says so has ended in order, whatever else it left out.
            self.ended = true;
            return Ok(Next::Done);
        }
        let event: Value = serde_json::from_str(payload)
            .map_err(|_| http::error(PROVIDER, "bad_response", "an event of its stream is not JSON", true))?;
        if is_token(&event["choices"][0]) {
            pace.heard();
        }
        Ok(if self.event(&event, "delta", ear)? { Next::More } else { Next::Enough })
    }

    /// A chunk's `delta` or a whole reply's `message`; false when the ear has heard enough.
    fn event(&mut self, event: &Value, part: &str, ear: &mut Ear) -> Result<bool, Failure> {
        if event.get("error").is_some_and(|error| !error.is_null()) {
            let words = http::said(event, self.key);
            return Err(http::error(PROVIDER, "unavailable", format!("it broke off: {words}"), true).into());
        }
        // A server may answer with another model than was asked for, or a dated version of it.
        if let Some(model) =
            event["model"].as_str().filter(|model| !model.is_empty() && **model != *self.heard.model)
        {
            self.heard.model = Arc::from(model);
        }
        if let Some(tokens) = event["usage"]["prompt_tokens"].as_u64() {
            self.heard.input_tokens = Some(tokens);
            self.heard.output_tokens = event["usage"]["completion_tokens"].as_u64();
        }
        let choice = &event["choices"][0];
        match choice["finish_reason"].as_str() {
            None => {}
            Some("content_filter") => {
                return Err(
                    http::error(PROVIDER, "refused", "its content filter cut the reply", false).into()
                );
            }
            Some(reason) => {
                self.ended = true;
                self.heard.unfinished = reason == "length";
            }
        }
        let said = &choice[part];
        if said["refusal"].as_str().is_some_and(|refusal| !refusal.is_empty()) {
            return Err(http::error(PROVIDER, "refused", "the model refused to answer", false).into());
        }
        let calls = said["tool_calls"].as_array().into_iter().flatten();
        let arguments = calls.filter_map(|call| call["function"]["arguments"].as_str());
        Ok(said["content"].as_str().into_iter().chain(arguments).all(|piece| ear.hear(piece)))
    }

    fn end(self) -> Result<Heard, Failure> {
        if self.ended {
            return Ok(self.heard);
        }
        Err(http::error(PROVIDER, "unavailable", "its stream ended before the model did", true).into())
    }
}
