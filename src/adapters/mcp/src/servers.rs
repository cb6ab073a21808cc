//! All MCP servers of a process: started together, offered together, stopped together.
//!
//! The face of this crate: `wiring` starts them, hands [`McpServers::offers`] to the registry of tools whenever
//! [`McpServers::changed`] says so, and stops them.

use std::sync::Arc;
use std::time::Duration;

use callboard_ports::tool::Tool;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::server::{self, Server};
use crate::settings::Settings;
use crate::status::Status;
use crate::tool::{McpTool, Unlisted};

/// The tools that a server offers.
pub struct Offers {
    pub server: Arc<str>,
    pub tools: Vec<Arc<dyn Tool>>,
}

/// The servers.
pub struct McpServers {
    servers: Vec<Arc<Server>>,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Dropped without [`Self::stop`], the tasks end where they are, and their processes with them.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl McpServers {
    /// Starts all of them on `runtime`; none of them is waited for.
    #[must_use]
    pub fn start(all: Vec<Settings>, runtime: &Handle) -> Self {
        let (changes, stop, tasks) = (watch::channel(0).0, CancellationToken::new(), TaskTracker::new());
        let new = |settings| Arc::new(Server::new(settings, runtime.clone(), changes.clone()));
        let servers: Vec<Arc<Server>> = all.into_iter().map(new).collect();
        let supervise = |server: &Arc<Server>| {
            let task = tasks.track_future(server::supervise(server.clone(), stop.clone()));
            AbortOnDropHandle::new(runtime.spawn(task))
        };
        let running = servers.iter().map(supervise).collect();
        tasks.close();
        Self { servers, changes, stop, tasks, _tasks: running }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Waits until each has listed its tools or has failed to once, for at most `within`.
    pub async fn settled(&self, within: Duration) {
        let all = futures_util::future::join_all(self.servers.iter().map(|server| server.settled()));
        // Whoever is late is offered when it is there.
        let _ = tokio::time::timeout(within, all).await;
    }

    /// The tools that each server offers now.
    #[must_use]
    pub fn offers(&self) -> Vec<Offers> {
        let of = |server: &Arc<Server>| {
            let offers = server.catalog().map(|catalog| catalog.offers.clone()).unwrap_or_default();
            let tool = |offer| Arc::new(McpTool { server: server.clone(), offer }) as Arc<dyn Tool>;
            Offers { server: server.settings.name.clone(), tools: offers.into_iter().map(tool).collect() }
        };
        self.servers.iter().map(of).collect()
    }

    /// What stands for `name`, if that is a tool of a server that has not said yet which tools it has.
    #[must_use]
    pub fn unlisted(&self, name: &str) -> Option<Arc<dyn Tool>> {
        let server = self.servers.iter().find(|server| name.starts_with(&server.settings.prefix()))?;
        server.catalog().is_none().then(|| Arc::new(Unlisted::new(server.clone(), name)) as Arc<dyn Tool>)
    }

    /// Tells when [`Self::offers`] has become another list.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        self.servers.iter().map(|server| server.status()).collect()
    }

    /// Kills one, on purpose, to see it come back; `false` where it is not up or there is none of this name.
    #[must_use]
    pub fn kill(&self, name: &str) -> bool {
        self.servers.iter().find(|server| &*server.settings.name == name).is_some_and(|server| server.kill())
    }

    /// Stops all of them, processes included; what does not end `within` is killed.
    pub async fn stop(&self, within: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!("MCP servers did not stop in time; their processes are killed");
        }
    }
}
