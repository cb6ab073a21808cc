//! `weather`: the current weather of a place, from Open-Meteo, or from OpenWeather when there is a key.
//!
//! This file is the tool and its result; [`open_meteo`] and [`open_weather`] ask the services, [`place`] reads what
//! the user called the place, [`conditions`] puts Open-Meteo's codes into words.

mod conditions;
mod open_meteo;
mod open_weather;
mod place;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::Backoff;
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use crate::config::WeatherConfig;
use crate::http::{Http, base_url};
use crate::registry::BuildError;
use crate::spec::{self, Defaults};
use open_meteo::OpenMeteo;
use open_weather::OpenWeather;

const SERVICE: &str = "weather";
/// Longer than any place's name in any language; a longer one is a sentence.
const MAX_PLACE_CHARACTERS: usize = 100;

/// What the figures are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Units {
    /// °C and km/h.
    #[default]
    Metric,
    /// °F and mph.
    Imperial,
}

#[derive(Deserialize)]
struct Arguments {
    place: String,
    #[serde(default)]
    units: Units,
}

/// The tool's result. Figures are the source's; what the source left out is left out.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Report {
    place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature_c: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature_f: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_kmh: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_mph: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    humidity_percent: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conditions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_at: Option<String>,
}

#[derive(Clone)]
enum Source {
    OpenMeteo(OpenMeteo),
    OpenWeather(OpenWeather),
}

pub(crate) struct Weather {
    spec: ToolSpec,
    source: Source,
    http: Http,
}

impl Weather {
    pub fn new(config: &WeatherConfig, http: Http) -> Result<Self, BuildError> {
        let defaults = Defaults {
            name: "weather",
            description: "The current weather of one place: temperature, wind, humidity and conditions. No forecast. \
                          For several places use one step each.",
            schema: json!({
                "type": "object",
                "properties": {
                    "place": {
                        "type": "string", "minLength": 1, "maxLength": MAX_PLACE_CHARACTERS,
                        "description": "A city, with its country or state where the name alone is ambiguous: Paris, Texas."
                    },
                    "units": {
                        "type": "string", "enum": ["metric", "imperial"],
                        "description": "metric (°C, km/h) when left out."
                    }
                },
                "required": ["place"],
                "additionalProperties": false
            }),
            timeout_ms: 10_000,
            deadline_ms: 60_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 300, max_ms: 5_000 },
            concurrency: 16,
        };
        Ok(Self { spec: spec::pure(defaults, &config.overrides())?, source: source(config)?, http })
    }
}

fn source(config: &WeatherConfig) -> Result<Source, BuildError> {
    let url =
        |key, text: &Option<String>, public| base_url("weather", key, text.as_deref().unwrap_or(public));
    match &config.api_key {
        Some(key) if !key.is_blank() => Ok(Source::OpenWeather(OpenWeather::new(
            url("base_url", &config.base_url, open_weather::PUBLIC)?,
            key.clone(),
        ))),
        _ => {
            let forecast = url("base_url", &config.base_url, open_meteo::PUBLIC)?;
            let geocoding = url("geocoding_url", &config.geocoding_url, open_meteo::PUBLIC_GEOCODING)?;
            Ok(Source::OpenMeteo(OpenMeteo::new(forecast, geocoding)))
        }
    }
}

impl Tool for Weather {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let arguments: Arguments = serde_json::from_str(call.arguments.as_str())
                .map_err(|error| ToolError::new("invalid_arguments", format!("weather: {error}"), false))?;
            let (http, source) = (self.http.clone(), self.source.clone());
            let work = async move {
                let report = match source {
                    Source::OpenMeteo(service) => service.ask(&http, &arguments).await?,
                    Source::OpenWeather(service) => service.ask(&http, &arguments).await?,
                };
                RawJson::of(&report).map_err(|error| ToolError::new("internal", error.to_string(), false))
            };
            self.http.run(SERVICE, call.timeout_ms, work).await
        })
    }
}

fn no_such_place(place: &str) -> ToolError {
    let message = format!("no place called {place:?} was found; try its English name, or add the country");
    ToolError::new("not_found", message, false)
}
