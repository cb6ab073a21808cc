//! Language models behind some API: messages in, one text out, piece by piece. `ollama` and `openai` are such, `http` and
//! `lines` are what both are made of; [`crate::calls`] asks them.

pub(crate) mod embedder;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod ollama;
pub(crate) mod openai;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::calls::ear::Ear;
use crate::calls::line::Asking;
use crate::calls::pace::{Pace, Patience};
use http::Failure;

/// Of a reply, where nobody says less: a model in a loop must end.
pub(crate) const MAX_REPLY_TOKENS: u32 = 4_096;

/// What is known of a reply beside its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    /// The model that answered, as the server names it.
    pub model: Arc<str>,
    /// The one that was asked for.
    pub asked_model: Arc<str>,
    /// As the server counts them.
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// The model came to the end of its tokens before it came to its own.
    pub unfinished: bool,
    /// The server's limit is used up for this long.
    pub pause: Option<Duration>,
}

/// A language model behind some API.
pub(crate) trait ChatModel: Send + Sync {
    /// `ollama`, `openai`.
    fn name(&self) -> &'static str;
    fn patience(&self) -> Patience;
    /// The model that is asked when nobody names another, where that is known.
    fn model(&self) -> Option<Arc<str>>;
    /// Sends the prompt once and tells `ear` the reply.
    fn chat<'a>(
        &'a self,
        asking: &'a Asking,
        pace: &'a mut Pace,
        ear: &'a mut Ear,
    ) -> BoxFuture<'a, Result<Heard, Failure>>;
}
