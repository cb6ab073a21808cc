//! Putting the sources together: defaults < file < environment < flags. A key that nobody knows is an error
//! that names its nearest neighbour and where it was written.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use figment::value::Value;

use super::sources::{self, Environment, Flag, Source};
use super::{Config, keys};

/// The file that is read when it exists and no other is named.
pub const DEFAULT_FILE: &str = "callboard.toml";

/// Why there is no configuration. Each is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {problem}", file.display())]
    File { file: PathBuf, problem: String },
    #[error(
        "unknown key {key:?} in {origin}; did you mean {nearest:?}? `callboard config show` lists all keys"
    )]
    Unknown { key: String, origin: String, nearest: String },
    #[error("{key} in {origin}: {problem}")]
    Value { key: String, origin: String, problem: String },
}

/// A configuration that knows where each value came from.
pub struct Loaded {
    pub config: Config,
    figment: Figment,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Loaded").field(&self.config).finish()
    }
}

impl Loaded {
    /// Where the value of `key` came from: `default`, a file, a variable, a flag.
    #[must_use]
    pub fn origin(&self, key: &str) -> String {
        self.figment.find_metadata(key).map_or_else(|| DEFAULT.to_owned(), |found| found.name.to_string())
    }

    pub(super) fn figment(&self) -> &Figment {
        &self.figment
    }
}

pub(super) const DEFAULT: &str = "default";

/// Loads the configuration. `file`: the one that was named; else `callboard.toml` in `folder`, if it exists.
///
/// # Errors
/// [`ConfigError`].
pub fn load(
    file: Option<&Path>,
    folder: &Path,
    environment: &Environment,
    flags: &[Flag],
) -> Result<Loaded, ConfigError> {
    let mut all: Vec<Source> = Vec::new();
    let usual = folder.join(DEFAULT_FILE);
    match file {
        Some(named) => all.push(sources::file(named)?),
        None if usual.is_file() => all.push(sources::file(&usual)?),
        None => {}
    }
    all.extend(sources::environment(environment));
    all.extend(flags.iter().map(|flag| Source {
        origin: format!("flag {}", flag.name),
        leaves: vec![(flag.key.split('.').map(str::to_owned).collect(), flag.value.clone())],
    }));
    let mut figment = Figment::new();
    let defaults = Serialized::defaults(Config::default());
    figment = figment.merge(Named(defaults));
    for source in all {
        for (path, value) in &source.leaves {
            judge(path, value, &source.origin)?;
        }
        figment = figment.merge(source);
    }
    let config: Config = figment.extract().map_err(|error| {
        let origin =
            error.metadata.as_ref().map_or_else(|| DEFAULT.to_owned(), |found| found.name.to_string());
        let problem = match &error.kind {
            // Our own words about secrets name their owners only; those of the reader quote what they found.
            figment::error::Kind::Message(words) => words.clone(),
            _ if keys::is_secret(&error.path) => "is not of the right type".to_owned(),
            kind => kind.to_string().replace("``", "`"),
        };
        ConfigError::Value { key: error.path.join("."), origin, problem }
    })?;
    check(&config, &figment)?;
    Ok(Loaded { config, figment })
}

/// Whether one setting can be taken at all, before it meets the others.
fn judge(path: &[String], value: &Value, origin: &str) -> Result<(), ConfigError> {
    let (key, origin) = (path.join("."), origin.to_owned());
    let Some(known) = keys::known(path) else {
        return Err(ConfigError::Unknown { key, origin, nearest: keys::nearest(path) });
    };
    // `http.api_keys` may be a list. What reads the others would quote the number that it found.
    if keys::is_secret(path) && known.path != "http.api_keys" && value.as_str().is_none() {
        let problem = "a secret is text; write it in quotes".to_owned();
        return Err(ConfigError::Value { key, origin, problem });
    }
    Ok(())
}

/// What types cannot say.
fn check(config: &Config, figment: &Figment) -> Result<(), ConfigError> {
    let wrong = |key: &str, problem: String| {
        let origin = figment.find_metadata(key).map_or_else(|| DEFAULT.to_owned(), |m| m.name.to_string());
        Err(ConfigError::Value { key: key.to_owned(), origin, problem })
    };
    // Kafka's own bound is in the thousands; a count of hundreds already means hundreds of hosts' state.
    if !(1..=1_024).contains(&config.kafka.partitions) {
        return wrong("kafka.partitions", format!("{} is not between 1 and 1024", config.kafka.partitions));
    }
    let most = callboard_domain::limits::MAX_VERSIONS;
    if !(1..=most).contains(&config.planner.max_rounds) {
        return wrong(
            "planner.max_rounds",
            format!("{} is not between 1 and {most}", config.planner.max_rounds),
        );
    }
    if config.http.wait_ms > 300_000 {
        return wrong("http.wait_ms", format!("{} is more than 300000", config.http.wait_ms));
    }
    if let Some(host) = config.http.allowed_hosts.iter().find(|host| host.is_empty() || host.contains('/')) {
        let problem = format!("{host:?} is never the name of a host; write board.example, for example");
        return wrong("http.allowed_hosts", problem);
    }
    if config.planner.order.is_empty() {
        return wrong("planner.order", "names no planner; known are ollama, openai, builtin".to_owned());
    }
    let prefix = &config.kafka.topic_prefix;
    if prefix.len() > 64 || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        return wrong(
            "kafka.topic_prefix",
            format!("{prefix:?} is not at most 64 letters, digits, '.', '_' or '-'"),
        );
    }
    let turns = [
        ("turns.planning_timeout_ms", config.turns.planning_timeout_ms),
        ("turns.synthesis_timeout_ms", config.turns.synthesis_timeout_ms),
        ("turns.turn_timeout_ms", config.turns.turn_timeout_ms),
    ];
    match turns.iter().find(|(_, ms)| *ms == 0) {
        Some((key, _)) => wrong(key, "0 would fail every turn at once".to_owned()),
        None => Ok(()),
    }
}

/// The defaults under a name that people understand.
struct Named(Serialized<Config>);

impl figment::Provider for Named {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(DEFAULT)
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        self.0.data()
    }
}
