//! Configuration: what can be set (`keys`), where settings come from (`sources`), how they are put together
//! (`load`) and how they are shown (`show`). Everything else in this crate sees only [`Config`].

mod demo;
mod keys;
mod load;
mod mcp;
mod models;
mod settings;
mod show;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use demo::DemoSettings;
pub use load::{ConfigError, Loaded, load};
pub use mcp::McpSettings;
pub use models::{
    AgentSettings, EmbeddingSettings, EnginePart, ModelBreakerSettings, Models, OllamaSettings,
    OpenAiSettings, PlannerSettings, PriceSettings,
};
pub use settings::{
    ApiKeys, Brokers, FsyncMode, GroupProtocol, HttpSettings, KafkaSettings, LimitSettings, LogSettings,
    Part, SnapshotEngine, SnapshotSettings, TelemetrySettings, TurnSettings,
};
pub use show::{Shown, shown};
pub use sources::{Environment, Flag};

/// Everything that can be set, with its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTP listens.
    #[serde(deserialize_with = "settings::address")]
    pub listen: SocketAddr,
    /// Log, snapshots, history and identity of this node.
    pub data_dir: PathBuf,
    /// Roles that this process leaves to others.
    pub without: Vec<Part>,
    /// Listen beyond loopback without keys.
    pub insecure: bool,
    /// Let `/admin/v1/actors/kill` kill.
    pub allow_chaos: bool,
    pub http: HttpSettings,
    pub kafka: KafkaSettings,
    pub log: LogSettings,
    pub snapshots: SnapshotSettings,
    pub planner: PlannerSettings,
    pub models: Models,
    /// Agents by name; there is always `default`.
    pub agents: BTreeMap<String, AgentSettings>,
    /// Settings of tools by name; `wiring` hands them to the tools.
    pub tools: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// MCP servers by name.
    pub mcp: BTreeMap<String, McpSettings>,
    pub turns: TurnSettings,
    pub limits: LimitSettings,
    pub telemetry: TelemetrySettings,
    pub demo: DemoSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("callboard-data"),
            without: Vec::new(),
            insecure: false,
            allow_chaos: false,
            http: HttpSettings::default(),
            kafka: KafkaSettings::default(),
            log: LogSettings::default(),
            snapshots: SnapshotSettings::default(),
            planner: PlannerSettings::default(),
            models: Models::default(),
            agents: BTreeMap::new(),
            tools: BTreeMap::new(),
            mcp: BTreeMap::new(),
            turns: TurnSettings::default(),
            limits: LimitSettings::default(),
            telemetry: TelemetrySettings::default(),
            demo: DemoSettings::default(),
        }
    }
}

impl Config {
    /// The names of all agents, in order.
    #[must_use]
    pub fn agent_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.agents.keys().cloned().collect();
        names.push(callboard_domain::command::default_agent().to_string());
        names.sort();
        names.dedup();
        names
    }
}
