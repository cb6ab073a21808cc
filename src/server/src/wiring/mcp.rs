//! MCP servers in a process: which of them it starts, how the registry of tools follows them, how they show themselves.
//!
//! `serve` starts them beside the other parts; `http::admin` and `http::health` show them; `doctor` looks at them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{ActorView, MailboxView, Roles};
use callboard_mcp::{McpServers, Phase, ServerConfig, Settings, Status};
use callboard_ports::tool::Tool;
use callboard_tools::{BuildError, Registry};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::cli::Failure;
use crate::config::Config;

/// A question right after the start would be planned without tools that are a second away: most servers list theirs in
/// less, and a dead one holds nothing up for longer.
const LISTED_WITHIN: Duration = Duration::from_secs(5);
/// With the rest of a stop it fits the 10 s of `shutdown`; what is left then is killed.
const STOP_WITHIN: Duration = Duration::from_millis(1_200);
/// Where they stand in the tree of actors.
const PATH: &str = "/mcp";

/// The settings of all servers, judged.
///
/// # Errors
/// A setting of `mcp.*` that is wrong.
pub fn settings(config: &Config) -> Result<Vec<Settings>, Failure> {
    let written = serde_json::to_value(&config.mcp).map_err(Failure::usage)?;
    let read: BTreeMap<String, ServerConfig> =
        serde_json::from_value(written).map_err(|e| Failure::usage(format!("mcp: {e}")))?;
    Settings::judge(&read).map_err(Failure::usage)
}

/// The servers of a process.
pub struct Mcp {
    servers: Arc<McpServers>,
    follow: JoinHandle<()>,
}

impl Mcp {
    /// Starts the servers that a process with these roles needs: all where plans are made, which name every tool; those of
    /// its pools where tools are run. The registry follows them from here on.
    #[must_use]
    pub fn start(all: Vec<Settings>, roles: &Roles, tools: &Arc<Registry>, runtime: &Handle) -> Self {
        let needed = |one: &Settings| roles.host || roles.pools.iter().any(|pool| pool == one.pool());
        let servers = all.into_iter().filter(needed).collect();
        let servers = Arc::new(McpServers::start(servers, runtime));
        let late = servers.clone();
        tools.set_late(move |name| late.unlisted(name));
        let follow = runtime.spawn(follow(servers.clone(), tools.clone()));
        Self { servers, follow }
    }

    /// Waits for the first lists of tools, not for long.
    pub async fn settled(&self) {
        self.servers.settled(LISTED_WITHIN).await;
    }

    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        self.servers.status()
    }

    /// The servers as part of the tree of actors: a node above them, where there are any.
    #[must_use]
    pub fn view(&self) -> Option<ActorView> {
        let children: Vec<ActorView> = self.servers.status().iter().map(view).collect();
        (!children.is_empty()).then(|| {
            let mut above = ActorView::new(PATH, "mcp_servers", "running", 0);
            above.children = children;
            above
        })
    }

    /// Kills the server at `path`, as far as there is one: its process, or its connection.
    #[must_use]
    pub fn kill(&self, path: &str) -> bool {
        let name = path.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/'));
        name.is_some_and(|name| self.servers.kill(name))
    }

    /// Stops them, processes included.
    pub async fn stop(&self) {
        self.follow.abort();
        self.servers.stop(STOP_WITHIN).await;
    }
}

async fn follow(servers: Arc<McpServers>, registry: Arc<Registry>) {
    let mut changed = servers.changed();
    loop {
        changed.mark_unchanged();
        for one in servers.offers() {
            offer(&registry, &one.server, one.tools);
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Offers a server's tools. What one of them has against the others is not the operator's to mend, so the rest is offered
/// without it.
fn offer(registry: &Registry, server: &str, mut tools: Vec<Arc<dyn Tool>>) {
    let source = format!("the MCP server {server:?}");
    while let Err(error) = registry.offer(&source, tools.clone()) {
        tracing::warn!("{source}: a tool is left out: {error}");
        let (BuildError::Clash { tool: odd, .. } | BuildError::Schema { tool: odd, .. }) = &error else {
            return;
        };
        let before = tools.len();
        tools.retain(|tool| *tool.spec().name != **odd);
        if tools.len() == before {
            return;
        }
    }
}

fn view(status: &Status) -> ActorView {
    let path = format!("{PATH}/{}", status.name);
    let mut view = ActorView::new(&path, "mcp_server", status.phase.as_str(), 0);
    view.mailbox = MailboxView { depth: status.calls, capacity: status.concurrency };
    view.restarts = u32::try_from(status.generation.saturating_sub(1)).unwrap_or(u32::MAX);
    view.work = json!({
        "transport": status.transport, "pid": status.pid, "generation": status.generation,
        "tools": status.tools, "left_out": status.left_out, "problem": status.problem,
    });
    view
}

/// One server in a line, for those who look whether all is well.
#[must_use]
pub fn says(status: &Status) -> (bool, String) {
    let name = &status.name;
    if status.phase != Phase::Up {
        let problem = status.problem.as_deref().unwrap_or("it is not ready yet");
        return (false, format!("{name} is {}: {problem}", status.phase.as_str()));
    }
    let left_out = match status.left_out.as_slice() {
        [] => String::new(),
        lines => format!("; left out: {}", lines.join("; ")),
    };
    (true, format!("{name} has {} tools over {}{left_out}", status.tools.len(), status.transport))
}

/// Starts every server once, looks at it and stops it again.
///
/// # Errors
/// A setting of `mcp.*` that is wrong.
pub async fn try_out(config: &Config) -> Result<Vec<Status>, Failure> {
    let all = settings(config)?;
    let patience = all.iter().map(Settings::start_timeout).max().unwrap_or_default();
    let servers = McpServers::start(all, &Handle::current());
    servers.settled(patience).await;
    let status = servers.status();
    servers.stop(STOP_WITHIN).await;
    Ok(status)
}
