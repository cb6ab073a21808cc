//! A server of the eval's own: this same executable as a child, with the configuration in force, a temporary data folder
//! on the embedded log, and stubs for the services whose answers would change from day to day.
//!
//! [`super::ask`] talks to it. Its configuration goes in through a pipe, because there may be keys in it.

use std::net::{Ipv4Addr, SocketAddr};

use callboard_testkit::ports::free_port;
use callboard_testkit::process::{FolderGuard, Launch};
use callboard_testkit::stubs::{Exchange, Weather};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::suite::Stub;
use crate::cli::Failure;
use crate::config::{Config, EnginePart, HttpSettings, KafkaSettings};
use crate::demo::child::Child;
use crate::demo::stage::surrounding_settings;

/// What is changed about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Who plans and writes.
    pub provider: Option<EnginePart>,
    /// Which model that provider asks.
    pub model: Option<String>,
    /// Services to stand in for.
    pub stubs: Vec<Stub>,
}

/// A server and what stands around it. All of it ends with this.
pub struct Stage {
    pub child: Child,
    _weather: Option<Weather>,
    _exchange: Option<Exchange>,
    /// After the server: it writes there until it is gone.
    _folder: TempDir,
    /// Removes the folder when this process is ended by SIGKILL.
    _guard: FolderGuard,
}

impl Stage {
    /// Starts it; [`Child::ready`] says when it serves.
    ///
    /// # Errors
    /// What cannot be started, and why.
    pub fn set(mut config: Config, changes: &Changes) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("callboard-eval-").tempdir().map_err(Failure::job)?;
        let guard = FolderGuard::over(folder.path()).map_err(Failure::job)?;
        let wants = |stub| changes.stubs.contains(&stub);
        let weather = wants(Stub::Weather).then(Weather::start).transpose().map_err(Failure::job)?;
        let exchange = wants(Stub::Exchange).then(Exchange::start).transpose().map_err(Failure::job)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        config.listen = address;
        config.data_dir = folder.path().join("data");
        config.without = Vec::new();
        config.kafka = KafkaSettings::default();
        // Nobody else knows its port, and it ends with the eval.
        config.http = HttpSettings { api_keys: Default::default(), ..config.http };
        change(&mut config, changes);
        if let Some(weather) = &weather {
            let stub = [("base_url", weather.url()), ("geocoding_url", weather.url())];
            redirect(&mut config, "weather", &stub);
        }
        if let Some(exchange) = &exchange {
            redirect(&mut config, "exchange", &[("base_url", exchange.url())]);
        }
        let child = Child::start(launch(&config)?, address)?;
        Ok(Self { child, _weather: weather, _exchange: exchange, _folder: folder, _guard: guard })
    }
}

fn change(config: &mut Config, changes: &Changes) {
    if let Some(provider) = changes.provider {
        config.planner.order = vec![provider];
    }
    match (&changes.model, changes.provider) {
        (Some(model), Some(EnginePart::Ollama)) => config.models.ollama.model = Some(model.clone()),
        (Some(model), Some(EnginePart::Openai)) => config.models.openai.model = Some(model.clone()),
        _ => {}
    }
}

/// Points a tool to a stub. A key would choose another service than the stub is.
fn redirect(config: &mut Config, tool: &str, settings: &[(&str, String)]) {
    let table = config.tools.entry(tool.to_owned()).or_default();
    table.remove("api_key");
    for (name, value) in settings {
        table.insert((*name).to_owned(), json!(value));
    }
}

/// The child reads nothing but what is piped to it: not the surrounding file again, nor its variables.
fn launch(config: &Config) -> Result<Launch, Failure> {
    let written = serde_json::to_value(config).map_err(Failure::job)?;
    let text = toml::to_string(&without_nulls(written)).map_err(Failure::job)?;
    let program = std::env::current_exe().map_err(Failure::job)?;
    let mut launch = Launch::new(program).args(["serve", "--config", "/dev/stdin"]).input(text);
    for name in surrounding_settings() {
        launch = launch.env_remove(name);
    }
    Ok(launch)
}

/// TOML has no null: what is not set is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let set = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(members) => Value::Array(members.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
