//! Open-Meteo as a stub: geocoding and the current weather, without a key.
//!
//! One of the services of [`super`]; what it does not serve it refuses as Open-Meteo does, with 400 and a
//! reason.

use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::request::{Received, Reply};
use super::server::Stub;

/// A place and its weather.
#[derive(Debug, Clone, PartialEq)]
pub struct City {
    /// As geocoding returns it; searched without regard to case.
    pub name: String,
    /// The country's name.
    pub country: String,
    /// IANA time zone.
    pub timezone: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// °C.
    pub temperature: f64,
    /// km/h.
    pub wind_speed: f64,
    /// %.
    pub humidity: u8,
    /// WMO code; 3 is overcast.
    pub weather_code: u8,
}

/// A running Open-Meteo. It knows Oslo, Berlin, London, Paris, New York and Tokyo from the start.
#[derive(Debug)]
pub struct Weather {
    stub: Stub,
    cities: Arc<Mutex<Vec<City>>>,
}

impl Weather {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        let cities = Arc::new(Mutex::new(known_cities()));
        let seen = cities.clone();
        let answer = move |request: &Received| answer(&lock(&seen), request);
        Ok(Self { stub: Stub::start("weather", Box::new(answer), refusal)?, cities })
    }

    /// Adds a place, or replaces the one of that name.
    pub fn set_city(&self, city: City) {
        let mut cities = lock(&self.cities);
        cities.retain(|known| !same(&known.name, &city.name));
        cities.push(city);
    }

    /// Changes the temperature of a known place; says whether it is known.
    pub fn set_temperature(&self, name: &str, celsius: f64) -> bool {
        let mut cities = lock(&self.cities);
        let city = cities.iter_mut().find(|known| same(&known.name, name));
        city.map(|city| city.temperature = celsius).is_some()
    }
}

impl Deref for Weather {
    type Target = Stub;
    fn deref(&self) -> &Stub {
        &self.stub
    }
}

fn answer(cities: &[City], request: &Received) -> Reply {
    match request.route() {
        ("GET", "/v1/search") => search(cities, request),
        ("GET", "/v1/forecast") => forecast(cities, request),
        _ => Reply::new(404, json!({"error": true, "reason": "Not Found"})),
    }
}

fn search(cities: &[City], request: &Received) -> Reply {
    let Some(name) = request.param("name") else { return bad("Parameter 'name' is required") };
    let count = request.param("count").and_then(|count| count.parse().ok()).unwrap_or(10);
    let found: Vec<Value> = (1..)
        .zip(cities)
        .filter(|(_, city)| same(&city.name, name.trim()))
        .take(count)
        .map(|(id, city)| {
            json!({
                "id": id, "name": city.name, "latitude": city.latitude, "longitude": city.longitude,
                "feature_code": "PPLC", "timezone": city.timezone, "country": city.country,
            })
        })
        .collect();
    if found.is_empty() {
        return Reply::ok(json!({"generationtime_ms": 0.1}));
    }
    Reply::ok(json!({"results": found, "generationtime_ms": 0.1}))
}

fn forecast(cities: &[City], request: &Received) -> Reply {
    let degrees = |name: &str| request.param(name).and_then(|text| text.parse::<f64>().ok());
    let (Some(latitude), Some(longitude)) = (degrees("latitude"), degrees("longitude")) else {
        return bad("Parameter 'latitude' and 'longitude' must have the same number of elements");
    };
    let distance = |city: &City| (city.latitude - latitude).hypot(city.longitude - longitude);
    let Some(city) = cities.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))) else {
        return bad("No data is available for this location");
    };
    let mut current =
        Map::from_iter([("time".to_owned(), json!("2026-11-20T12:00")), ("interval".to_owned(), json!(900))]);
    let mut units =
        Map::from_iter([("time".to_owned(), json!("iso8601")), ("interval".to_owned(), json!("seconds"))]);
    for name in request.param("current").unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
        let Some((value, unit)) = reading(city, name) else {
            return bad(&format!(
                "Data corrupted at path ''. Cannot initialize from invalid String value {name}."
            ));
        };
        current.insert(name.to_owned(), value);
        units.insert(name.to_owned(), json!(unit));
    }
    Reply::ok(json!({
        "latitude": city.latitude, "longitude": city.longitude, "generationtime_ms": 0.1,
        "utc_offset_seconds": 0, "timezone": "GMT", "timezone_abbreviation": "GMT", "elevation": 10.0,
        "current_units": units, "current": current,
    }))
}

fn reading(city: &City, name: &str) -> Option<(Value, &'static str)> {
    match name {
        "temperature_2m" => Some((json!(city.temperature), "°C")),
        "apparent_temperature" => Some((json!(city.temperature - 2.0), "°C")),
        "wind_speed_10m" => Some((json!(city.wind_speed), "km/h")),
        "relative_humidity_2m" => Some((json!(city.humidity), "%")),
        "precipitation" => Some((json!(0.0), "mm")),
        "weather_code" => Some((json!(city.weather_code), "wmo code")),
        "is_day" => Some((json!(1), "")),
        _ => None,
    }
}

fn known_cities() -> Vec<City> {
    let city = |name: &str, country: &str, timezone: &str, latitude, longitude, temperature| City {
        name: name.to_owned(),
        country: country.to_owned(),
        timezone: timezone.to_owned(),
        latitude,
        longitude,
        temperature,
        wind_speed: 14.2,
        humidity: 78,
        weather_code: 3,
    };
    vec![
        city("Oslo", "Norway", "Europe/Oslo", 59.91273, 10.74609, 11.5),
        city("Berlin", "Germany", "Europe/Berlin", 52.52437, 13.41053, 8.3),
        city("London", "United Kingdom", "Europe/London", 51.50853, -0.12574, 9.8),
        city("Paris", "France", "Europe/Paris", 48.85341, 2.3488, 10.4),
        city("New York", "United States", "America/New_York", 40.71427, -74.00597, 13.7),
        city("Tokyo", "Japan", "Asia/Tokyo", 35.6895, 139.69171, 17.2),
    ]
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn bad(reason: &str) -> Reply {
    Reply::new(400, json!({"error": true, "reason": reason}))
}

fn refusal(status: u16) -> Value {
    json!({"error": true, "reason": format!("the stub was told to answer {status}")})
}

fn lock(cities: &Mutex<Vec<City>>) -> MutexGuard<'_, Vec<City>> {
    cities.lock().unwrap_or_else(PoisonError::into_inner)
}
