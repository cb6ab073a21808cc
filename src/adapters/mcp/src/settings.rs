//! From a [`ServerConfig`] to what the rest of the crate works with; every value is judged here, before anything
//! starts, in a sentence that names the key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callboard_domain::limits::{DEFAULT_APPROVAL_TIMEOUT_MS, MAX_APPROVAL_TIMEOUT_MS};
use callboard_domain::plan::EffectClass;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use crate::config::ServerConfig;
use crate::secret::{Masks, Secret};

/// More servers than this are a generated configuration gone wrong; each may be a process.
const MAX_SERVERS: usize = 64;
/// With a tool's name behind it the name still has to fit the 64 characters that models' APIs take.
const MAX_NAME_BYTES: usize = 32;
/// The longest attempt: a longer call belongs behind a queue of its own.
const MAX_TIMEOUT_MS: u64 = 3_600_000;
/// A package runner that has to fetch its package first takes a minute or two.
const MAX_START_TIMEOUT_MS: u64 = 600_000;
/// More calls of one server at once than this are a mistake in a unit.
const MAX_CONCURRENCY: usize = 1_024;
/// Pool names become consumer group ids and metric labels.
const MAX_POOL_NAME_BYTES: usize = 64;
/// Headers that the transport sets itself.
const RESERVED_HEADERS: &[&str] = &[
    "accept",
    "content-type",
    "content-length",
    "host",
    "mcp-session-id",
    "mcp-protocol-version",
    "last-event-id",
];

/// A setting that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {problem}")]
pub struct SettingError {
    /// As it is written, `mcp.NAME.KEY`.
    pub key: String,
    pub problem: String,
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    Stdio { command: String, args: Vec<String>, env: BTreeMap<String, Secret>, cwd: Option<PathBuf> },
    Http { url: Url, headers: Vec<(HeaderName, HeaderValue)> },
}

/// A server's settings, judged.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) reach: Reach,
    pub(crate) timeout_ms: u64,
    pub(crate) start_timeout: Duration,
    pub(crate) pool: Arc<str>,
    pub(crate) concurrency: usize,
    pub(crate) tools: Option<Vec<String>>,
    pub(crate) effect: Option<EffectClass>,
    pub(crate) effects: BTreeMap<String, EffectClass>,
    /// Of each step that calls one of its tools; `None`: nobody is asked.
    pub(crate) approval_timeout_ms: Option<u64>,
    pub(crate) masks: Masks,
}

impl Settings {
    /// Judges all servers.
    ///
    /// # Errors
    /// [`SettingError`] names the key that is wrong and what would be right.
    pub fn judge(configs: &BTreeMap<String, ServerConfig>) -> Result<Vec<Self>, SettingError> {
        if configs.len() > MAX_SERVERS {
            let problem = format!("has {} servers; at most {MAX_SERVERS} are allowed", configs.len());
            return Err(SettingError { key: "mcp".to_owned(), problem });
        }
        configs.iter().map(|(name, config)| Self::of(name, config)).collect()
    }

    fn of(name: &str, config: &ServerConfig) -> Result<Self, SettingError> {
        let judge = Judge { server: name };
        judge.name()?;
        let secrets = config.env.values().chain(config.headers.values()).cloned();
        let start_timeout_ms =
            judge.number("start_timeout_ms", config.start_timeout_ms, 30_000, MAX_START_TIMEOUT_MS)?;
        let concurrency = config.concurrency.map(|calls| calls as u64);
        let concurrency = judge.number("concurrency", concurrency, 8, MAX_CONCURRENCY as u64)?;
        Ok(Self {
            name: Arc::from(name),
            reach: judge.reach(config)?,
            timeout_ms: judge.number("timeout_ms", config.timeout_ms, 60_000, MAX_TIMEOUT_MS)?,
            start_timeout: Duration::from_millis(start_timeout_ms),
            pool: judge.pool(config.pool.as_deref())?,
            concurrency: usize::try_from(concurrency).unwrap_or(MAX_CONCURRENCY),
            tools: judge.tools(config.tools.as_deref())?,
            effect: config.effect.as_deref().map(|class| judge.effect("effect", class)).transpose()?,
            effects: judge.effects(&config.effects)?,
            approval_timeout_ms: judge.approval(config)?,
            masks: Masks::of(secrets),
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The worker pool that runs its tools.
    #[must_use]
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// From its start to its list of tools.
    #[must_use]
    pub fn start_timeout(&self) -> Duration {
        self.start_timeout
    }

    /// What every tool of this server begins with; no other server's tools do, since names have no underscore.
    pub(crate) fn prefix(&self) -> String {
        format!("{}_", self.name)
    }

    pub(crate) fn transport(&self) -> &'static str {
        match self.reach {
            Reach::Stdio { .. } => "stdio",
            Reach::Http { .. } => "http",
        }
    }
}

/// The settings of one server under judgement.
struct Judge<'a> {
    server: &'a str,
}

impl Judge<'_> {
    fn wrong(&self, key: &str, problem: impl Into<String>) -> SettingError {
        SettingError { key: format!("mcp.{}.{key}", self.server), problem: problem.into() }
    }

    fn name(&self) -> Result<(), SettingError> {
        let name = self.server;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if begins && name.len() <= MAX_NAME_BYTES && name.bytes().all(fits) {
            return Ok(());
        }
        let problem = format!(
            "is no name for a server: it is 1 to {MAX_NAME_BYTES} of a-z, 0-9 and '-' and begins with a letter (its \
             tools are called NAME_TOOL)"
        );
        Err(SettingError { key: format!("mcp.{name}"), problem })
    }

    fn number(&self, key: &str, set: Option<u64>, usual: u64, most: u64) -> Result<u64, SettingError> {
        match set.unwrap_or(usual) {
            value if (1..=most).contains(&value) => Ok(value),
            value => Err(self.wrong(key, format!("is {value}; allowed are 1 to {most}"))),
        }
    }

    /// How long an approval is waited for, where one is asked for.
    fn approval(&self, config: &ServerConfig) -> Result<Option<u64>, SettingError> {
        let (key, set) = ("approval_timeout_ms", config.approval_timeout_ms);
        let limit = self.number(key, set, DEFAULT_APPROVAL_TIMEOUT_MS, MAX_APPROVAL_TIMEOUT_MS)?;
        match (config.approval, set) {
            (Some(true), _) => Ok(Some(limit)),
            (_, Some(_)) => Err(self.wrong(key, "is set, but no approval is asked for: set approval = true")),
            (_, None) => Ok(None),
        }
    }

    fn reach(&self, config: &ServerConfig) -> Result<Reach, SettingError> {
        let misplaced = |keys: &[(&str, bool)], of: &str| {
            let set = keys.iter().find(|(_, set)| *set);
            set.map_or(Ok(()), |(key, _)| Err(self.wrong(key, format!("belongs to a server with a {of}"))))
        };
        match (&config.command, &config.url) {
            (Some(_), Some(_)) => Err(self.wrong("url", "is set beside a command; a server has one of them")),
            (None, None) => {
                let problem =
                    "is not set, and no url either: a server is a command to start or a url to reach";
                Err(self.wrong("command", problem))
            }
            (Some(command), None) => {
                misplaced(&[("headers", !config.headers.is_empty())], "url")?;
                self.stdio(command, config)
            }
            (None, Some(url)) => {
                let keys = [
                    ("args", !config.args.is_empty()),
                    ("env", !config.env.is_empty()),
                    ("cwd", config.cwd.is_some()),
                ];
                misplaced(&keys, "command")?;
                Ok(Reach::Http { url: self.url(url)?, headers: self.headers(&config.headers)? })
            }
        }
    }

    fn stdio(&self, command: &str, config: &ServerConfig) -> Result<Reach, SettingError> {
        if command.trim().is_empty() {
            return Err(self.wrong("command", "is empty; write the program, and its arguments into args"));
        }
        let nul = |text: &str| text.contains('\0');
        if nul(command) || config.args.iter().any(|arg| nul(arg)) {
            return Err(self.wrong("args", "contains a NUL character, which no program takes"));
        }
        for (name, value) in &config.env {
            if name.is_empty() || name.contains(['=', '\0']) || nul(value.expose()) {
                return Err(self.wrong("env", format!("has {name:?}, which is no environment variable")));
            }
        }
        Ok(Reach::Stdio {
            command: command.to_owned(),
            args: config.args.clone(),
            env: config.env.clone(),
            cwd: config.cwd.clone(),
        })
    }

    fn url(&self, text: &str) -> Result<Url, SettingError> {
        let wrong =
            |what: String| self.wrong("url", format!("{what}; write https://example.org/mcp, for example"));
        let url = Url::parse(text.trim()).map_err(|error| wrong(format!("is no URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("is not an http or https URL".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("contains a user or password, which belong into headers".to_owned()));
        }
        Ok(url)
    }

    fn headers(
        &self,
        written: &BTreeMap<String, Secret>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SettingError> {
        let mut headers = Vec::new();
        for (name, value) in written {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| self.wrong("headers", format!("has {name:?}, which is no header name")))?;
            if RESERVED_HEADERS.contains(&name.as_str()) {
                return Err(self.wrong("headers", format!("sets {name}, which MCP sets itself")));
            }
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| self.wrong(&format!("headers.{name}"), "has characters that no header takes"))?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        Ok(headers)
    }

    fn pool(&self, set: Option<&str>) -> Result<Arc<str>, SettingError> {
        let Some(pool) = set else { return Ok(Arc::from(format!("mcp-{}", self.server))) };
        let fits = pool.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if pool.is_empty() || pool.len() > MAX_POOL_NAME_BYTES || !fits {
            let problem = format!("is {pool:?}; a pool name is 1 to {MAX_POOL_NAME_BYTES} of [A-Za-z0-9_-]");
            return Err(self.wrong("pool", problem));
        }
        Ok(Arc::from(pool))
    }

    fn tools(&self, set: Option<&[String]>) -> Result<Option<Vec<String>>, SettingError> {
        match set {
            Some([]) => Err(self.wrong("tools", "names no tool; leave it out to offer all of them")),
            set => Ok(set.map(<[String]>::to_vec)),
        }
    }

    fn effect(&self, key: &str, class: &str) -> Result<EffectClass, SettingError> {
        match class {
            "pure" => Ok(EffectClass::Pure),
            "idempotent" => Ok(EffectClass::Idempotent),
            "unsafe" => Ok(EffectClass::Unsafe),
            other => {
                let why = if other == "reconcilable" { " (MCP has no probe)" } else { "" };
                let problem = format!("is {other:?}; allowed are pure, idempotent and unsafe{why}");
                Err(self.wrong(key, problem))
            }
        }
    }

    fn effects(
        &self,
        written: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, EffectClass>, SettingError> {
        let one = |(tool, class): (&String, &String)| {
            Ok((tool.clone(), self.effect(&format!("effects.{tool}"), class)?))
        };
        written.iter().map(one).collect()
    }
}
