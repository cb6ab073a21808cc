//! Tools of one's own over HTTP: what is sent, and what each ending says, by effect class.

use std::time::Instant;

use callboard_domain::event::ToolError;
use callboard_ports::tool::{Call, Probe, Tool};
use callboard_testkit::stubs::Counter;
use callboard_tools::{Offer, OwnConfig, Runs, own};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::runtime::Handle;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::wire::{Manner, Wire, nobody};
use crate::world::{KEY, call_of, kind};

fn settings(changes: Value) -> OwnConfig {
    let mut written = json!({
        "run": "http", "url": "http://127.0.0.1:1/x", "effect": "idempotent", "description": "Looks something up.",
        "schema": {"type": "object"}, "timeout_ms": 1_500,
    });
    for (key, value) in changes.as_object().unwrap() {
        written[key] = value.clone();
    }
    serde_json::from_value(written).unwrap()
}

fn tool(url: &str, effect: &str) -> Arc<dyn Tool> {
    let set =
        settings(json!({"url": url, "effect": effect, "headers": {"Authorization": "Bearer canary-1"}}));
    match own("lookup", &set, Runs::HereOnly, Handle::current()).unwrap() {
        Offer::Here(tool) => tool,
        Offer::Elsewhere(_) => panic!("it runs here"),
    }
}

async fn send(url: &str, effect: &str, attempt: u32) -> Result<Value, ToolError> {
    let tool = tool(url, effect);
    let call: Call = call_of(&*tool, &json!({"order": "A-1"}), attempt);
    tool.call(call).await.map(|result| result.to_value())
}

#[tokio::test]
async fn arguments_are_posted_under_the_effects_own_name() {
    let counter = Counter::start().unwrap();
    for (before, class) in ["pure", "idempotent", "reconcilable", "unsafe"].into_iter().enumerate() {
        let result = send(&format!("{}/tools/lookup", counter.url()), class, 2).await.unwrap();
        // The counter counts executions for good: each call was one.
        assert_eq!(result["n"], before + 1, "{class}");
        let sent = counter.requests().pop().unwrap();
        assert_eq!((&*sent.method, &*sent.path), ("POST", "/tools/lookup"));
        assert_eq!(sent.header("idempotency-key"), Some(KEY));
        assert_eq!(sent.header("callboard-attempt"), Some("2"));
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert_eq!(sent.header("authorization"), Some("Bearer canary-1"));
        assert_eq!(sent.json(), json!({"order": "A-1"}));
    }
}

#[tokio::test]
async fn an_answer_that_may_be_asked_for_again_says_whether_that_helps() {
    let counter = Counter::start().unwrap();
    for (status, expected) in [
        (400, ("refused", false)),
        (404, ("refused", false)),
        (422, ("refused", false)),
        (302, ("refused", false)),
        (408, ("unavailable", true)),
        (409, ("unavailable", true)),
        (425, ("unavailable", true)),
        (429, ("unavailable", true)),
        (500, ("unavailable", true)),
        (503, ("unavailable", true)),
    ] {
        for class in ["pure", "idempotent"] {
            counter.forget();
            counter.fail_next(1, status);
            let outcome = send(&counter.url(), class, 1).await;
            assert_eq!(kind(&outcome), expected, "{status}");
            assert_eq!(counter.hits(), 1);
            assert!(!outcome.unwrap_err().message.contains("canary"));
        }
    }
    assert_eq!(kind(&send(&nobody(), "pure", 1).await), ("unavailable", true));
    let hangs = Wire::start(Manner::Hang);
    assert_eq!(kind(&send(&hangs.url(), "pure", 1).await), ("timeout", true));
    let resets = Wire::start(Manner::Reset);
    assert_eq!(kind(&send(&resets.url(), "idempotent", 1).await), ("unavailable", true));
}

#[tokio::test]
async fn of_an_unsafe_tool_only_what_was_not_done_is_retryable() {
    let counter = Counter::start().unwrap();
    for class in ["unsafe", "reconcilable"] {
        for (status, expected) in [
            (500, ("in_doubt", false)),
            (503, ("unavailable", true)),
            (404, ("refused", false)),
            (429, ("unavailable", true)),
        ] {
            counter.forget();
            counter.fail_next(1, status);
            assert_eq!(kind(&send(&counter.url(), class, 1).await), expected, "{class} {status}");
        }
        assert_eq!(kind(&send(&nobody(), class, 1).await), ("unavailable", true));
        let resets = Wire::start(Manner::Reset);
        assert_eq!(kind(&send(&resets.url(), class, 1).await), ("in_doubt", false));
    }
}

#[tokio::test]
async fn a_service_that_asks_for_time_gets_it() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "1");
    Mock::given(method("POST")).respond_with(busy).mount(&server).await;
    for class in ["pure", "unsafe"] {
        let began = Instant::now();
        assert_eq!(kind(&send(&server.uri(), class, 1).await), ("unavailable", true));
        assert!(began.elapsed().as_millis() >= 990, "{class}: it came back after {:?}", began.elapsed());
    }
    server.reset().await;
    let busy = ResponseTemplate::new(503).insert_header("retry-after", "3600");
    Mock::given(method("POST")).respond_with(busy).mount(&server).await;
    // Its own attempt is as long as it can wait; it ends before that is taken for a loss.
    assert_eq!(kind(&send(&server.uri(), "unsafe", 1).await), ("unavailable", true));
}

#[tokio::test]
async fn a_result_is_the_body_whatever_it_is() {
    let server = MockServer::start().await;
    for (body, result) in [
        ("{\"a\": [1, 2.50]}".to_owned(), json!({"a": [1, 2.5]})),
        ("plain words".to_owned(), json!("plain words")),
        (String::new(), Value::Null),
        ("x".repeat(100_000), json!({"text": "x".repeat(64 * 1024), "truncated": true})),
    ] {
        server.reset().await;
        let reply = ResponseTemplate::new(200).set_body_string(body);
        Mock::given(method("POST")).respond_with(reply).mount(&server).await;
        assert_eq!(send(&server.uri(), "pure", 1).await.unwrap(), result);
        assert_eq!(send(&server.uri(), "unsafe", 1).await.unwrap(), result);
    }
}

#[tokio::test]
async fn a_reconcilable_tool_is_asked_by_the_effects_own_name() {
    let server = MockServer::start().await;
    for (status, done) in [(200, Some(true)), (404, Some(false)), (500, None), (202, None)] {
        server.reset().await;
        let reply = ResponseTemplate::new(status).set_body_json(json!({"paid": 1}));
        Mock::given(method("GET")).respond_with(reply).mount(&server).await;
        let tool = tool(&format!("{}/pay/", server.uri()), "reconcilable");
        let found = tool.probe(call_of(&*tool, &json!({}), 1)).await;
        match done {
            Some(true) => {
                assert!(matches!(&found, Probe::Done(result) if result.to_value() == json!({"paid": 1})))
            }
            Some(false) => assert_eq!(found, Probe::NotDone),
            None => assert!(matches!(found, Probe::Unknown(_))),
        }
        let asked = server.received_requests().await.unwrap();
        assert_eq!(asked[0].url.path(), format!("/pay/{KEY}"));
    }
}

#[tokio::test]
async fn a_wrong_setting_is_named_with_what_would_be_right() {
    let deep = json!({"type": "object", "properties": {"a": {"type": "thing"}}});
    for (changes, words) in [
        (json!({"run": null}), "tools.lookup.run is missing; say \"http\""),
        (json!({"run": "grpc"}), "tools.lookup.run is \"grpc\""),
        (json!({"url": null}), "tools.lookup.url is missing"),
        (json!({"url": "lookup"}), "tools.lookup.url has a URL that is no URL"),
        (json!({"effect": null}), "tools.lookup.effect is missing"),
        (json!({"effect": "safe"}), "tools.lookup.effect is \"safe\""),
        (json!({"description": null}), "tools.lookup.description is missing"),
        (json!({"description": "a".repeat(3_000)}), "tools.lookup.description has 3000 bytes"),
        (json!({"schema": null}), "tools.lookup.schema is missing"),
        (json!({"schema": 7}), "tools.lookup.schema is of the wrong type"),
        (json!({"schema": "{"}), "tools.lookup.schema is no JSON"),
        (
            json!({"schema": "/no/such.json"}),
            "tools.lookup.schema names the file /no/such.json, which cannot be read",
        ),
        (json!({"schema": {"type": "array"}}), "tools.lookup.schema does not say \"type\": \"object\""),
        (json!({"schema": deep}), "tools.lookup.schema is no JSON Schema"),
        (json!({"timeout_ms": 0}), "tools.lookup.timeout_ms is 0"),
        (json!({"headers": {"idempotency-key": "x"}}), "tools.lookup.headers has \"idempotency-key\""),
        (json!({"headers": {"a b": "canary"}}), "tools.lookup.headers has \"a b\""),
        (json!({"headers": {"x-key": "cana\nry"}}), "tools.lookup.headers has a value of \"x-key\""),
        (json!({"run": "external", "url": null}), "needs Kafka"),
        (json!({"run": "external"}), "tools.lookup.url is for run = \"http\""),
    ] {
        let refused = own("lookup", &settings(changes.clone()), Runs::HereOnly, Handle::current());
        let said = refused.err().unwrap_or_else(|| panic!("{changes} is taken")).to_string();
        assert!(said.contains(words) && !said.contains("cana"), "{changes}: {said}");
    }
    assert!(own("a b", &settings(json!({})), Runs::HereOnly, Handle::current()).is_err());
}

#[tokio::test]
async fn an_external_tool_is_only_specified_and_has_a_pool_of_its_own() {
    let set = settings(json!({"run": "external", "url": null, "pool": null}));
    let offer = own("report", &set, Runs::Anywhere, Handle::current()).unwrap();
    assert!(matches!(&offer, Offer::Elsewhere(spec) if &*spec.pool == "report" && spec.timeout_ms == 1_500));
}

#[tokio::test]
async fn a_schema_may_lie_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.json");
    std::fs::write(&path, "{\"type\": \"object\", \"required\": [\"a\"]}").unwrap();
    let offer = own("lookup", &settings(json!({"schema": path})), Runs::HereOnly, Handle::current()).unwrap();
    assert!(offer.spec().schema.as_str().contains("required"));
}
