//! The tools of a process, from all who bring some: the built-in ones, those of `[tools.NAME]` and those that were written in
//! Rust ([`crate::App`]).

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use callboard_ports::model::{Completer, Embedder};
use callboard_ports::tool::Tool;
use callboard_tools::config::{BUILT_IN, PlainConfig};
use callboard_tools::{BuildError, Offer, OwnConfig, Registry, Runs, ToolsConfig, ask_model, own};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::knowledge;
use crate::cli::Failure;
use crate::config::Config;

/// Where one's own tools come from, for a person who has two of one name.
const OWN: &str = "the tools of your own";
/// Where the tool that asks models comes from.
const MODELS: &str = "Callboard's models";
/// A name is another one misspelt when so few letters are wrong.
const MISSPELT: usize = 2;

type Settings = BTreeMap<String, Map<String, Value>>;

/// What tools are built on, beside the configuration.
pub struct Beside<'a> {
    /// Their requests run on it.
    pub http: Handle,
    /// Asked by `ask_model`; without it there is no such tool.
    pub completer: Option<Arc<dyn Completer>>,
    /// Makes the vectors that retrieval compares.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// Written in Rust.
    pub own: &'a [Arc<dyn Written>],
}

/// A tool written in Rust, before it has its settings.
pub trait Written: Send + Sync {
    fn name(&self) -> &str;
    /// The tool as `[tools.NAME]` has it.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that is wrong.
    fn build(self: Arc<Self>, set: &PlainConfig) -> Result<Arc<dyn Tool>, BuildError>;
}

/// Puts the registry together.
///
/// # Errors
/// A setting of `tools.*` that is wrong, or two tools of one name.
pub fn tools(config: &Config, beside: Beside<'_>) -> Result<Arc<Registry>, Failure> {
    let mut set: Settings = config.tools.clone();
    let retrieval =
        knowledge::tool(set.remove(callboard_knowledge::NAME), &config.data_dir, beside.embedder)?;
    let mut mine = Vec::new();
    for tool in beside.own {
        let set = set.remove(tool.name()).unwrap_or_default();
        let set = read(tool.name(), set)?;
        mine.push(Offer::Here(tool.clone().build(&set).map_err(Failure::usage)?));
    }
    let names: Vec<String> = set.keys().filter(|name| !BUILT_IN.contains(&name.as_str())).cloned().collect();
    let runs = if config.kafka.brokers.is_some() { Runs::Anywhere } else { Runs::HereOnly };
    for name in names {
        let set = set.remove(&name).unwrap_or_default();
        if !set.contains_key("run") {
            return Err(Failure::usage(no_such_tool(&name)));
        }
        let set: OwnConfig = read(&name, set)?;
        mine.push(own(&name, &set, runs, beside.http.clone()).map_err(Failure::usage)?);
    }
    if let Some(name) = set.iter().find_map(|(name, set)| set.contains_key("run").then_some(name)) {
        let words =
            format!("tools.{name}.run: {name} is a built-in tool; choose another name for one of your own");
        return Err(Failure::usage(words));
    }
    let written = serde_json::to_value(&set).map_err(Failure::usage)?;
    let settings: ToolsConfig =
        serde_json::from_value(written).map_err(|e| Failure::usage(wrong_setting(&set, &e)))?;
    let registry =
        Registry::build(&settings, super::turn_limits(config), beside.http).map_err(Failure::usage)?;
    let registry = registry.with_token_budget(config.turns.token_budget.map(NonZero::get));
    if let Some(completer) = beside.completer {
        let tool = ask_model(&settings, completer).map_err(Failure::usage)?;
        registry.offer(MODELS, vec![tool]).map_err(Failure::usage)?;
    }
    registry.offer(knowledge::SOURCE, vec![retrieval]).map_err(Failure::usage)?;
    apart(&mine, &registry)?;
    registry.offer_all(OWN, mine).map_err(Failure::usage)?;
    Ok(Arc::new(registry))
}

/// The setting that is wrong: the one that cannot be taken by itself, as the reader does not say where it was.
fn wrong_setting(set: &Settings, all: &serde_json::Error) -> String {
    let alone = |name: &str, key: &str, value: &Value| {
        serde_json::from_value::<ToolsConfig>(serde_json::json!({ name: { key: value } })).err()
    };
    let mut settings =
        set.iter().flat_map(|(name, keys)| keys.iter().map(move |(key, value)| (name, key, value)));
    settings
        .find_map(|(name, key, value)| alone(name, key, value).map(|e| format!("tools.{name}.{key}: {e}")))
        .unwrap_or_else(|| format!("tools: {all}"))
}

/// Reads the settings of one tool, and names the one that is wrong.
fn read<T: DeserializeOwned>(name: &str, set: Map<String, Value>) -> Result<T, Failure> {
    let all = match serde_json::from_value(Value::Object(set.clone())) {
        Ok(settings) => return Ok(settings),
        Err(problem) => problem,
    };
    let alone = |(key, value): (&String, &Value)| {
        let problem = serde_json::from_value::<T>(serde_json::json!({ key: value })).err()?;
        Some(format!("tools.{name}.{key}: {problem}"))
    };
    Err(Failure::usage(set.iter().find_map(alone).unwrap_or_else(|| format!("tools.{name}: {all}"))))
}

/// Members of a pool run all its tools: a pool is either here or elsewhere.
fn apart(mine: &[Offer], registry: &Registry) -> Result<(), Failure> {
    let mut here = registry.pools_here();
    here.insert(Arc::from("default"));
    here.extend(
        mine.iter().filter(|offer| matches!(offer, Offer::Here(_))).map(|offer| offer.spec().pool.clone()),
    );
    for offer in mine.iter().filter(|offer| matches!(offer, Offer::Elsewhere(_))) {
        let spec = offer.spec();
        if here.contains(&spec.pool) {
            return Err(Failure::usage(format!(
                "tools.{}.pool is {:?}, whose tools Callboard runs itself; an external tool needs another, such as its own name",
                spec.name, spec.pool
            )));
        }
    }
    Ok(())
}

fn no_such_tool(name: &str) -> String {
    let near = BUILT_IN.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    let meant = match near {
        Some((apart, known)) if apart <= MISSPELT => format!("did you mean tools.{known}? "),
        _ => String::new(),
    };
    format!(
        "tools.{name}: there is no such tool; {meant}Built in are {}; for one of your own set tools.{name}.run to \"http\" or \
         \"external\"",
        BUILT_IN.join(", ")
    )
}
