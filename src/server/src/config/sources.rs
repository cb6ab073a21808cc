//! Where settings come from: one figment provider per file, environment variable and flag, so that every value
//! knows its origin by name.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::keys::{self, Kind};
use super::load::ConfigError;

/// The variables of a process; tests bring their own.
#[derive(Debug, Clone, Default)]
pub struct Environment(pub Vec<(String, String)>);

impl Environment {
    /// Of this process; what is not UTF-8 cannot be one of ours.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut all: Vec<_> = std::env::vars_os().filter_map(text).collect();
        all.sort();
        Self(all)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// One setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// `--listen`.
    pub name: &'static str,
    pub key: &'static str,
    pub value: Value,
}

/// Settings of one origin.
#[derive(Debug, Clone)]
pub struct Source {
    /// `callboard.toml`, `environment variable KAFKA_BROKERS`, `flag --listen`.
    pub origin: String,
    pub leaves: Vec<(Vec<String>, Value)>,
}

impl Provider for Source {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        for (path, value) in &self.leaves {
            insert(&mut root, path, value.clone());
        }
        Ok(Map::from([(Profile::Default, root)]))
    }
}

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        dict.insert(first.clone(), value);
        return;
    }
    let inner = dict.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = inner {
        insert(inner, rest, value);
    }
}

/// The leaves of a tree with their paths. The names of librdkafka's properties contain dots and stay whole, and so does a
/// tool's schema, whose own keys are nobody's settings.
pub fn leaves(dict: &Dict) -> Vec<(Vec<String>, Value)> {
    fn walk(path: &mut Vec<String>, dict: &Dict, out: &mut Vec<(Vec<String>, Value)>) {
        for (name, value) in dict {
            path.push(name.clone());
            match value {
                Value::Dict(_, inner) if !inner.is_empty() && !is_schema(path) => walk(path, inner, out),
                Value::Dict(..) if !is_schema(path) => {}
                leaf => out.push((whole_property(path), leaf.clone())),
            }
            path.pop();
        }
    }
    let mut out = Vec::new();
    walk(&mut Vec::new(), dict, &mut out);
    out
}

fn is_schema(path: &[String]) -> bool {
    matches!(path, [tools, _, schema] if tools == "tools" && schema == "schema")
}

/// The path of a schema's file is meant as its own file has it, wherever the process was started.
fn beside(file: &Path, mut leaves: Vec<(Vec<String>, Value)>) -> Vec<(Vec<String>, Value)> {
    let folder = file.parent().unwrap_or(Path::new(""));
    for (path, value) in &mut leaves {
        if is_schema(path)
            && let Value::String(_, text) = value
            && !text.trim_start().starts_with('{')
        {
            *text = folder.join(&*text).display().to_string();
        }
    }
    leaves
}

fn whole_property(path: &[String]) -> Vec<String> {
    match path {
        [kafka, properties, name @ ..]
            if kafka == "kafka" && properties == "properties" && !name.is_empty() =>
        {
            vec![kafka.clone(), properties.clone(), name.join(".")]
        }
        _ => path.to_vec(),
    }
}

/// Reads a TOML file.
///
/// # Errors
/// When it cannot be read or is no TOML.
pub fn file(path: &Path) -> Result<Source, ConfigError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError::File { file: PathBuf::from(path), problem: e.to_string() })?;
    let dict: Dict = toml::from_str(&text).map_err(|e| {
        // The first line says it; the rest draws an arrow.
        let at = e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        ConfigError::File { file: PathBuf::from(path), problem: format!("line {at}: {}", e.message()) }
    })?;
    Ok(Source { origin: name, leaves: beside(path, leaves(&dict)) })
}

/// `CALLBOARD__A__B`, and the variables that other programs use too, which go before ours in weight.
pub fn environment(environment: &Environment) -> Vec<Source> {
    let mut out = Vec::new();
    let foreign = [
        (&["OPENAI_API_KEY"][..], "models.openai.api_key"),
        (&["WEATHER_API_KEY"], "tools.weather.api_key"),
        (&["KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS"], "kafka.brokers"),
        (&["OLLAMA_HOST"], "models.ollama.host"),
    ];
    for (names, key) in foreign {
        let found = names.iter().find_map(|name| environment.get(name).map(|value| (*name, value)));
        let Some((name, value)) = found else { continue };
        let path = key.split('.').map(str::to_owned).collect();
        out.push(Source {
            origin: format!("environment variable {name}"),
            leaves: vec![(path, Value::from(value))],
        });
    }
    for (name, value) in &environment.0 {
        let Some(rest) = name.strip_prefix("CALLBOARD__") else { continue };
        if value.is_empty() {
            continue;
        }
        let mut path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        if path.len() > 2 && path[0] == "kafka" && path[1] == "properties" {
            // Shells take no dots in names, and librdkafka no underscores.
            path = vec![path[0].clone(), path[1].clone(), path[2..].join(".").replace('_', ".")];
        }
        if path.len() > 3 && path[0] == "mcp" && NAMED_BY_OTHERS.contains(&path[2].as_str()) {
            let name: Vec<&str> = rest.split("__").skip(3).collect();
            path.truncate(3);
            path.push(name.join("__"));
        }
        let value = read(&path, value);
        out.push(Source { origin: format!("environment variable {name}"), leaves: vec![(path, value)] });
    }
    out
}

/// Tables of an MCP server whose keys are not ours: they keep their case and their underscores.
const NAMED_BY_OTHERS: [&str; 3] = ["env", "headers", "effects"];

/// A variable's text as its key wants it; what does not fit stays text and is refused with its origin.
fn read(path: &[String], text: &str) -> Value {
    let kind = keys::known(path).map_or(Kind::Text, |key| key.kind);
    match kind {
        Kind::Text => Value::from(text),
        Kind::Secret if path.last().is_some_and(|name| name == "api_keys") => list(text),
        Kind::Secret => Value::from(text),
        Kind::Number => text.trim().parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
        Kind::Switch => match text.trim() {
            "true" | "1" | "yes" | "on" => Value::from(true),
            "false" | "0" | "no" | "off" => Value::from(false),
            other => Value::from(other),
        },
        Kind::List => list(text),
    }
}

fn list(text: &str) -> Value {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let items = text.split(',').map(|item| item.trim().trim_matches('"')).filter(|item| !item.is_empty());
    Value::from(items.map(Value::from).collect::<Vec<Value>>())
}
