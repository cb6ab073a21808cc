//! What every request meets before a node is asked: stories over all routes, with no node yet.

use actix_web::body::to_bytes;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_SECURITY_POLICY, RETRY_AFTER};
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::{App, HttpResponse, middleware, web};
use serde_json::Value;

use super::{Api, Rules, guard, routes};
use crate::config::Config;

struct Answer {
    status: StatusCode,
    headers: actix_web::http::header::HeaderMap,
    body: String,
}

impl Answer {
    /// The problem that it must be, with this code.
    fn problem(&self, status: u16, code: &str) -> Value {
        let media = self.headers.get("content-type").unwrap().to_str().unwrap();
        assert_eq!(media, "application/problem+json", "{}", self.body);
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!((self.status.as_u16(), problem["code"].as_str().unwrap()), (status, code), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem
    }
}

async fn send(config: &Config, request: TestRequest) -> Answer {
    let api = web::Data::new(Api::new(Rules::of(config, true)));
    let panics = || async {
        assert!(std::env::args().count() == usize::MAX, "this handler panics on purpose");
        HttpResponse::Ok().finish()
    };
    let app = App::new()
        .app_data(api)
        .wrap(middleware::from_fn(guard))
        .route("/panics", web::get().to(panics))
        .configure(|config| routes(config, true));
    let service = init_service(app).await;
    let response = match try_call_service(&service, request.to_request()).await {
        Ok(response) => response.map_into_boxed_body().into_parts().1,
        Err(error) => error.error_response(),
    };
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body()).await.unwrap();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path).insert_header(("host", "localhost:8080"))
}

fn chat(body: impl Into<bytes::Bytes>) -> TestRequest {
    let request = TestRequest::post().uri("/v1/chat").insert_header(("host", "127.0.0.1:8080"));
    request.insert_header(("content-type", "application/json")).set_payload(body)
}

#[actix_web::test]
async fn bodies_that_are_none_are_refused_in_words() {
    let config = Config::default();
    send(&config, chat("")).await.problem(400, "empty_body");
    send(&config, chat("hello")).await.problem(400, "bad_json");
    send(&config, chat("[1]")).await.problem(400, "bad_json");
    send(&config, chat(vec![b'{', 0xff, b'}'])).await.problem(400, "not_utf8");
    let plain = chat("{}").insert_header(("content-type", "text/plain"));
    send(&config, plain).await.problem(415, "unsupported_media_type");
    let long = "x".repeat(super::body::MAX_BODY_BYTES + 1);
    let problem = send(&config, chat(long)).await.problem(413, "body_too_large");
    assert_eq!(problem["limit"], super::body::MAX_BODY_BYTES);
    assert_eq!(problem["field"], "body");
    // The longest message, every letter written as an escape, is only as long as its letters.
    let escaped = format!(r#"{{"message":"{}"}}"#, r"\u0078".repeat(256 * 1024));
    send(&config, chat(escaped)).await.problem(503, "starting");
}

#[actix_web::test]
async fn fields_that_are_wrong_are_named() {
    let config = Config::default();
    let of = async |body: &str, code: &str| {
        let problem = send(&config, chat(body.to_owned())).await.problem(400, code);
        problem["field"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(of("{}", "missing_field").await, "message");
    assert_eq!(of(r#"{"message":7}"#, "invalid_field").await, "message");
    assert_eq!(of(r#"{"message":"  "}"#, "invalid_field").await, "message");
    assert_eq!(of(r#"{"message":"x","colour":1}"#, "unknown_field").await, "colour");
    assert_eq!(of(r#"{"message":"x","metadata":[1]}"#, "invalid_field").await, "metadata");
    assert_eq!(of(r#"{"message":"x","agent":"nobody"}"#, "invalid_field").await, "agent");
    let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(256 * 1024 + 1));
    let problem = send(&config, chat(long)).await.problem(413, "field_too_large");
    assert_eq!((&problem["field"], &problem["limit"]), (&Value::from("message"), &Value::from(256 * 1024)));
}

#[actix_web::test]
async fn without_a_node_there_is_503_and_when_to_come_back() {
    let config = Config::default();
    let answer = send(&config, chat(r#"{"message":"x"}"#)).await;
    answer.problem(503, "starting");
    assert_eq!(answer.headers.get(RETRY_AFTER).unwrap(), "1");
    assert_eq!(send(&config, get("/readyz")).await.status, 503);
    assert_eq!(send(&config, get("/healthz")).await.status, 200);
    send(&config, get("/v1/conversations/c/events")).await.problem(503, "starting");
}

#[actix_web::test]
async fn other_sites_do_not_get_in() {
    let mut config = Config::default();
    let evil = || TestRequest::get().uri("/v1/conversations").insert_header(("host", "evil.example"));
    assert_eq!(send(&config, evil()).await.problem(403, "host_not_allowed")["field"], "Host");
    let origin = get("/v1/conversations").insert_header(("origin", "http://evil.example"));
    assert_eq!(send(&config, origin).await.problem(403, "host_not_allowed")["field"], "Origin");
    let null = get("/v1/conversations").insert_header(("origin", "null"));
    send(&config, null).await.problem(403, "host_not_allowed");
    config.http.allowed_hosts = vec!["evil.example".to_owned()];
    send(&config, evil()).await.problem(503, "starting");
}

#[actix_web::test]
async fn where_keys_are_asked_for_they_are_needed() {
    let mut config = Config::default();
    config.http.api_keys.0.insert("alice".to_owned(), "0123456789abcdef".to_owned());
    send(&config, get("/v1/conversations")).await.problem(401, "unauthorized");
    let wrong = get("/v1/conversations").insert_header(("x-api-key", "0123456789abcdee"));
    send(&config, wrong).await.problem(401, "unauthorized");
    let right = get("/v1/conversations").insert_header(("x-api-key", "0123456789abcdef"));
    send(&config, right).await.problem(503, "starting");
    let bearer = get("/v1/conversations").insert_header(("authorization", "Bearer 0123456789abcdef"));
    send(&config, bearer).await.problem(503, "starting");
    assert_eq!(send(&config, get("/")).await.status, 200);
    assert_eq!(send(&config, get("/healthz")).await.status, 200);
}

#[actix_web::test]
async fn what_is_not_there_is_a_problem_too() {
    let config = Config::default();
    send(&config, get("/nothing")).await.problem(404, "not_found");
    let answer = send(&config, get("/v1/chat")).await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.headers.get(ALLOW).unwrap(), "POST");
    send(&config, get("/v1/conversations?limit=many")).await.problem(400, "invalid_query");
    send(&config, get("/panics")).await.problem(500, "internal");
}

#[actix_web::test]
async fn killing_needs_leave() {
    let kill = || {
        let request = TestRequest::post().uri("/admin/v1/actors/kill").insert_header(("host", "localhost"));
        request
            .insert_header(("content-type", "application/json"))
            .set_payload(r#"{"path":"/","how":"stop"}"#)
    };
    send(&Config::default(), kill()).await.problem(403, "chaos_not_allowed");
    let allowed = Config { allow_chaos: true, ..Config::default() };
    send(&allowed, kill()).await.problem(503, "starting");
}

#[actix_web::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let config = Config::default();
    for path in ["/", "/app.js", "/app.css"] {
        let answer = send(&config, get(path)).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.headers.get(CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(!answer.body.contains("https://"), "{path} names another site");
    }
}

#[actix_web::test]
async fn the_interface_describes_itself() {
    let answer = send(&Config::default(), get("/openapi.json")).await;
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for path in
        ["/v1/chat", "/v1/conversations/{id}/turns/{turn}/plan", "/v1/conversations/{id}/events", "/readyz"]
    {
        assert!(paths.contains_key(path), "{path} is missing");
    }
    assert!(document["components"]["schemas"]["Problem"].is_object());
}

#[actix_web::test]
async fn metrics_count_answers() {
    let answer = send(&Config::default(), get("/metrics")).await;
    assert!(answer.body.contains("callboard_http_answers_total{status=\"2xx\"}"), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
}
