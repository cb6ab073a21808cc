//! What an operator may set about the tools, as `tools.NAME.KEY`; [`crate::spec`] holds the defaults that these
//! override and [`crate::registry`] judges the values.

use std::collections::BTreeMap;

use callboard_domain::plan::Backoff;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;

/// Settings that every tool has; `None` keeps the tool's own default.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Overrides {
    pub timeout_ms: Option<u64>,
    pub deadline_ms: Option<u64>,
    pub max_attempts: Option<u32>,
    pub backoff: Option<Backoff>,
    pub concurrency: Option<usize>,
    pub pool: Option<String>,
    pub approval: Option<bool>,
    pub approval_timeout_ms: Option<u64>,
}

/// One struct per tool, because serde cannot refuse unknown keys through `flatten`.
macro_rules! tool_settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// One attempt, milliseconds.
            pub timeout_ms: Option<u64>,
            /// All attempts together, milliseconds.
            pub deadline_ms: Option<u64>,
            /// From 1.
            pub max_attempts: Option<u32>,
            /// Between attempts.
            pub backoff: Option<Backoff>,
            /// Invocations at once in one pool member.
            pub concurrency: Option<usize>,
            /// The worker pool that runs it.
            pub pool: Option<String>,
            /// Whether a person has to approve each call.
            pub approval: Option<bool>,
            /// How long that is waited for, milliseconds; a week without it.
            pub approval_timeout_ms: Option<u64>,
        }

        impl $name {
            pub(crate) fn overrides(&self) -> Overrides {
                Overrides {
                    timeout_ms: self.timeout_ms,
                    deadline_ms: self.deadline_ms,
                    max_attempts: self.max_attempts,
                    backoff: self.backoff,
                    concurrency: self.concurrency,
                    pool: self.pool.clone(),
                    approval: self.approval,
                    approval_timeout_ms: self.approval_timeout_ms,
                }
            }
        }
    };
}

tool_settings!(
    /// `tools.echo`, `tools.math`, `tools.ask_model`: what every tool has.
    PlainConfig {}
);
tool_settings!(
    /// `tools.weather`.
    WeatherConfig {
        /// Scheme and host of the forecast service; the tool appends the path.
        base_url: Option<String>,
        /// Scheme and host of the geocoding service; Open-Meteo keeps it on a host of its own.
        geocoding_url: Option<String>,
        /// An OpenWeather key (`WEATHER_API_KEY`): with one, OpenWeather is asked instead of Open-Meteo.
        api_key: Option<Secret>,
    }
);
tool_settings!(
    /// `tools.exchange`.
    ExchangeConfig {
        /// Scheme and host of a Frankfurter; the tool appends `/v1/latest`.
        base_url: Option<String>,
    }
);
tool_settings!(
    /// `tools.webhook`.
    WebhookConfig {
        /// Where it may send, each `SCHEME://HOST[:PORT][/PREFIX]`; nowhere when empty.
        allow: Vec<String>,
    }
);
tool_settings!(
    /// `tools.deposit`.
    DepositConfig {
        /// The service where nothing else is said; allowed by being named.
        base_url: Option<String>,
        /// Other services that it may use, each `SCHEME://HOST[:PORT][/PREFIX]`.
        allow: Vec<String>,
    }
);
tool_settings!(
    /// `tools.http_get`.
    HttpGetConfig {
        /// What it may read: hosts (`example.org`, `*.example.org`) or `SCHEME://HOST[:PORT][/PREFIX]`; nothing when empty.
        allow: Vec<String>,
    }
);
tool_settings!(
    /// `tools.NAME` of a tool of one's own.
    OwnConfig {
        /// `http` or `external`.
        run: Option<String>,
        /// Where an HTTP tool is called.
        url: Option<String>,
        /// For planners.
        description: Option<String>,
        /// JSON Schema of the arguments: a table, JSON as text, or the path of a file with it.
        schema: Option<Value>,
        /// What repeating a call does.
        effect: Option<String>,
        /// Sent along; they may be secret.
        headers: BTreeMap<String, Secret>,
    }
);

/// `tools`: every built-in tool, on its defaults where nothing is set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolsConfig {
    pub echo: PlainConfig,
    pub math: PlainConfig,
    pub weather: WeatherConfig,
    pub exchange: ExchangeConfig,
    pub webhook: WebhookConfig,
    pub deposit: DepositConfig,
    pub http_get: HttpGetConfig,
    pub ask_model: PlainConfig,
}

/// The names that [`ToolsConfig`] knows.
pub const BUILT_IN: &[&str] =
    &["ask_model", "deposit", "echo", "exchange", "http_get", "math", "weather", "webhook"];
