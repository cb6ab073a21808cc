//! Servers, and one who calls their tools.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_mcp::{McpServers, ServerConfig, Settings, Status};
use callboard_ports::tool::{Call, Tool, ToolSpec};
use callboard_testkit::mcp::NODE;
use callboard_testkit::wait::until_async;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Generous: the machine may be busy with builds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The settings of a server, from JSON as the configuration gives it.
pub fn config(written: Value) -> ServerConfig {
    serde_json::from_value(written).unwrap()
}

/// The server that does as it is told, called `it`.
pub struct Scripted {
    pub servers: McpServers,
    folder: TempDir,
}

impl Scripted {
    /// Starts it in one of its modes, with more settings.
    pub fn start(mode: &str, more: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripted.mjs");
        let mut written = json!({ "command": NODE, "args": [script, folder.path().join("notes"), mode] });
        written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self { servers: start([("it", config(written))]), folder }
    }

    /// Starts it and waits until it can be called.
    pub async fn up(more: Value) -> Self {
        let scripted = Self::start("usual", more);
        scripted.until("it is up", |status| status.pid.is_some()).await;
        scripted
    }

    /// What it has seen so far.
    pub fn notes(&self) -> Vec<String> {
        let notes = std::fs::read_to_string(self.folder.path().join("notes")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }

    /// Waits for one of its notes, and gives what follows its beginning.
    pub async fn noted(&self, beginning: &str) -> String {
        let find =
            || self.notes().iter().rev().find_map(|note| note.strip_prefix(beginning).map(str::to_owned));
        until_async(PATIENCE, beginning, async || find().is_some()).await.unwrap();
        find().unwrap().trim().to_owned()
    }

    pub fn status(&self) -> Status {
        self.servers.status().remove(0)
    }

    /// Waits until its status is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Status) -> bool) -> Status {
        let waited = until_async(PATIENCE, what, async || so(&self.status())).await;
        waited.unwrap_or_else(|error| panic!("{error}: {:?} {:?}", self.status(), self.notes()));
        self.status()
    }

    /// Calls one of its tools with a value.
    pub async fn call(&self, tool: &str, value: impl Into<Value>) -> Result<Value, ToolError> {
        call(&self.servers, &format!("it_{tool}"), json!({ "value": value.into() }), 20_000).await
    }

    pub fn spec(&self, tool: &str) -> Option<ToolSpec> {
        find(&self.servers, &format!("it_{tool}")).map(|tool| tool.spec().clone())
    }
}

/// Starts servers on this test's runtime.
pub fn start<const N: usize>(configs: [(&str, ServerConfig); N]) -> McpServers {
    let configs: BTreeMap<String, ServerConfig> =
        configs.into_iter().map(|(name, config)| (name.to_owned(), config)).collect();
    McpServers::start(Settings::judge(&configs).unwrap(), &Handle::current())
}

/// The tool of this name, if it is offered.
pub fn find(servers: &McpServers, name: &str) -> Option<Arc<dyn Tool>> {
    servers.offers().into_iter().flat_map(|one| one.tools).find(|tool| &*tool.spec().name == name)
}

pub async fn until_offered(servers: &McpServers, name: &str) -> Arc<dyn Tool> {
    let waited = until_async(PATIENCE, name, async || find(servers, name).is_some()).await;
    waited.unwrap_or_else(|error| panic!("{error}: {:?}", servers.status()));
    find(servers, name).unwrap()
}

/// One attempt at a call.
pub fn attempt(arguments: &Value, timeout_ms: u64) -> Call {
    Call {
        idempotency_key: "conversation:command:1:step".to_owned(),
        attempt: 1,
        arguments: RawJson::from_value(arguments),
        timeout_ms,
    }
}

pub async fn call(
    servers: &McpServers,
    name: &str,
    arguments: Value,
    timeout_ms: u64,
) -> Result<Value, ToolError> {
    let tool = find(servers, name).unwrap_or_else(|| panic!("{name} is not offered: {:?}", servers.status()));
    tool.call(attempt(&arguments, timeout_ms)).await.map(|result| result.to_value())
}

/// Whether a process runs.
pub fn is_alive(pid: &str) -> bool {
    // One that has ended and was not reaped is a zombie, which is as bad as one that runs.
    PathBuf::from(format!("/proc/{pid}")).exists()
}

pub async fn until_gone(pid: &str) {
    until_async(PATIENCE, "the end of a process", async || !is_alive(pid)).await.unwrap();
}
