//! `http_get`: allowed hosts only, public addresses only, also after redirects; text of bounded size.

use callboard_ports::tool::ToolRegistry;
use callboard_tools::Registry;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::wire::{Manner, Wire};
use crate::world::{call, kind, registry};

fn allowing(entries: &[&str]) -> Registry {
    registry(json!({"http_get": {"allow": entries, "timeout_ms": 1_500}}))
}

async fn serve(server: &MockServer, at: &str, reply: ResponseTemplate) {
    Mock::given(method("GET")).and(path(at)).respond_with(reply).mount(server).await;
}

#[tokio::test]
async fn pages_are_read_as_text_and_long_ones_are_cut() {
    let server = MockServer::start().await;
    let html = "<html><body><h1>Opening hours</h1><p>Mo &amp; Fr</p><script>steal()</script></body></html>";
    serve(&server, "/page", ResponseTemplate::new(200).set_body_raw(html, "text/html; charset=utf-8")).await;
    serve(&server, "/data", ResponseTemplate::new(200).set_body_raw("{\"a\": 1}", "application/json")).await;
    let long = "word ".repeat(1_000_000);
    serve(&server, "/long", ResponseTemplate::new(200).set_body_raw(long, "text/plain")).await;
    serve(&server, "/image", ResponseTemplate::new(200).set_body_raw("GIF89a", "image/gif")).await;
    serve(&server, "/gone", ResponseTemplate::new(404)).await;
    serve(&server, "/broken", ResponseTemplate::new(500)).await;
    let registry = allowing(&[&server.uri()]);
    let get = |at: &str| call(&registry, "http_get", json!({"url": format!("{}{at}", server.uri())}));
    let page = get("/page").await.unwrap();
    let text = page["text"].as_str().unwrap();
    assert!(text.contains("Opening hours") && text.contains("Mo & Fr") && !text.contains("steal"), "{page}");
    assert_eq!((&page["status"], &page["truncated"]), (&json!(200), &json!(false)));
    assert_eq!(get("/data").await.unwrap()["text"], "{\"a\": 1}");
    let long = get("/long").await.unwrap();
    assert_eq!((&long["truncated"], long["text"].as_str().unwrap().len()), (&json!(true), 48 * 1024));
    assert_eq!(kind(&get("/image").await), ("bad_response", false));
    assert_eq!(kind(&get("/gone").await), ("not_found", false));
    assert_eq!(kind(&get("/broken").await), ("unavailable", true));
}

#[tokio::test]
async fn every_hop_of_a_redirect_has_to_be_allowed() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    let to = |location: String| ResponseTemplate::new(302).insert_header("location", location);
    serve(&server, "/near", to("/page".to_owned())).await;
    serve(&server, "/page", ResponseTemplate::new(200).set_body_string("here")).await;
    serve(&server, "/far", to(format!("{}/secret", other.uri()))).await;
    serve(&server, "/metadata", to("http://169.254.169.254/latest".to_owned())).await;
    serve(&server, "/file", to("file:///etc/passwd".to_owned())).await;
    serve(&server, "/loop", to("/loop".to_owned())).await;
    let registry = allowing(&[&server.uri(), "*.example.org"]);
    let get = |at: &str| call(&registry, "http_get", json!({"url": format!("{}{at}", server.uri())}));
    let near = get("/near").await.unwrap();
    assert_eq!((&near["text"], &near["url"]), (&json!("here"), &json!(format!("{}/page", server.uri()))));
    for refused in ["/far", "/metadata", "/file"] {
        assert_eq!(kind(&get(refused).await), ("refused", false), "{refused}");
    }
    assert_eq!(kind(&get("/loop").await), ("bad_response", false));
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_inside_is_never_asked() {
    let server = MockServer::start().await;
    serve(&server, "/", ResponseTemplate::new(200).set_body_string("inside")).await;
    // The name is allowed; the address that it turns out to have is not.
    let url = format!("http://localhost:{}/", server.address().port());
    let outcome = call(&allowing(&[url.trim_end_matches('/')]), "http_get", json!({"url": url})).await;
    assert_eq!(kind(&outcome), ("refused", false), "{outcome:?}");
    assert!(outcome.unwrap_err().message.contains("localhost has no public address"));
    for inside in [
        "http://127.0.0.1:1/",
        "http://2130706433:1/",
        "http://0177.0.0.1:1/",
        "http://[::ffff:127.0.0.1]:1/",
    ] {
        let outcome = call(&allowing(&["example.org"]), "http_get", json!({"url": inside})).await;
        assert_eq!(kind(&outcome), ("refused", false), "{inside}");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_service_that_hangs_or_breaks_off_may_be_asked_again() {
    for (manner, expected) in [
        (Manner::Hang, ("timeout", true)),
        (Manner::Reset, ("unavailable", true)),
        (Manner::Answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"), ("unavailable", true)),
    ] {
        let wire = Wire::start(manner.clone());
        let outcome = call(&allowing(&[&wire.url()]), "http_get", json!({"url": wire.url()})).await;
        assert_eq!(kind(&outcome), expected, "{manner:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn without_an_allowed_host_there_is_no_such_tool() {
    assert!(registry(json!({})).tool("http_get").is_none());
    let registry = allowing(&["example.org"]);
    let specs = registry.specs();
    let spec = specs.iter().find(|spec| &*spec.name == "http_get").unwrap();
    assert!(spec.description.contains("example.org"), "planners are told where it may go");
    assert_eq!(spec.schema.to_value()["required"], Value::from(vec!["url"]));
}
