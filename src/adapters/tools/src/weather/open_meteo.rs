//! Open-Meteo: geocoding first, then the weather there, now and on the days to come. Needs no key.
//!
//! One of the two sources of [`super`].

use callboard_domain::event::ToolError;
use reqwest::Url;
use serde_json::{Number, Value};

use super::{
    Arguments, Day, FRESH, FRESH_PLACE, Report, SERVICE, Span, Units, conditions, no_such_place, place,
};
use crate::http::{Http, address, unexpected};

pub(super) const PUBLIC: &str = "https://api.open-meteo.com";
pub(super) const PUBLIC_GEOCODING: &str = "https://geocoding-api.open-meteo.com";
/// Namesakes to look through for the one in the region that the user named.
const NAMESAKES: &str = "20";
const DAILY: &str =
    "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max";

#[derive(Clone)]
pub(super) struct OpenMeteo {
    forecast: Url,
    geocoding: Url,
}

impl OpenMeteo {
    pub fn new(forecast: Url, geocoding: Url) -> Self {
        Self { forecast, geocoding }
    }

    pub async fn ask(&self, http: &Http, arguments: &Arguments) -> Result<Report, ToolError> {
        let span = arguments.span()?;
        let found = self.find(http, &arguments.place).await?;
        let degrees = |field: &'static str| match &found[field] {
            Value::Number(degrees) => Ok(degrees.to_string()),
            _ => Err(unexpected(SERVICE, field)),
        };
        let (latitude, longitude) = (degrees("latitude")?, degrees("longitude")?);
        let mut query = vec![
            ("latitude", latitude.as_str()),
            ("longitude", longitude.as_str()),
            ("current", "temperature_2m,relative_humidity_2m,weather_code,wind_speed_10m"),
        ];
        if arguments.units == Units::Imperial {
            query.extend([("temperature_unit", "fahrenheit"), ("wind_speed_unit", "mph")]);
        }
        let days;
        if span != Span::Now {
            // A day is one of the place's own.
            query.extend([("daily", DAILY), ("timezone", "auto")]);
            if arguments.units == Units::Imperial {
                query.push(("precipitation_unit", "inch"));
            }
        }
        match span {
            Span::Now => {}
            Span::Days(count) => {
                days = count.to_string();
                query.push(("forecast_days", days.as_str()));
            }
            Span::Between(from, until) => query.extend([("start_date", from), ("end_date", until)]),
        }
        let reply = http.get(SERVICE, address(&self.forecast, "/v1/forecast", &query), FRESH).await?;
        if !reply.status.is_success() {
            return Err(reply.refusal(SERVICE));
        }
        report(&found, &reply.body, arguments)
    }

    async fn find(&self, http: &Http, wanted: &str) -> Result<Value, ToolError> {
        let (name, region) = place::split(wanted);
        let count = if region.is_some() { NAMESAKES } else { "1" };
        let query = [("name", name), ("count", count), ("language", "en"), ("format", "json")];
        let mut reply =
            http.get(SERVICE, address(&self.geocoding, "/v1/search", &query), FRESH_PLACE).await?;
        if !reply.status.is_success() {
            return Err(reply.refusal("geocoding"));
        }
        // Open-Meteo leaves `results` out where nothing was found.
        let mut results = match reply.body.as_object_mut().map(|body| body.remove("results")) {
            Some(Some(Value::Array(results))) => results,
            Some(None) => Vec::new(),
            _ => return Err(unexpected("geocoding", "list of results")),
        };
        let at = match region {
            None => (!results.is_empty()).then_some(0),
            Some(region) => results.iter().position(|found| place::lies_in(found, region)),
        };
        at.map(|at| results.swap_remove(at)).ok_or_else(|| no_such_place(wanted))
    }
}

fn report(found: &Value, body: &Value, arguments: &Arguments) -> Result<Report, ToolError> {
    let current = body["current"].as_object().ok_or_else(|| unexpected(SERVICE, "current weather"))?;
    let number = |field: &str| -> Option<Number> {
        match current.get(field) {
            Some(Value::Number(figure)) => Some(figure.clone()),
            _ => None,
        }
    };
    let temperature = number("temperature_2m").ok_or_else(|| unexpected(SERVICE, "temperature"))?;
    let wind = number("wind_speed_10m");
    let name = found["name"].as_str().unwrap_or(&arguments.place).to_owned();
    // Times come without a zone; the offset of the zone that was asked for (none, so UTC) is beside them.
    let utc = body["utc_offset_seconds"].as_i64() == Some(0);
    let observed_at = current.get("time").and_then(Value::as_str);
    let mut report = Report {
        place: name,
        country: found["country"].as_str().map(str::to_owned),
        humidity_percent: number("relative_humidity_2m"),
        conditions: number("weather_code")
            .and_then(|code| conditions::words(code.as_u64()?))
            .map(str::to_owned),
        observed_at: observed_at.map(|time| if utc { format!("{time}Z") } else { time.to_owned() }),
        days: days(&body["daily"], arguments.units),
        ..Report::default()
    };
    match arguments.units {
        Units::Metric => (report.temperature_c, report.wind_kmh) = (Some(temperature), wind),
        Units::Imperial => (report.temperature_f, report.wind_mph) = (Some(temperature), wind),
    }
    Ok(report)
}

/// Open-Meteo has a list for each figure; what it does not know of a day is `null`.
fn days(daily: &Value, units: Units) -> Vec<Day> {
    let dates = daily["time"].as_array().into_iter().flatten();
    let day = |(at, date): (usize, &Value)| {
        let figure = |name: &str| daily[name][at].as_number().cloned();
        let (high, low) = (figure("temperature_2m_max"), figure("temperature_2m_min"));
        let precipitation = figure("precipitation_sum");
        let code = daily["weather_code"][at].as_u64();
        let mut day = Day {
            date: date.as_str()?.to_owned(),
            conditions: code.and_then(conditions::words).map(str::to_owned),
            precipitation_probability_percent: figure("precipitation_probability_max"),
            ..Day::default()
        };
        match units {
            Units::Metric => (day.high_c, day.low_c, day.precipitation_mm) = (high, low, precipitation),
            Units::Imperial => (day.high_f, day.low_f, day.precipitation_in) = (high, low, precipitation),
        }
        Some(day)
    };
    dates.enumerate().filter_map(day).collect()
}
