//! OpenWeather: geocoding first, then the current weather there. Used when `WEATHER_API_KEY` is set.
//!
//! One of the two sources of [`super`]. The key travels in the query because the service takes it nowhere else;
//! [`crate::http`] never shows a query.

use callboard_domain::event::ToolError;
use callboard_domain::time::rfc3339;
use reqwest::{StatusCode, Url};
use serde_json::{Number, Value};

use super::{Arguments, FRESH, FRESH_PLACE, Report, SERVICE, Span, Units, no_such_place};
use crate::http::{Fetched, Http, address, unexpected};
use crate::secret::Secret;

pub(super) const PUBLIC: &str = "https://api.openweathermap.org";

#[derive(Clone)]
pub(super) struct OpenWeather {
    base: Url,
    key: Secret,
}

impl OpenWeather {
    pub fn new(base: Url, key: Secret) -> Self {
        Self { base, key }
    }

    pub async fn ask(&self, http: &Http, arguments: &Arguments) -> Result<Report, ToolError> {
        if arguments.span()? != Span::Now {
            let message = "weather: with an OpenWeather key only the current weather is known; without WEATHER_API_KEY \
                           (tools.weather.api_key) Open-Meteo is asked, which has forecasts";
            return Err(ToolError::new("invalid_arguments", message, false));
        }
        let key = self.key.expose().trim();
        let query = [("q", arguments.place.as_str()), ("limit", "1"), ("appid", key)];
        let reply = http.get(SERVICE, address(&self.base, "/geo/1.0/direct", &query), FRESH_PLACE).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Err(no_such_place(&arguments.place));
        }
        accepted(&reply)?;
        let Some(found) = reply.body.as_array().map(|results| results.first().cloned()) else {
            return Err(unexpected("geocoding", "list of results"));
        };
        let found = found.ok_or_else(|| no_such_place(&arguments.place))?;
        let degrees = |field: &'static str| match &found[field] {
            Value::Number(degrees) => Ok(degrees.to_string()),
            _ => Err(unexpected("geocoding", field)),
        };
        let (latitude, longitude) = (degrees("lat")?, degrees("lon")?);
        let units = match arguments.units {
            Units::Metric => "metric",
            Units::Imperial => "imperial",
        };
        let query =
            [("lat", latitude.as_str()), ("lon", longitude.as_str()), ("units", units), ("appid", key)];
        let reply = http.get(SERVICE, address(&self.base, "/data/2.5/weather", &query), FRESH).await?;
        accepted(&reply)?;
        report(&found, &reply.body, arguments)
    }
}

fn accepted(reply: &Fetched) -> Result<(), ToolError> {
    match reply.status.as_u16() {
        200..=299 => Ok(()),
        // Said in our own words: the service's could repeat the key.
        401 | 403 => {
            let message =
                "the weather service refused the key; check WEATHER_API_KEY (tools.weather.api_key)";
            Err(ToolError::new("refused", message, false))
        }
        _ => Err(reply.refusal(SERVICE)),
    }
}

fn report(found: &Value, body: &Value, arguments: &Arguments) -> Result<Report, ToolError> {
    let number = |value: &Value| match value {
        Value::Number(figure) => Some(figure.clone()),
        _ => None,
    };
    let temperature = number(&body["main"]["temp"]).ok_or_else(|| unexpected(SERVICE, "temperature"))?;
    let wind = number(&body["wind"]["speed"]);
    let mut report = Report {
        place: found["name"].as_str().unwrap_or(&arguments.place).to_owned(),
        country: found["country"].as_str().map(str::to_owned),
        humidity_percent: number(&body["main"]["humidity"]),
        conditions: body["weather"][0]["description"].as_str().map(str::to_owned),
        observed_at: body["dt"].as_i64().map(|seconds| rfc3339(seconds.saturating_mul(1_000))),
        ..Report::default()
    };
    match arguments.units {
        Units::Metric => {
            report.temperature_c = Some(temperature);
            report.wind_kmh = wind.and_then(|wind| kilometres_per_hour(&wind));
        }
        Units::Imperial => (report.temperature_f, report.wind_mph) = (Some(temperature), wind),
    }
    Ok(report)
}

/// OpenWeather's metric wind is in metres per second with two decimals.
fn kilometres_per_hour(metres_per_second: &Number) -> Option<Number> {
    let wind = metres_per_second.as_f64()? * 3.6;
    Number::from_f64((wind * 100.0).round() / 100.0)
}
