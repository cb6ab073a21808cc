//! What a server is doing, for those who look: `callboard doctor`, `/admin/v1/actors`, log lines.

use std::sync::Arc;

use serde::Serialize;

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Being started or reached; its tools are not known yet, or those of its last life.
    Starting,
    /// Its tools can be called.
    Up,
    /// It ended or could not be started, and will be tried again.
    Down,
    /// As `Down`, with the restart budget used up: it is tried again, but seldom.
    GivenUp,
    /// Told to stop.
    Stopped,
}

impl Phase {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Down => "down",
            Self::GivenUp => "given_up",
            Self::Stopped => "stopped",
        }
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub name: Arc<str>,
    /// `stdio` or `http`.
    pub transport: &'static str,
    pub phase: Phase,
    /// Starts so far; each start is a generation, and answers of one are never taken for those of another.
    pub generation: u64,
    /// The server's process, where it is one of ours.
    pub pid: Option<u32>,
    /// Names of the tools that are offered.
    pub tools: Vec<Arc<str>>,
    /// What of it is not offered, and why.
    pub left_out: Vec<String>,
    /// Why it is down.
    pub problem: Option<String>,
    /// Calls under way…
    pub calls: usize,
    /// …and how many there may be.
    pub concurrency: usize,
}
