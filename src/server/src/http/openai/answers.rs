//! What comes of a chat completion request: the completion, or its chunks.
//!
//! A client of these cannot take back what it has. An answer that begins anew goes on where it agrees with what was sent, and
//! otherwise ends in the error `answer_restarted`: the same request again gets it whole.

use std::collections::VecDeque;
use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};

use super::question::Question;
use super::refusal::Refusal;
use crate::http::send::Identity;
use crate::http::stream::feed::{Feed, Item};
use crate::http::stream::sse;
use crate::http::stream::story::{Told, Usage};

/// What all chunks of one completion share.
pub struct Completion {
    id: String,
    created_s: i64,
    model: String,
    include_usage: bool,
}

fn written(usage: Usage) -> Value {
    let Usage { input_tokens, output_tokens } = usage;
    json!({
        "prompt_tokens": input_tokens, "completion_tokens": output_tokens,
        "total_tokens": input_tokens.saturating_add(output_tokens),
    })
}

impl Completion {
    pub fn new(identity: &Identity, question: &Question, now_ms: i64) -> Self {
        Self {
            id: format!("chatcmpl-{}", identity.command),
            created_s: now_ms / 1_000,
            model: question.query.agent.to_string(),
            include_usage: question.include_usage,
        }
    }

    pub fn whole(&self, answer: &str, usage: Usage) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created_s, "model": self.model,
            "choices": [{
                "index": 0, "message": { "role": "assistant", "content": answer, "refusal": null },
                "logprobs": null, "finish_reason": "stop",
            }],
            "usage": written(usage),
        })
    }

    fn chunk(&self, choices: &Value, usage: Option<Usage>) -> String {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created_s, "model": self.model,
            "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = usage.map_or(Value::Null, written);
        }
        format!("data: {chunk}\n\n")
    }

    fn delta(&self, delta: &Value, finish: Option<&str>) -> String {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish });
        self.chunk(&json!([choice]), None)
    }
}

/// The answer as it has been sent, and what is known of the one that began anew.
#[derive(Default)]
struct Sent {
    text: String,
    /// Of the newest epoch, while it has not caught up with what was sent.
    again: Option<String>,
}

impl Sent {
    /// What of a piece is to be sent.
    fn piece(&mut self, piece: &str) -> Option<String> {
        let Some(again) = &mut self.again else {
            self.text.push_str(piece);
            return Some(piece.to_owned());
        };
        again.push_str(piece);
        let new = again.strip_prefix(self.text.as_str()).map(str::to_owned)?;
        self.text.push_str(&new);
        self.again = None;
        Some(new)
    }

    fn restart(&mut self) {
        self.again = Some(String::new());
    }

    /// Whether everything that was sent is part of the answer.
    fn is_sound(&self) -> bool {
        self.again.as_ref().is_none_or(|again| *again == self.text)
    }
}

struct Chunks {
    feed: Feed,
    completion: Completion,
    sent: Sent,
    ready: VecDeque<String>,
    over: bool,
}

/// The chunks as events.
pub fn stream(feed: Feed, completion: Completion) -> HttpResponse {
    let first = completion.delta(&json!({ "role": "assistant", "content": "", "refusal": null }), None);
    let chunks =
        Chunks { feed, completion, sent: Sent::default(), ready: VecDeque::from([first]), over: false };
    let mut response = HttpResponse::Ok();
    response.content_type(sse::MEDIA);
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header(("X-Accel-Buffering", "no"));
    response.streaming(events(chunks))
}

fn events(chunks: Chunks) -> impl Stream<Item = Result<Bytes, Infallible>> {
    unfold(chunks, |mut chunks| async move { Some((Ok(Bytes::from(chunks.next().await?)), chunks)) })
}

impl Chunks {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            if self.over {
                return None;
            }
            // A feed that breaks off leaves the stream without its end, which clients notice.
            let item = self.feed.next().await?;
            self.write(item);
        }
    }

    fn write(&mut self, item: Item) {
        match item {
            Item::Ping => self.ready.push_back(": ping\n\n".to_owned()),
            Item::Restarted { .. } => self.sent.restart(),
            Item::Piece { text, .. } => {
                if let Some(new) = self.sent.piece(&text).filter(|new| !new.is_empty()) {
                    self.ready.push_back(self.completion.delta(&json!({ "content": new }), None));
                }
            }
            Item::Told { told: Told::Ended(turn), .. } => {
                self.over = true;
                if turn.status != "answered" {
                    self.ready.push_back(format!("data: {}\n\n", Refusal::of_turn(&turn).body()));
                } else if self.sent.is_sound() {
                    self.end();
                } else {
                    self.ready.push_back(format!("data: {}\n\n", Refusal::restarted().body()));
                }
            }
            Item::Told { .. } => {}
        }
    }

    fn end(&mut self) {
        self.ready.push_back(self.completion.delta(&json!({}), Some("stop")));
        if self.completion.include_usage {
            let usage = self.feed.usage();
            self.ready.push_back(self.completion.chunk(&json!([]), Some(usage)));
        }
        self.ready.push_back("data: [DONE]\n\n".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::Sent;

    #[test]
    fn an_answer_that_begins_anew_goes_on_where_it_agrees() {
        let mut sent = Sent::default();
        assert_eq!(sent.piece("one ").as_deref(), Some("one "));
        assert_eq!(sent.piece("two").as_deref(), Some("two"));
        sent.restart();
        assert_eq!(sent.piece("one t"), None);
        assert!(!sent.is_sound());
        assert_eq!(sent.piece("wo three").as_deref(), Some(" three"));
        assert_eq!(sent.piece("!").as_deref(), Some("!"));
        assert!(sent.is_sound());
        assert_eq!(sent.text, "one two three!");
    }

    #[test]
    fn an_answer_that_says_something_else_is_not_sound() {
        let mut sent = Sent::default();
        sent.piece("one");
        sent.restart();
        assert_eq!(sent.piece("other and longer"), None);
        assert!(!sent.is_sound());
        sent.restart();
        assert_eq!(sent.piece("one").as_deref(), Some(""));
        assert!(sent.is_sound());
    }
}
