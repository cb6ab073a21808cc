//! What `callboard demo` tells the server that it starts, so that the server's page can show the demo.

use serde::{Deserialize, Serialize};

/// The demo that this server is part of, if so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoSettings {
    /// The service outside that executes deposits and counts them.
    pub counter_url: Option<String>,
    /// What the page asks.
    pub question: Option<String>,
}
