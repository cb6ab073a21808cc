//! What the stubbed model servers share: which models they serve and what those say next.
//!
//! [`super::Ollama`] and [`super::OpenAi`] are each a [`ModelServer`] with the shapes of its API.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

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

/// What the test has said. Contents in the queue go first, then the responder is asked.
pub(super) struct Script {
    pub(super) models: Vec<String>,
    queue: VecDeque<String>,
    responder: Option<Responder>,
}

impl Script {
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
        let script = Arc::new(Mutex::new(Script { models, queue: VecDeque::new(), responder: None }));
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
