//! `weather`: the current weather of a place and the days to come, from Open-Meteo, or from OpenWeather when there is a key.
//!
//! This file is the tool and its result; [`open_meteo`] and [`open_weather`] ask the services, [`place`] reads what
//! the user called the place, [`conditions`] puts Open-Meteo's codes into words.

mod conditions;
mod open_meteo;
mod open_weather;
mod place;

use std::time::Duration;

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
/// As far as Open-Meteo looks ahead.
const MAX_DAYS: u32 = 16;
/// Where a service does not say how long its answer is fresh: the present changes every quarter of an hour…
const FRESH: Duration = Duration::from_secs(5 * 60);
/// …and no city moves.
const FRESH_PLACE: Duration = Duration::from_secs(24 * 60 * 60);

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
    days: Option<u32>,
    from: Option<String>,
    until: Option<String>,
}

/// Which days are asked for beside the present.
#[derive(Debug, PartialEq, Eq)]
enum Span<'a> {
    Now,
    /// So many from today on.
    Days(u32),
    /// From one day to another, both included.
    Between(&'a str, &'a str),
}

impl Arguments {
    fn span(&self) -> Result<Span<'_>, ToolError> {
        match (self.days, self.from.as_deref(), self.until.as_deref()) {
            (None, None, None) => Ok(Span::Now),
            (Some(days), None, None) => Ok(Span::Days(days)),
            (None, from, until) => {
                let from = from.or(until).unwrap_or_default();
                let until = until.unwrap_or(from);
                if from <= until {
                    return Ok(Span::Between(from, until));
                }
                let message =
                    format!("weather: {from} comes after {until}; `from` is the first day, `until` the last");
                Err(ToolError::new("invalid_arguments", message, false))
            }
            _ => {
                let message = "weather: say either `days` (from today on) or `from` and `until`";
                Err(ToolError::new("invalid_arguments", message, false))
            }
        }
    }
}

/// One day of a forecast.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Day {
    date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conditions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high_c: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low_c: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high_f: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low_f: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation_mm: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation_in: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation_probability_percent: Option<Number>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    days: Vec<Day>,
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
        let day = |what: &str| {
            let description = format!("{what}, as YYYY-MM-DD.");
            json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "description": description})
        };
        let defaults = Defaults {
            name: "weather",
            description: "The current weather of one place: temperature, wind, humidity and conditions; with `days`, or `from` \
                          and `until`, also a forecast of each day in `days` (high, low, precipitation, conditions). For \
                          several places use one step each.",
            schema: json!({
                "type": "object",
                "properties": {
                    "place": {
                        "type": "string", "minLength": 1, "maxLength": MAX_PLACE_CHARACTERS,
                        "description": "A city, with its country or state where the name alone is ambiguous: Paris, Texas."
                    },
                    "units": {
                        "type": "string", "enum": ["metric", "imperial"],
                        "description": "metric (°C, km/h, mm) when left out."
                    },
                    "days": {
                        "type": "integer", "minimum": 1, "maximum": MAX_DAYS,
                        "description": "Days to forecast, today included."
                    },
                    "from": day("The first day to forecast, instead of `days`"),
                    "until": day("The last day to forecast")
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
