//! What the stubbed model servers share: which models they serve, what those say next, and how their streams go wrong.
//!
//! [`super::Ollama`] and [`super::OpenAi`] are each a [`ModelServer`] with the shapes of its API.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::Value;

use super::flow::{Ending, Flow};
use super::request::{Received, Reply};
use super::server::{Fault, Stub};

/// Thinks of the content of an answer, given the request's body.
type Responder = Box<dyn Fn(&Value) -> String + Send>;

/// A stub that answers chats with what the test has told it to say.
pub struct ModelServer {
    stub: Stub,
    script: Arc<Mutex<Script>>,
}

impl std::fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let script = lock(&self.script);
        f.debug_struct("ModelServer")
            .field("stub", &self.stub)
            .field("models", &script.models)
            .field("queue", &script.queue)
            .finish_non_exhaustive()
    }
}

/// How a reply goes wrong after its head. What happens before it, [`Stub`] can do: hold, fail, reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// The stream ends in the middle, in order, as if that were all.
    Truncated,
    /// Nothing comes after the head.
    HangsAtOnce,
    /// Nothing comes after the middle.
    Hangs,
    /// The connection is cut in the middle.
    Cut,
    /// The last word comes again and again.
    Endless,
    /// The whole reply is one JSON object, though a stream was asked for.
    Unstreamed,
    /// Instead of the second half comes an error.
    ErrorInside,
}

/// What the test has said. Contents in the queue go first, then the responder is asked.
pub(super) struct Script {
    pub(super) models: Vec<String>,
    queue: VecDeque<String>,
    responder: Option<Responder>,
    misbehaviours: VecDeque<Misbehaviour>,
    pub(super) pause: Duration,
    /// Parts of a request that are refused: a path, and a value where only that is.
    unknown: Vec<String>,
}

impl Script {
    /// The first part of `request` that the test wants refused.
    pub(super) fn refuses_in(&self, request: &Value) -> Option<&str> {
        let has = |part: &&String| {
            let (path, wanted) =
                part.split_once('=').map_or((part.as_str(), None), |(path, is)| (path, Some(is)));
            let found = request.pointer(&format!("/{}", path.replace('.', "/")));
            found.is_some_and(|found| wanted.is_none_or(|wanted| *found == wanted))
        };
        self.unknown.iter().find(has).map(String::as_str)
    }

    pub(super) fn next_misbehaviour(&self) -> Option<Misbehaviour> {
        self.misbehaviours.front().copied()
    }

    /// What is to go wrong with this reply.
    pub(super) fn misbehaviour(&mut self) -> Option<Misbehaviour> {
        self.misbehaviours.pop_front()
    }

    /// The content for this request; nothing when the test has not said what to answer.
    pub(super) fn next(&mut self, request: &Value) -> Option<String> {
        self.queue.pop_front().or_else(|| self.responder.as_ref().map(|respond| respond(request)))
    }
}

impl ModelServer {
    /// Starts a server that serves `model` and answers in the shapes of `answer` and `fault`.
    pub(super) fn start(
        name: &str,
        model: &str,
        answer: fn(&mut Script, &Received) -> Reply,
        fault: Fault,
    ) -> io::Result<Self> {
        let models = vec![model.to_owned()];
        let script = Arc::new(Mutex::new(Script {
            models,
            queue: VecDeque::new(),
            responder: None,
            misbehaviours: VecDeque::new(),
            pause: Duration::ZERO,
            unknown: Vec::new(),
        }));
        let asked = script.clone();
        let answer = move |request: &Received| answer(&mut lock(&asked), request);
        Ok(Self { stub: Stub::start(name, Box::new(answer), fault)?, script })
    }

    /// Replaces the models that it serves. Ollama's carry their tag: `llama3:latest`.
    pub fn set_models(&self, models: &[&str]) {
        lock(&self.script).models = models.iter().map(ToString::to_string).collect();
    }

    /// The content of the next answer that has none yet. May be called several times, in order.
    pub fn say(&self, content: impl Into<String>) {
        lock(&self.script).queue.push_back(content.into());
    }

    /// What goes wrong with the next reply that has a content. May be called several times, in order.
    pub fn misbehave(&self, how: Misbehaviour) {
        lock(&self.script).misbehaviours.push_back(how);
    }

    pub(super) fn does_not_know(&self, part: &str) {
        lock(&self.script).unknown.push(part.to_owned());
    }

    /// The pause before every chunk of a stream.
    pub fn pause_between_chunks(&self, pause: Duration) {
        lock(&self.script).pause = pause;
    }

    /// Answers whatever has not been [said](Self::say), given the request's body. A stub that was told
    /// neither answers 500.
    pub fn respond_with(&self, responder: impl Fn(&Value) -> String + Send + 'static) {
        lock(&self.script).responder = Some(Box::new(responder));
    }
}

impl Deref for ModelServer {
    type Target = Stub;
    fn deref(&self) -> &Stub {
        &self.stub
    }
}

/// The stream of a reply whose `events` are `text` on the wire, each event whole. They are cut anywhere, also in the
/// middle of a character: a client must not mind.
pub(super) fn flow(
    content_type: &'static str,
    events: &[String],
    end: &[String],
    error: &str,
    script: &mut Script,
) -> Flow {
    let how = script.misbehaviour();
    let half = events.len().div_ceil(2);
    let (said, ending) = match how {
        None | Some(Misbehaviour::Unstreamed) => ([events, end].concat(), Ending::Close),
        Some(Misbehaviour::Truncated) => (events[..half].to_vec(), Ending::Close),
        Some(Misbehaviour::HangsAtOnce) => (Vec::new(), Ending::Hang),
        Some(Misbehaviour::Hangs) => (events[..half].to_vec(), Ending::Hang),
        Some(Misbehaviour::Cut) => (events[..half].to_vec(), Ending::Cut),
        Some(Misbehaviour::Endless) => (events.to_vec(), Ending::Repeat),
        Some(Misbehaviour::ErrorInside) => ([&events[..half], &[error.to_owned()]].concat(), Ending::Close),
    };
    let chunks = match ending {
        // Whole events, so that the last one can be repeated.
        Ending::Repeat => said.into_iter().map(Bytes::from).collect(),
        _ => cut(said.concat().as_bytes()),
    };
    Flow { content_type, chunks, ending, pause: script.pause }
}

/// Cuts bytes into many small chunks, or into larger ones where they are many.
fn cut(wire: &[u8]) -> VecDeque<Bytes> {
    const SMALLEST: usize = 13;
    const MOST: usize = 400;
    wire.chunks(SMALLEST.max(wire.len() / MOST)).map(Bytes::copy_from_slice).collect()
}

/// A text as the pieces that a model says it in: words with what follows them; long ones in parts.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    const LONGEST: usize = 4_096;
    let mut pieces = Vec::new();
    for mut word in text.split_inclusive(' ') {
        while word.len() > LONGEST {
            let (part, rest) = word.split_at(word.floor_char_boundary(LONGEST));
            pieces.push(part);
            word = rest;
        }
        pieces.push(word);
    }
    pieces
}

/// A stand-in for a token count: words. Tests check that it arrives, not what it is.
pub(super) fn tokens(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The texts of an embedding request: one, or a list.
pub(super) fn inputs(request: &Value) -> Vec<String> {
    match &request["input"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A vector of a text in which words count and nothing else: texts that share words lie near each other.
pub(super) fn vector(text: &str) -> Vec<f32> {
    const FIGURES: usize = 64;
    let mut figures = vec![0.0_f32; FIGURES];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let place =
            word.to_lowercase().bytes().fold(7_usize, |sum, byte| sum * 31 % 65_521 + usize::from(byte));
        figures[place % FIGURES] += 1.0;
    }
    figures
}

/// The words of all messages of a chat request.
pub(super) fn prompt_tokens(request: &Value) -> usize {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().filter_map(|message| message["content"].as_str()).map(tokens).sum()
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}
