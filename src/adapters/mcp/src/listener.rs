//! Our side of the protocol: what a server may tell us beside its answers. It may not ask us for anything.

use std::sync::Arc;

use rmcp::ClientHandler;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation};
use rmcp::service::{NotificationContext, RoleClient};
use tokio::sync::Notify;

/// Hears that a list has changed.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    changed: Arc<Notify>,
}

impl Listener {
    /// Wakes `changed` when the server's list of tools has changed; changes that come together wake it once.
    pub fn new(changed: Arc<Notify>) -> Self {
        Self { changed }
    }
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("callboard", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}
