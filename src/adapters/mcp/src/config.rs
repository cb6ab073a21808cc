//! What an operator may set about MCP servers, as `mcp.NAME.KEY`; [`crate::settings`] judges the values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// `mcp.NAME`: one server, started as a process (`command`) or reached over HTTP (`url`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The program that speaks MCP on its standard input and output.
    pub command: Option<String>,
    pub args: Vec<String>,
    /// All that the process gets of an environment, beside [`crate::INHERITED`].
    pub env: BTreeMap<String, Secret>,
    /// The process's working folder; Callboard's own unless set.
    pub cwd: Option<PathBuf>,
    /// A server that speaks streamable HTTP.
    pub url: Option<String>,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// One attempt at a call, milliseconds.
    pub timeout_ms: Option<u64>,
    /// From the start of the process to its list of tools, milliseconds.
    pub start_timeout_ms: Option<u64>,
    /// The worker pool that runs its tools; `mcp-NAME` unless set.
    pub pool: Option<String>,
    /// Calls at once in one process of Callboard, all its tools together.
    pub concurrency: Option<usize>,
    /// The only tools of it that are offered, by the server's own names.
    pub tools: Option<Vec<String>>,
    /// The effect class of all its tools, whatever it says about them.
    pub effect: Option<String>,
    /// Whether a person has to approve each step that calls one of its tools.
    pub approval: Option<bool>,
    /// How long such a step waits for its approval, milliseconds.
    pub approval_timeout_ms: Option<u64>,
    /// The effect class of single tools, by the server's own names.
    pub effects: BTreeMap<String, String>,
}
