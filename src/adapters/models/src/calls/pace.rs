//! The clock of one call: until its first token, between tokens, and all in all. Every call streams, so that each of
//! the three can be watched. [`crate::providers`] wait with it.

use std::future::Future;
use std::time::Duration;

use callboard_ports::model::ModelError;
use tokio::time::Instant;

use crate::providers::http;

/// How long a provider may take for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub first_token: Duration,
    pub between_tokens: Duration,
    /// One call, whatever time there is.
    pub total: Duration,
}

/// One call's time.
#[derive(Debug)]
pub(crate) struct Pace {
    provider: &'static str,
    patience: Patience,
    began: Instant,
    until: Instant,
    /// When the last token came.
    heard: Option<Instant>,
}

impl Pace {
    /// Starts now and ends at `until`, or when the provider's patience does.
    pub fn begin(provider: &'static str, patience: Patience, until: Instant) -> Self {
        let began = Instant::now();
        Self { provider, patience, began, until: until.min(began + patience.total), heard: None }
    }

    /// A token has come. What is no token, such as a comment that keeps the connection open, is not told here.
    pub fn heard(&mut self) {
        self.heard = Some(Instant::now());
    }

    /// Waits for `work` for as long as may be.
    pub async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, ModelError> {
        let (limit, what) = match self.heard {
            None => (self.began + self.patience.first_token, "first token"),
            Some(last) => (last + self.patience.between_tokens, "further token"),
        };
        tokio::time::timeout_at(limit.min(self.until), work).await.map_err(|_| {
            let whole = limit >= self.until;
            let what = if whole { "whole answer" } else { what };
            let within = match (whole, self.heard) {
                (true, _) => self.until - self.began,
                (false, None) => self.patience.first_token,
                (false, Some(_)) => self.patience.between_tokens,
            };
            http::error(self.provider, "timeout", format!("no {what} within {} ms", within.as_millis()), true)
        })
    }
}
