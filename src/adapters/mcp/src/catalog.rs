//! From what a server lists to what Callboard offers: names, descriptions, schemas and effect classes, each judged;
//! what cannot be offered is left out and said.
//!
//! [`crate::life`] lists and calls this; [`crate::tool`] makes callable what comes out. Everything here that comes from
//! the server is data: bounded, and never believed further than its annotations say.

use std::collections::BTreeSet;
use std::sync::Arc;

use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure};
use callboard_ports::tool::ToolSpec;
use rmcp::model::{Tool as Listed, ToolAnnotations};

use crate::names;
use crate::settings::Settings;

/// A planner reads all descriptions with every question; OpenAI's API takes as many functions.
pub(crate) const MAX_TOOLS: usize = 128;
/// Of one description: a planner's prompt holds all of them.
const MAX_DESCRIPTION_BYTES: usize = 1_024;
/// Of one argument schema, for the same reason.
const MAX_SCHEMA_BYTES: usize = 16 * 1_024;
/// Of the words about what was left out.
const MAX_WHY_BYTES: usize = 300;
/// Attempts at what may be repeated: a server that restarts is back within them.
const ATTEMPTS: u32 = 3;
/// Attempts at what may not: only those of which nothing was sent are repeated.
const UNSAFE_ATTEMPTS: u32 = 5;
pub(crate) const BACKOFF: Backoff = Backoff { initial_ms: 500, max_ms: 10_000 };
/// The longest life of a step, as of the built-in tools.
const MAX_DEADLINE_MS: u64 = 86_400_000;

/// A tool that is offered, and what the server calls it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Offer {
    pub theirs: Arc<str>,
    pub spec: ToolSpec,
}

/// What a server offers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Catalog {
    pub offers: Vec<Offer>,
    /// A sentence for each tool that is not offered and each setting that fits none.
    pub left_out: Vec<String>,
}

impl Catalog {
    /// Judges what a server has listed.
    pub fn of(settings: &Settings, listed: &[Listed]) -> Self {
        let mut catalog = Self::default();
        let mut taken = BTreeSet::new();
        for tool in listed.iter().filter(|tool| wanted(settings, &tool.name)) {
            if catalog.offers.len() == MAX_TOOLS {
                let more =
                    format!("it lists more than {MAX_TOOLS} tools; mcp.{}.tools can choose", settings.name);
                catalog.left_out.push(more);
                break;
            }
            match offer(settings, tool) {
                Ok(offer) if taken.insert(offer.spec.name.clone()) => catalog.offers.push(offer),
                Ok(offer) => {
                    catalog.leave(&tool.name, &format!("another one is called {} too", offer.spec.name))
                }
                Err(why) => catalog.leave(&tool.name, &why),
            }
        }
        catalog.unmatched(settings, listed);
        catalog
    }

    fn leave(&mut self, tool: &str, why: &str) {
        let mut words = format!("tool {}: {why}", clipped(tool, names::MAX_TOOL_NAME_BYTES));
        words.truncate(words.floor_char_boundary(MAX_WHY_BYTES));
        self.left_out.push(words);
    }

    /// Settings that name a tool which the server does not have.
    fn unmatched(&mut self, settings: &Settings, listed: &[Listed]) {
        let chosen = settings.tools.iter().flatten().map(|tool| ("tools", tool));
        let classed = settings.effects.keys().map(|tool| ("effects", tool));
        for (key, tool) in chosen.chain(classed) {
            if !listed.iter().any(|listed| listed.name == tool.as_str()) {
                self.left_out
                    .push(format!("mcp.{}.{key} names {tool:?}, which it does not list", settings.name));
            }
        }
    }
}

fn wanted(settings: &Settings, tool: &str) -> bool {
    settings.tools.as_ref().is_none_or(|chosen| chosen.iter().any(|name| name == tool))
}

fn offer(settings: &Settings, tool: &Listed) -> Result<Offer, String> {
    let name = names::offered(&settings.name, &tool.name)?;
    let schema = schema(tool)?;
    let effect = effect(settings, tool);
    let timeout_ms = settings.timeout_ms;
    let max_attempts = if effect == EffectClass::Unsafe { UNSAFE_ATTEMPTS } else { ATTEMPTS };
    // Every attempt fits, with its back-off.
    let deadline_ms = (timeout_ms + BACKOFF.max_ms) * u64::from(max_attempts);
    Ok(Offer {
        theirs: Arc::from(&*tool.name),
        spec: ToolSpec {
            name: Arc::from(name),
            description: Arc::from(description(tool)),
            schema,
            effect,
            pool: settings.pool.clone(),
            timeout_ms,
            deadline_ms: deadline_ms.min(MAX_DEADLINE_MS),
            max_attempts,
            backoff: BACKOFF,
            on_failure: OnFailure::Fail,
            concurrency: settings.concurrency,
            approval_timeout_ms: settings.approval_timeout_ms,
        },
    })
}

/// The operator's word, else the server's hints, as the protocol reads them: what says nothing may do anything, and do
/// it again each time.
fn effect(settings: &Settings, tool: &Listed) -> EffectClass {
    let set = settings.effects.get(&*tool.name).copied().or(settings.effect);
    set.unwrap_or_else(|| hinted(tool.annotations.as_ref()))
}

fn hinted(hints: Option<&ToolAnnotations>) -> EffectClass {
    let Some(hints) = hints else { return EffectClass::Unsafe };
    match (hints.read_only_hint, hints.idempotent_hint) {
        (Some(true), _) => EffectClass::Pure,
        (_, Some(true)) => EffectClass::Idempotent,
        _ => EffectClass::Unsafe,
    }
}

/// The schema as the server wrote it, once it is known to compile. What it refers to is never fetched.
fn schema(tool: &Listed) -> Result<RawJson, String> {
    let written = tool.schema_as_json_value();
    let raw = RawJson::from_value(&written);
    if raw.len_bytes() > MAX_SCHEMA_BYTES {
        let bytes = raw.len_bytes();
        return Err(format!("its argument schema has {bytes} bytes; at most {MAX_SCHEMA_BYTES} are allowed"));
    }
    match jsonschema::validator_for(&written) {
        Ok(_) => Ok(raw),
        Err(error) => Err(format!("its argument schema does not compile: {error}")),
    }
}

fn description(tool: &Listed) -> String {
    let words = [tool.description.as_deref(), tool.title.as_deref(), Some(&*tool.name)];
    let words =
        words.into_iter().flatten().map(str::trim).find(|words| !words.is_empty()).unwrap_or_default();
    // Line breaks are layout; other control characters are nothing that a planner should read.
    let legible: String = words.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    clipped(&legible, MAX_DESCRIPTION_BYTES)
}

fn clipped(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most - '…'.len_utf8())])
}
