//! How the system shows itself: every actor answers [`Show`]; `metrics` counts.

mod families;
mod metrics;

use std::collections::BTreeMap;

use actix::Message;
use serde::{Deserialize, Serialize};

use crate::supervise::kind_of;

pub use metrics::{MetricKind, MetricLine, Metrics};

/// "Show yourself".
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "ActorView")]
pub struct Show;

/// A mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MailboxView {
    /// Messages that wait, where the actor knows.
    pub depth: usize,
    pub capacity: usize,
}

/// An actor and what hangs below it: the inspection endpoint is this tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActorView {
    pub path: String,
    pub kind: &'static str,
    pub state: String,
    pub mailbox: MailboxView,
    pub restarts: u32,
    pub endings: BTreeMap<String, u32>,
    /// What it has in hand, in its own words.
    pub work: serde_json::Value,
    pub children: Vec<ActorView>,
}

impl ActorView {
    #[must_use]
    pub fn new(path: &str, kind: &'static str, state: impl Into<String>, capacity: usize) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            state: state.into(),
            mailbox: MailboxView { depth: 0, capacity },
            restarts: 0,
            endings: BTreeMap::new(),
            work: serde_json::Value::Null,
            children: Vec::new(),
        }
    }

    /// An actor that does not answer.
    #[must_use]
    pub fn silent(path: &str) -> Self {
        Self::absent(path, "silent")
    }

    /// An actor that ended and is being started again.
    #[must_use]
    pub fn restarting(path: &str) -> Self {
        Self::absent(path, "restarting")
    }

    fn absent(path: &str, state: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        Self::new(path, kind_of(name), state, 0)
    }
}

/// How to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillHow {
    /// The actor panics in its handler.
    Panic,
    /// It stops in order.
    Stop,
    /// Its task is dropped.
    Abort,
    /// Its mailbox stops: its supervisor notices that its heartbeat is missing.
    Wedge,
}
