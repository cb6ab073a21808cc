//! `weather` says what the source says, and what went wrong otherwise.

use std::time::Duration;

use callboard_testkit::stubs::{City, Weather};
use serde_json::json;
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{call, kind, registry, services};

#[tokio::test]
async fn figures_are_the_sources() {
    let stub = Weather::start().unwrap();
    let registry = registry(services(&stub.url(), "http://127.0.0.1:9"));
    let report = call(&registry, "weather", json!({"place": "oslo"})).await.unwrap();
    assert_eq!(
        report,
        json!({
            "place": "Oslo", "country": "Norway", "temperature_c": 11.5, "wind_kmh": 14.2,
            "humidity_percent": 78, "conditions": "overcast", "observed_at": "2026-11-20T12:00Z",
        })
    );
    assert_eq!((stub.hits_of("/v1/search"), stub.hits_of("/v1/forecast")), (1, 1));
}

#[tokio::test]
async fn a_region_tells_namesakes_apart() {
    let server = MockServer::start().await;
    let paris = |country: &str, code: &str, admin1: &str, latitude: f64| {
        json!({"name": "Paris", "country": country, "country_code": code, "admin1": admin1,
               "latitude": latitude, "longitude": 1.0})
    };
    Mock::given(path("/v1/search"))
        .and(query_param("name", "Paris"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"results": [
            paris("France", "FR", "Île-de-France", 48.85), paris("United States", "US", "Texas", 33.66),
        ]})))
        .mount(&server)
        .await;
    Mock::given(path("/v1/forecast"))
        .and(query_param("latitude", "33.66"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"current": {"temperature_2m": 30}})))
        .mount(&server)
        .await;
    let registry = registry(services(&server.uri(), "http://127.0.0.1:9"));
    let report = call(&registry, "weather", json!({"place": "Paris, TX"})).await.unwrap();
    // What the source leaves out is left out; a whole number stays one.
    assert_eq!(report, json!({"place": "Paris", "country": "United States", "temperature_c": 30}));
    let nowhere = call(&registry, "weather", json!({"place": "Paris, Japan"})).await;
    assert_eq!(kind(&nowhere), ("not_found", false));
}

#[tokio::test]
async fn an_unknown_place_is_not_found() {
    let stub = Weather::start().unwrap();
    let registry = registry(services(&stub.url(), "http://127.0.0.1:9"));
    let outcome = call(&registry, "weather", json!({"place": "Atlantis"})).await;
    assert_eq!(kind(&outcome), ("not_found", false));
    assert!(outcome.unwrap_err().message.contains("Atlantis"));
}

#[tokio::test]
async fn imperial_units_are_asked_for_at_the_source() {
    let stub = Weather::start().unwrap();
    let registry = registry(services(&stub.url(), "http://127.0.0.1:9"));
    let report = call(&registry, "weather", json!({"place": "Tokyo", "units": "imperial"})).await.unwrap();
    assert!(report.get("temperature_c").is_none() && report.get("temperature_f").is_some());
    let asked = stub.requests();
    assert_eq!(asked.last().unwrap().param("temperature_unit"), Some("fahrenheit"));
}

#[tokio::test]
async fn a_slow_service_times_out_and_the_request_is_let_go() {
    let stub = Weather::start().unwrap();
    stub.hold();
    let registry = registry(json!({"weather": {
        "base_url": stub.url(), "geocoding_url": stub.url(), "timeout_ms": 200,
    }}));
    let outcome = call(&registry, "weather", json!({"place": "Oslo"})).await;
    assert_eq!(kind(&outcome), ("timeout", true));
    tokio::time::timeout(Duration::from_secs(10), async {
        while stub.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the abandoned request is closed");
}

#[tokio::test]
async fn a_failing_service_is_worth_another_attempt() {
    let stub = Weather::start().unwrap();
    let registry = registry(services(&stub.url(), "http://127.0.0.1:9"));
    for status in [500, 503, 429] {
        stub.fail_next(1, status);
        let outcome = call(&registry, "weather", json!({"place": "Berlin"})).await;
        assert_eq!(kind(&outcome), ("unavailable", true), "{status}");
        assert!(outcome.unwrap_err().message.contains(&status.to_string()));
    }
    assert!(call(&registry, "weather", json!({"place": "Berlin"})).await.is_ok());
    stub.fail_next(1, 400);
    assert_eq!(kind(&call(&registry, "weather", json!({"place": "Oslo"})).await), ("refused", false));
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let registry = registry(services(&format!("http://127.0.0.1:{port}"), "http://127.0.0.1:9"));
    assert_eq!(kind(&call(&registry, "weather", json!({"place": "Oslo"})).await), ("unavailable", true));
}

#[tokio::test]
async fn garbage_floods_and_detours_are_bad_responses() {
    let elsewhere = MockServer::start().await;
    let away = elsewhere.uri().replace("127.0.0.1", "localhost");
    for reply in [
        ResponseTemplate::new(200).set_body_string("<html>captive portal</html>"),
        ResponseTemplate::new(200).set_body_string("[1, 2"),
        ResponseTemplate::new(200).set_body_json(json!(["neither results nor an object"])),
        ResponseTemplate::new(200).set_body_string(format!("\"{}\"", "x".repeat(2 << 20))),
        ResponseTemplate::new(302).insert_header("location", away.as_str()),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("GET")).respond_with(reply).mount(&server).await;
        let registry = registry(services(&server.uri(), "http://127.0.0.1:9"));
        let outcome = call(&registry, "weather", json!({"place": "Oslo"})).await;
        assert_eq!(kind(&outcome), ("bad_response", false), "{outcome:?}");
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_code_that_is_not_in_the_table_is_left_out() {
    let stub = Weather::start().unwrap();
    stub.set_city(City {
        name: "Ys".to_owned(),
        country: "Brittany".to_owned(),
        timezone: "Europe/Paris".to_owned(),
        latitude: 48.0,
        longitude: -4.0,
        temperature: -0.5,
        wind_speed: 0.0,
        humidity: 100,
        weather_code: 42,
    });
    let registry = registry(services(&stub.url(), "http://127.0.0.1:9"));
    let report = call(&registry, "weather", json!({"place": "Ys"})).await.unwrap();
    assert_eq!(report["temperature_c"], json!(-0.5));
    assert!(report.get("conditions").is_none());
}

#[tokio::test]
async fn open_weather_is_asked_when_there_is_a_key_and_the_key_is_never_shown() {
    let server = MockServer::start().await;
    Mock::given(path("/geo/1.0/direct"))
        .and(query_param("appid", "hush-hush"))
        .respond_with(
            // Each call below is to reach the service.
            ResponseTemplate::new(200)
                .insert_header("cache-control", "no-store")
                .set_body_json(json!([{"name": "Oslo", "country": "NO", "lat": 59.9, "lon": 10.7}])),
        )
        .mount(&server)
        .await;
    Mock::given(path("/data/2.5/weather"))
        .and(query_param("units", "metric"))
        .respond_with(ResponseTemplate::new(200).insert_header("cache-control", "no-store").set_body_json(
            json!({
                "main": {"temp": 11.47, "humidity": 78}, "wind": {"speed": 4.12},
                "weather": [{"description": "light rain"}], "dt": 1_795_176_000,
            }),
        ))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let config = json!({"weather": {"base_url": server.uri(), "api_key": "hush-hush"}});
    let parsed: callboard_tools::ToolsConfig = serde_json::from_value(config.clone()).unwrap();
    assert!(!format!("{parsed:?} {}", serde_json::to_string(&parsed).unwrap()).contains("hush"));
    let registry = registry(config);
    let report = call(&registry, "weather", json!({"place": "Oslo"})).await.unwrap();
    assert_eq!(
        report,
        json!({
            "place": "Oslo", "country": "NO", "temperature_c": 11.47, "wind_kmh": 14.83,
            "humidity_percent": 78, "conditions": "light rain", "observed_at": "2026-11-20T12:00:00.000Z",
        })
    );
    // The forecast is gone now (404), then the key is refused, then the host is down: no word of the key.
    let gone = call(&registry, "weather", json!({"place": "Oslo"})).await;
    server.reset().await;
    let echoing_the_key =
        ResponseTemplate::new(401).set_body_json(json!({"message": "Invalid API key hush-hush"}));
    Mock::given(method("GET")).respond_with(echoing_the_key).mount(&server).await;
    let refused = call(&registry, "weather", json!({"place": "Oslo"})).await;
    assert_eq!(kind(&refused), ("refused", false));
    drop(server);
    let down = call(&registry, "weather", json!({"place": "Oslo"})).await;
    for error in [gone.unwrap_err(), refused.unwrap_err(), down.unwrap_err()] {
        assert!(!error.message.contains("hush"), "{}", error.message);
    }
}

#[tokio::test]
async fn days_to_come_are_told_one_by_one() {
    let server = MockServer::start().await;
    let found =
        json!({"results": [{"name": "Oslo", "country": "Norway", "latitude": 59.9, "longitude": 10.7}]});
    Mock::given(path("/v1/search"))
        .respond_with(ResponseTemplate::new(200).set_body_json(found))
        .mount(&server)
        .await;
    let forecast = json!({
        "utc_offset_seconds": 3600, "current": {"temperature_2m": 1.5, "time": "2026-11-28T13:00"},
        "daily": {
            "time": ["2026-11-28", "2026-11-29"], "weather_code": [71, 3], "temperature_2m_max": [2, 0.5],
            "temperature_2m_min": [-4, null], "precipitation_sum": [1.2, 0], "precipitation_probability_max": [80, 5],
        },
    });
    let reply = ResponseTemplate::new(200).set_body_json(forecast);
    Mock::given(path("/v1/forecast"))
        .and(query_param("timezone", "auto"))
        .respond_with(reply)
        .mount(&server)
        .await;
    let registry = registry(services(&server.uri(), "http://127.0.0.1:9"));
    let report = call(&registry, "weather", json!({"place": "Oslo", "days": 2})).await.unwrap();
    assert_eq!(
        report["days"],
        json!([
            {"date": "2026-11-28", "conditions": "slight snowfall", "high_c": 2, "low_c": -4, "precipitation_mm": 1.2,
             "precipitation_probability_percent": 80},
            {"date": "2026-11-29", "conditions": "overcast", "high_c": 0.5, "precipitation_mm": 0,
             "precipitation_probability_percent": 5},
        ])
    );
    assert_eq!((&report["temperature_c"], &report["observed_at"]), (&json!(1.5), &json!("2026-11-28T13:00")));
    let ask = json!({"place": "Oslo", "from": "2026-11-28", "until": "2026-11-29", "units": "imperial"});
    let report = call(&registry, "weather", ask).await.unwrap();
    assert_eq!(
        (&report["days"][0]["high_f"], &report["days"][0]["precipitation_in"]),
        (&json!(2), &json!(1.2))
    );
    let asked = server.received_requests().await.unwrap().pop().unwrap();
    let query: Vec<(String, String)> = asked.url.query_pairs().into_owned().collect();
    for (name, value) in
        [("start_date", "2026-11-28"), ("end_date", "2026-11-29"), ("precipitation_unit", "inch")]
    {
        assert!(query.contains(&(name.to_owned(), value.to_owned())), "{query:?}");
    }
    // Where Oslo is was known already.
    let searches =
        server.received_requests().await.unwrap().iter().filter(|one| one.url.path() == "/v1/search").count();
    assert_eq!(searches, 1);
    let both = call(&registry, "weather", json!({"place": "Oslo", "days": 2, "from": "2026-11-28"})).await;
    assert_eq!(kind(&both), ("invalid_arguments", false));
}
