//! Agents: who a request is for. An agent's tools are what its planner is told of and what its plans may use, its
//! instructions go in front of every prompt, its model is asked first.
//!
//! Read from [`crate::config`] once at the start; [`crate::router`] looks one up for each request.

use std::collections::BTreeMap;
use std::sync::Arc;

use callboard_domain::event::TurnLimits;
use callboard_domain::json::RawJson;
use callboard_domain::limits::MAX_AGENT_BYTES;
use callboard_domain::plan::{StepPolicy, ToolRefusal, Toolbox};
use callboard_ports::model::ModelError;
use callboard_ports::tool::{ToolRegistry, ToolSpec};

use crate::config::{AgentConfig, ProviderName};
use crate::prompt::files;

/// Whom a request is for when it does not say.
pub const DEFAULT: &str = "default";
/// Of an agent's instructions: some 4,000 tokens before the question begins.
const MAX_INSTRUCTIONS_BYTES: usize = 16 * 1024;

/// Why an agent cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("agents.{agent}{}{key} {problem}", if key.is_empty() { "" } else { "." })]
pub struct AgentError {
    pub agent: String,
    pub key: &'static str,
    pub problem: String,
}

/// The model that an agent asks first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub provider: ProviderName,
    /// Empty for the built-in planner.
    pub model: Arc<str>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Agent {
    pub instructions: Arc<str>,
    /// `None`: every tool.
    tools: Option<Vec<String>>,
    pub wish: Option<Wish>,
    pub prompt_hash: Arc<str>,
}

impl Agent {
    /// One that may use every tool and has nothing to say.
    pub fn unrestricted() -> Self {
        Self { instructions: Arc::from(""), tools: None, wish: None, prompt_hash: files::hash("") }
    }

    /// Whether its plans may use `tool`.
    pub fn may_use(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.iter().any(|entry| covers(entry, tool)))
    }

    /// Those of `specs` that it may use.
    pub fn tools(&self, mut specs: Vec<ToolSpec>) -> Vec<ToolSpec> {
        specs.retain(|spec| self.may_use(&spec.name));
        specs
    }
}

/// An entry that ends in `*` means every tool that begins so.
fn covers(entry: &str, tool: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(prefix) => tool.starts_with(prefix),
        None => entry == tool,
    }
}

/// All agents; there is always one called `default`.
#[derive(Debug, Clone)]
pub(crate) struct Agents(BTreeMap<String, Arc<Agent>>);

impl Agents {
    /// Judges what is configured.
    ///
    /// # Errors
    /// [`AgentError`] names the setting that is wrong and what would be right.
    pub fn resolve(
        configured: &BTreeMap<String, AgentConfig>,
        specs: &[ToolSpec],
        order: &[ProviderName],
    ) -> Result<Self, AgentError> {
        let mut agents = BTreeMap::new();
        for (name, config) in configured {
            agents.insert(name.clone(), Arc::new(agent(name, config, specs, order)?));
        }
        if !agents.contains_key(DEFAULT) {
            let default = agent(DEFAULT, &AgentConfig::default(), specs, order)?;
            agents.insert(DEFAULT.to_owned(), Arc::new(default));
        }
        Ok(Self(agents))
    }

    /// The agent of that name.
    ///
    /// # Errors
    /// `unknown_agent`: it was there when the turn was accepted, and no longer is.
    pub fn get(&self, name: &str) -> Result<&Arc<Agent>, ModelError> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let message = format!("there is no agent {name:?}; there are: {}", known.join(", "));
            ModelError { provider: "agents".to_owned(), kind: "unknown_agent", message, retryable: false }
        })
    }

    /// The agent of that name, or `default`: an answer is written even for an agent that is gone.
    pub fn get_or_default(&self, name: &str) -> &Arc<Agent> {
        self.0.get(name).or_else(|| self.0.get(DEFAULT)).expect("resolve puts the default agent in")
    }

    /// Each model that an agent asks for by name, with the agent.
    pub fn wishes(&self) -> impl Iterator<Item = (&str, &Wish)> {
        self.0.iter().filter_map(|(name, agent)| agent.wish.as_ref().map(|wish| (name.as_str(), wish)))
    }
}

fn agent(
    name: &str,
    config: &AgentConfig,
    specs: &[ToolSpec],
    order: &[ProviderName],
) -> Result<Agent, AgentError> {
    let wrong = |key, problem: String| AgentError { agent: name.to_owned(), key, problem };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > MAX_AGENT_BYTES || !name.chars().all(named) {
        return Err(wrong("", format!("is no agent's name; it is 1 to {MAX_AGENT_BYTES} of [A-Za-z0-9._-]")));
    }
    let instructions = config.instructions.as_deref().unwrap_or_default().trim();
    if instructions.len() > MAX_INSTRUCTIONS_BYTES {
        let bytes = instructions.len();
        return Err(wrong(
            "instructions",
            format!("has {bytes} bytes; at most {MAX_INSTRUCTIONS_BYTES} go into a prompt"),
        ));
    }
    for entry in config.tools.iter().flatten().filter(|entry| !entry.ends_with('*')) {
        if !specs.iter().any(|spec| *spec.name == **entry) {
            return Err(wrong("tools", unknown_tool(entry, specs)));
        }
    }
    let wish = config.model.as_deref().map(|model| wish(model, order)).transpose();
    Ok(Agent {
        instructions: Arc::from(instructions),
        tools: config.tools.clone(),
        wish: wish.map_err(|problem| wrong("model", problem))?,
        prompt_hash: files::hash(instructions),
    })
}

fn unknown_tool(entry: &str, specs: &[ToolSpec]) -> String {
    let near = specs.iter().min_by_key(|spec| strsim::damerau_levenshtein(entry, &spec.name));
    let near = near.map_or_else(|| ".".to_owned(), |spec| format!("; did you mean {:?}?", spec.name));
    let all: Vec<&str> = specs.iter().map(|spec| &*spec.name).collect();
    format!("names {entry:?}, which is no tool{near} There are: {}", all.join(", "))
}

/// `ollama/llama3.2`, `openai/gpt-4o`, `builtin`.
fn wish(written: &str, order: &[ProviderName]) -> Result<Wish, String> {
    let (provider, model) = written.trim().split_once('/').unwrap_or((written.trim(), ""));
    let provider = match (provider, model.is_empty()) {
        ("builtin", true) => return Ok(Wish { provider: ProviderName::Builtin, model: Arc::from("") }),
        ("ollama", false) => ProviderName::Ollama,
        ("openai", false) => ProviderName::Openai,
        _ => {
            return Err(format!(
                "is {written:?}; write PROVIDER/MODEL, such as \"ollama/llama3.2\" or \"openai/gpt-4o-mini\", or \"builtin\""
            ));
        }
    };
    if !order.contains(&provider) {
        let name = provider.as_str();
        return Err(format!("is {written:?}, but {name:?} is not in planner.order; add it there"));
    }
    Ok(Wish { provider, model: Arc::from(model) })
}

/// The toolbox of one agent: other tools are as good as unknown.
pub(crate) struct AgentToolbox<'a> {
    pub agent: &'a Agent,
    pub registry: &'a dyn ToolRegistry,
}

impl Toolbox for AgentToolbox<'_> {
    fn check(&self, tool: &str, arguments: &RawJson) -> Result<StepPolicy, ToolRefusal> {
        if self.agent.may_use(tool) {
            return self.registry.check(tool, arguments);
        }
        let known: Vec<Arc<str>> =
            self.agent.tools(self.registry.specs()).into_iter().map(|spec| spec.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        // A model's invention may be of any length.
        Err(ToolRefusal::Unknown { name: tool.chars().take(64).collect(), known })
    }

    fn turn_limits(&self, agent: &str) -> TurnLimits {
        self.registry.turn_limits(agent)
    }

    fn approval_timeout_ms(&self, tool: &str) -> u64 {
        self.registry.approval_timeout_ms(tool)
    }

    fn token_budget(&self, agent: &str) -> Option<u64> {
        self.registry.token_budget(agent)
    }
}
