//! The tools of this process, by name: what planners are told, what plans are checked against, what pools run.
//!
//! Built once at start from [`ToolsConfig`]; [`crate::schema`] judges arguments, the tools' modules do the work.

use std::collections::BTreeMap;
use std::sync::Arc;

use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_domain::plan::{StepPolicy, ToolRefusal, Toolbox};
use callboard_ports::tool::{Tool, ToolRegistry, ToolSpec};
use tokio::runtime::Handle;

use crate::config::ToolsConfig;
use crate::deposit::Deposit;
use crate::echo::Echo;
use crate::exchange::Exchange;
use crate::http::Http;
use crate::math::Math;
use crate::schema::ArgumentSchema;
use crate::weather::Weather;
use crate::webhook::Webhook;

/// Why the registry could not be built; every sentence names the setting.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("tools.{tool}.{key} {problem}")]
    Setting { tool: &'static str, key: &'static str, problem: String },
    #[error("the JSON Schema of tool {tool:?} is wrong: {problem}")]
    Schema { tool: String, problem: String },
    #[error("no HTTP client could be made for the tools: {0}")]
    Http(String),
}

struct Entry {
    tool: Arc<dyn Tool>,
    schema: ArgumentSchema,
}

/// All tools that plans may use.
pub struct Registry {
    /// Ordered, so that planners and refusals list the tools the same way every time.
    tools: BTreeMap<String, Entry>,
    limits: TurnLimits,
}

impl Registry {
    /// The built-in tools. Their HTTP requests run on `http`, a runtime apart from the actors' arbiters.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that is wrong and what would be right.
    pub fn build(config: &ToolsConfig, limits: TurnLimits, http: Handle) -> Result<Self, BuildError> {
        let (http, runtime) = (Http::new(http.clone())?, http);
        let tools: Vec<Arc<dyn Tool>> = vec![
            Arc::new(Deposit::new(&config.deposit, runtime.clone())?),
            Arc::new(Echo::new(&config.echo)?),
            Arc::new(Exchange::new(&config.exchange, http.clone())?),
            Arc::new(Math::new(&config.math)?),
            Arc::new(Weather::new(&config.weather, http)?),
            Arc::new(Webhook::new(&config.webhook, runtime)?),
        ];
        Self::of(tools, limits)
    }

    /// Any tools, for a process or a test with a set of its own.
    ///
    /// # Errors
    /// [`BuildError::Schema`] when a tool's schema does not compile.
    pub fn of(tools: Vec<Arc<dyn Tool>>, limits: TurnLimits) -> Result<Self, BuildError> {
        let mut entries = BTreeMap::new();
        for tool in tools {
            let name = tool.spec().name.to_string();
            let schema = ArgumentSchema::compile(&tool.spec().schema)
                .map_err(|problem| BuildError::Schema { tool: name.clone(), problem })?;
            entries.insert(name, Entry { tool, schema });
        }
        Ok(Self { tools: entries, limits })
    }

    fn known(&self) -> String {
        self.tools.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl Toolbox for Registry {
    fn check(&self, tool: &str, arguments: &RawJson) -> Result<StepPolicy, ToolRefusal> {
        let Some(entry) = self.tools.get(tool) else {
            // A model's invention may be of any length.
            let name = tool.chars().take(64).collect();
            return Err(ToolRefusal::Unknown { name, known: self.known() });
        };
        match entry.schema.check_planned(arguments) {
            Ok(()) => Ok(entry.tool.spec().policy()),
            Err(problem) => Err(ToolRefusal::Arguments { tool: tool.to_owned(), problem }),
        }
    }

    fn turn_limits(&self, _agent: &str) -> TurnLimits {
        self.limits
    }
}

impl ToolRegistry for Registry {
    fn specs(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|entry| entry.tool.spec().clone()).collect()
    }

    fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.tools.get(name).map(|entry| entry.tool.clone())
    }

    fn check_resolved(&self, name: &str, arguments: &RawJson) -> Result<(), ToolError> {
        let Some(entry) = self.tools.get(name) else {
            let name: String = name.chars().take(64).collect();
            let message = format!("there is no tool {name:?} here; there are: {}", self.known());
            return Err(ToolError::new("unknown_tool", message, false));
        };
        entry.schema.check_resolved(arguments).map_err(|problem| {
            let message = format!("the arguments of tool {name:?} are wrong: {problem}");
            ToolError::new("invalid_arguments", message, false)
        })
    }
}
