//! A line to a provider: one call through its guard, on the models' runtime, within its time, heard by an ear. A 429
//! that ends soon is waited for once.
//!
//! [`crate::router`] calls; [`crate::providers`] are at the other end.

use std::sync::Arc;

use callboard_domain::event::Author;
use callboard_ports::model::ModelError;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::ear::{Ear, Watched};
use super::guard::Guard;
use super::meter::{Meter, Reading};
use super::pace::Pace;
use crate::prompt::Prompt;
use crate::providers::{ChatModel, http};

/// One call.
#[derive(Clone)]
pub(crate) struct Asking {
    pub prompt: Arc<Prompt>,
    /// The model, where the agent names one; else the provider's own.
    pub model: Option<Arc<str>>,
    pub max_bytes: usize,
    pub watched: Option<Arc<Watched>>,
    pub until: Instant,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Completion {
    pub text: String,
    /// It did not end by itself.
    pub cut: bool,
    pub author: Author,
    /// As it was asked for, without a date that the server adds.
    pub asked_model: Arc<str>,
    pub latency_ms: u64,
}

/// Why it said nothing.
#[derive(Debug, Clone)]
pub(crate) struct Silence {
    pub error: ModelError,
    pub model: Option<Arc<str>>,
    pub latency_ms: u64,
}

#[derive(Clone)]
pub(crate) struct Line {
    inner: Arc<Inner>,
    runtime: Handle,
}

struct Inner {
    provider: Arc<dyn ChatModel>,
    guard: Guard,
    meter: Meter,
}

impl Line {
    pub fn new(provider: Arc<dyn ChatModel>, guard: Guard, runtime: Handle) -> Self {
        Self { inner: Arc::new(Inner { provider, guard, meter: Meter::default() }), runtime }
    }

    pub fn provider(&self) -> &'static str {
        self.inner.provider.name()
    }

    /// The most that one call may take.
    pub fn timeout(&self) -> std::time::Duration {
        self.inner.provider.patience().total
    }

    pub async fn call(&self, asking: Asking) -> Result<Completion, Silence> {
        let (began, model) = (Instant::now(), asking.model.clone());
        let inner = self.inner.clone();
        let called = http::run(&self.runtime, self.provider(), async move { inner.call(asking).await }).await;
        let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let called = match called.and_then(|called| called) {
            Ok(completion) => Ok(Completion { latency_ms, ..completion }),
            Err(error) => {
                let model = model.or_else(|| self.inner.provider.model());
                Err(Silence { error, model, latency_ms })
            }
        };
        self.inner.meter.count(&called);
        called
    }

    /// What its calls came to so far.
    pub fn reading(&self) -> Reading {
        self.inner.meter.read(self.provider(), self.inner.guard.is_open())
    }
}

impl Inner {
    async fn call(&self, asking: Asking) -> Result<Completion, ModelError> {
        match self.attempt(&asking).await {
            Err(error) if error.kind == "rate_limited" => {
                // Entering waits for a pause that ends soon, and refuses otherwise.
                self.attempt(&asking).await.map_err(|second| {
                    let message = format!("{}; {}", error.message, second.message);
                    if second.kind == "rate_limited" { ModelError { message, ..second } } else { second }
                })
            }
            first => first,
        }
    }

    async fn attempt(&self, asking: &Asking) -> Result<Completion, ModelError> {
        let pass = self.guard.enter(asking.until).await?;
        let mut pace = Pace::begin(self.provider.name(), self.provider.patience(), asking.until);
        let mut ear = Ear::new(asking.max_bytes, asking.watched.clone());
        let heard = match self.provider.chat(asking, &mut pace, &mut ear).await {
            Ok(heard) => heard,
            Err(failure) => {
                pass.failed(&failure.error, failure.retry_after);
                return Err(failure.error);
            }
        };
        pass.succeeded(heard.pause);
        if heard.unfinished {
            ear.unfinished();
        }
        let (text, cut) = ear.finish();
        if text.is_empty() {
            return Err(http::error(self.provider.name(), "bad_response", "its reply has no content", true));
        }
        let author = Author {
            provider: Arc::from(self.provider.name()),
            model: Some(heard.model),
            input_tokens: heard.input_tokens,
            output_tokens: heard.output_tokens,
        };
        Ok(Completion { text, cut, author, asked_model: heard.asked_model, latency_ms: 0 })
    }
}
