//! The tools of this process, by name: what planners are told, what plans are checked against, what pools run.
//!
//! They come from several sources: the built-in ones from [`ToolsConfig`], others through [`Registry::offer`], which may come
//! again while plans are made. [`crate::schema`] judges arguments, the tools' modules do the work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_domain::limits::DEFAULT_APPROVAL_TIMEOUT_MS;
use callboard_domain::plan::{StepPolicy, ToolRefusal, Toolbox};
use callboard_ports::model::Completer;
use callboard_ports::tool::{Tool, ToolRegistry, ToolSpec};
use tokio::runtime::Handle;

use crate::ask_model::AskModel;
use crate::config::ToolsConfig;
use crate::deposit::Deposit;
use crate::echo::Echo;
use crate::exchange::Exchange;
use crate::http::Http;
use crate::http_get::HttpGet;
use crate::math::Math;
use crate::schema::ArgumentSchema;
use crate::weather::Weather;
use crate::webhook::Webhook;

/// Why the registry could not be built; every sentence names the setting.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("tools.{tool}.{key} {problem}")]
    Setting { tool: String, key: &'static str, problem: String },
    #[error("tools.{tool}: {problem}")]
    Tool { tool: String, problem: String },
    #[error("the JSON Schema of tool {tool:?} is wrong: {problem}")]
    Schema { tool: String, problem: String },
    #[error("no HTTP client could be made for the tools: {0}")]
    Http(String),
    #[error(
        "there are two tools named {tool:?}: one is from {one}, the other from {other}; rename or leave out one of them"
    )]
    Clash { tool: String, one: String, other: String },
}

/// Where the tools that Callboard brings along come from.
const BUILT_IN: &str = "Callboard itself";

/// A tool as a source brings it.
pub enum Offer {
    /// Run in this process, where its pool is.
    Here(Arc<dyn Tool>),
    /// Only requested: somebody else's worker runs it.
    Elsewhere(ToolSpec),
}

impl Offer {
    #[must_use]
    pub fn spec(&self) -> &ToolSpec {
        match self {
            Self::Here(tool) => tool.spec(),
            Self::Elsewhere(spec) => spec,
        }
    }

    fn here(&self) -> Option<&Arc<dyn Tool>> {
        match self {
            Self::Here(tool) => Some(tool),
            Self::Elsewhere(_) => None,
        }
    }
}

struct Entry {
    offer: Offer,
    schema: ArgumentSchema,
    source: Arc<str>,
}

/// Ordered, so that planners and refusals list the tools the same way every time.
type Entries = BTreeMap<String, Arc<Entry>>;

/// The built-in tools. Their HTTP requests run on `http`, a runtime apart from the actors' arbiters.
///
/// # Errors
/// [`BuildError`] names the setting that is wrong and what would be right.
pub fn built_in(config: &ToolsConfig, http: Handle) -> Result<Vec<Arc<dyn Tool>>, BuildError> {
    let (http, runtime) = (Http::new(http.clone())?, http);
    let http_get = HttpGet::new(&config.http_get, runtime.clone())?;
    let mut tools: Vec<Arc<dyn Tool>> = vec![
        Arc::new(Deposit::new(&config.deposit, runtime.clone())?),
        Arc::new(Echo::new(&config.echo)?),
        Arc::new(Exchange::new(&config.exchange, http.clone())?),
        Arc::new(Math::new(&config.math)?),
        Arc::new(Weather::new(&config.weather, http)?),
        Arc::new(Webhook::new(&config.webhook, runtime)?),
    ];
    // Without a host that it may ask it would only be something to try in vain.
    tools.extend(http_get.map(|tool| Arc::new(tool) as Arc<dyn Tool>));
    Ok(tools)
}

/// The tool that asks `models`.
///
/// # Errors
/// As [`built_in`].
pub fn ask_model(config: &ToolsConfig, models: Arc<dyn Completer>) -> Result<Arc<dyn Tool>, BuildError> {
    Ok(Arc::new(AskModel::new(&config.ask_model, models)?))
}

/// Stands for tools that a source has not named yet.
type Late = Box<dyn Fn(&str) -> Option<Arc<dyn Tool>> + Send + Sync>;

/// All tools that plans may use.
pub struct Registry {
    /// Replaced whole; whoever reads takes what is there and lets go of the lock.
    tools: RwLock<Arc<Entries>>,
    late: OnceLock<Late>,
    limits: TurnLimits,
    token_budget: Option<u64>,
}

impl Registry {
    /// With the built-in tools.
    ///
    /// # Errors
    /// As [`built_in`].
    pub fn build(config: &ToolsConfig, limits: TurnLimits, http: Handle) -> Result<Self, BuildError> {
        Self::of(built_in(config, http)?, limits)
    }

    /// With any tools, for a process or a test with a set of its own.
    ///
    /// # Errors
    /// [`BuildError::Schema`] when a tool's schema does not compile.
    pub fn of(tools: Vec<Arc<dyn Tool>>, limits: TurnLimits) -> Result<Self, BuildError> {
        let registry = Self { tools: RwLock::default(), late: OnceLock::new(), limits, token_budget: None };
        registry.offer(BUILT_IN, tools)?;
        Ok(registry)
    }

    /// From now on the tools of `source` (words for people: `the MCP server "files"`) are these and no others. May be called
    /// at any time: a plan that names a tool which has gone is refused, a step of one ends with `unknown_tool`.
    ///
    /// # Errors
    /// [`BuildError::Schema`] or [`BuildError::Clash`]; then everything stays as it was.
    pub fn offer(&self, source: &str, tools: Vec<Arc<dyn Tool>>) -> Result<(), BuildError> {
        self.offer_all(source, tools.into_iter().map(Offer::Here).collect())
    }

    /// As [`Self::offer`], for tools some of which run elsewhere.
    ///
    /// # Errors
    /// As [`Self::offer`].
    pub fn offer_all(&self, source: &str, offers: Vec<Offer>) -> Result<(), BuildError> {
        let source: Arc<str> = Arc::from(source);
        let mut offered = Vec::with_capacity(offers.len());
        for offer in offers {
            let name = offer.spec().name.to_string();
            let schema = ArgumentSchema::compile(&offer.spec().schema)
                .map_err(|problem| BuildError::Schema { tool: name.clone(), problem })?;
            offered.push((name, Arc::new(Entry { offer, schema, source: source.clone() })));
        }
        let mut current = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        let mut entries: Entries = current
            .iter()
            .filter(|(_, entry)| entry.source != source)
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        for (name, entry) in offered {
            if let Some(other) = entries.insert(name.clone(), entry) {
                let (one, other) = (other.source.to_string(), source.to_string());
                return Err(BuildError::Clash { tool: name, one, other });
            }
        }
        *current = Arc::new(entries);
        Ok(())
    }

    /// Conversations may use so many tokens.
    #[must_use]
    pub fn with_token_budget(mut self, tokens: Option<u64>) -> Self {
        self.token_budget = tokens;
        self
    }

    /// The pools that this process can run tools of.
    #[must_use]
    pub fn pools_here(&self) -> BTreeSet<Arc<str>> {
        self.entries()
            .values()
            .filter_map(|entry| entry.offer.here())
            .map(|tool| tool.spec().pool.clone())
            .collect()
    }

    /// What stands for a tool of a source that has not named its tools yet: a plan of before a restart may name one. Only
    /// the first word on it counts. Such tools are run when they are asked for, but no plan is made with them.
    pub fn set_late(&self, late: impl Fn(&str) -> Option<Arc<dyn Tool>> + Send + Sync + 'static) {
        let _ = self.late.set(Box::new(late));
    }

    fn late(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.late.get().and_then(|late| late(name))
    }

    fn entries(&self) -> Arc<Entries> {
        self.tools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries().get(name).cloned()
    }

    fn known(&self) -> String {
        self.entries().keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl Toolbox for Registry {
    fn check(&self, tool: &str, arguments: &RawJson) -> Result<StepPolicy, ToolRefusal> {
        let Some(entry) = self.entry(tool) else {
            // A model's invention may be of any length.
            let name = tool.chars().take(64).collect();
            return Err(ToolRefusal::Unknown { name, known: self.known() });
        };
        match entry.schema.check_planned(arguments) {
            Ok(()) => Ok(entry.offer.spec().policy()),
            Err(problem) => Err(ToolRefusal::Arguments { tool: tool.to_owned(), problem }),
        }
    }

    fn turn_limits(&self, _agent: &str) -> TurnLimits {
        self.limits
    }

    fn approval_timeout_ms(&self, tool: &str) -> u64 {
        let said = self.entry(tool).and_then(|entry| entry.offer.spec().approval_timeout_ms);
        said.unwrap_or(DEFAULT_APPROVAL_TIMEOUT_MS)
    }

    fn token_budget(&self, _agent: &str) -> Option<u64> {
        self.token_budget
    }
}

impl ToolRegistry for Registry {
    fn specs(&self) -> Vec<ToolSpec> {
        self.entries().values().map(|entry| entry.offer.spec().clone()).collect()
    }

    fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.entry(name).map_or_else(|| self.late(name), |entry| entry.offer.here().cloned())
    }

    fn check_resolved(&self, name: &str, arguments: &RawJson) -> Result<(), ToolError> {
        let Some(entry) = self.entry(name) else {
            if self.late(name).is_some() {
                return Ok(());
            }
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
