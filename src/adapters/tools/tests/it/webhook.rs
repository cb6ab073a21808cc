//! `webhook` is unsafe: each way in which a call can end says what is known of its effect.

use callboard_domain::event::ToolError;
use callboard_domain::plan::{EffectClass, Toolbox};
use callboard_ports::tool::ToolRegistry;
use callboard_testkit::stubs::Counter;
use callboard_tools::Registry;
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::wire::{Manner, Wire, nobody};
use crate::world::{KEY, attempt, call, kind, registry};

const UNAVAILABLE: (&str, bool) = ("unavailable", true);
const REFUSED: (&str, bool) = ("refused", false);
const IN_DOUBT: (&str, bool) = ("in_doubt", false);

fn allowing(url: &str) -> Registry {
    registry(json!({"webhook": {"allow": [url], "timeout_ms": 1_000}}))
}

async fn send(url: &str) -> Result<Value, ToolError> {
    call(&allowing(url), "webhook", json!({"url": url, "text": "hello"})).await
}

#[tokio::test]
async fn a_text_or_a_body_is_posted_under_the_effects_own_name() {
    let counter = Counter::start().unwrap();
    let registry = allowing(&counter.url());
    let url = format!("{}/hooks/a?b=c", counter.url());
    for (arguments, body) in [
        (json!({"url": url, "text": "a \"word\""}), json!({"text": "a \"word\""})),
        (json!({"url": url, "body": {"any": ["thing", 1]}}), json!({"any": ["thing", 1]})),
        (json!({"url": url, "body": null}), json!({})),
        (json!({"url": url}), json!({})),
    ] {
        counter.forget();
        let result = call(&registry, "webhook", arguments).await.unwrap();
        assert_eq!(result["status"], 200);
        assert_eq!(result["body"]["n"], counter.executions(KEY));
        let sent = counter.requests().pop().unwrap();
        assert_eq!((&*sent.method, &*sent.path, sent.param("b")), ("POST", "/hooks/a", Some("c")));
        assert_eq!(sent.header("idempotency-key"), Some(KEY));
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert_eq!(sent.json(), body);
    }
    assert_eq!(
        registry.specs().iter().find(|spec| &*spec.name == "webhook").unwrap().effect,
        EffectClass::Unsafe
    );
    let both = callboard_domain::json::RawJson::from_value(&json!({"url": url, "text": "a", "body": 1}));
    assert!(registry.check("webhook", &both).is_err(), "text and body are two answers to one question");
}

#[tokio::test]
async fn nothing_is_sent_where_the_operator_did_not_allow_it() {
    let counter = Counter::start().unwrap();
    for config in [json!({}), json!({"webhook": {"allow": [format!("{}/hooks", counter.url())]}})] {
        let outcome =
            call(&registry(config), "webhook", json!({"url": format!("{}/other?key=secret", counter.url())}))
                .await;
        assert_eq!(kind(&outcome), REFUSED);
        let words = outcome.unwrap_err().message;
        assert!(words.contains("tools.webhook.allow") && words.contains(&counter.url()), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }
    assert_eq!(counter.hits(), 0);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent_and_another_attempt_may_help() {
    let deaf = Wire::start(Manner::Hang);
    let garbled = Wire::start(Manner::Blurt("220 this is no TLS\r\n"));
    for url in [nobody(), "https://nowhere.invalid".to_owned(), garbled.https(), deaf.https()] {
        let outcome = send(&url).await;
        assert_eq!(kind(&outcome), UNAVAILABLE, "{url}: {outcome:?}");
        assert!(outcome.unwrap_err().message.contains("nothing was sent"));
    }
}

#[tokio::test]
async fn what_may_have_left_is_in_doubt() {
    for manner in [
        Manner::CloseAtOnce,
        Manner::Reset,
        Manner::Hang,
        Manner::Answer(""),
        Manner::Answer("HTTP/1.1 200"),
        Manner::Answer("this is no HTTP\r\n\r\n"),
        Manner::Answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"n\":"),
        Manner::Answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nhalf"),
    ] {
        let wire = Wire::start(manner.clone());
        let outcome = send(&wire.url()).await;
        assert_eq!(kind(&outcome), IN_DOUBT, "{manner:?}: {outcome:?}");
        assert!(outcome.unwrap_err().is_in_doubt());
        assert_eq!(wire.connections(), 1, "{manner:?}: it is sent once");
    }
}

#[tokio::test]
async fn an_answer_says_whether_it_was_done() {
    let counter = Counter::start().unwrap();
    for (status, expected) in [
        (429, UNAVAILABLE),
        (503, UNAVAILABLE),
        (400, REFUSED),
        (401, REFUSED),
        (404, REFUSED),
        (408, REFUSED),
        (409, REFUSED),
        (412, REFUSED),
        (422, REFUSED),
        (307, REFUSED),
        (308, REFUSED),
        (300, IN_DOUBT),
        (302, IN_DOUBT),
        (303, IN_DOUBT),
        (500, IN_DOUBT),
        (501, IN_DOUBT),
        (502, IN_DOUBT),
        (504, IN_DOUBT),
        (599, IN_DOUBT),
    ] {
        counter.forget();
        counter.fail_next(1, status);
        let outcome = send(&counter.url()).await;
        assert_eq!(kind(&outcome), expected, "{status}");
        assert!(outcome.unwrap_err().message.contains(&status.to_string()));
        assert_eq!(counter.hits(), 1, "{status}: it is sent once");
    }
    assert_eq!(counter.executions(KEY), 0);
    // A service that refuses a key as being in use has met an earlier attempt.
    counter.fail_next(1, 409);
    let later = attempt(&allowing(&counter.url()), "webhook", json!({"url": counter.url()}), 2).await;
    assert_eq!(kind(&later), IN_DOUBT);
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let (counter, server) = (Counter::start().unwrap(), MockServer::start().await);
    for status in [301, 302, 303, 307, 308] {
        server.reset().await;
        let elsewhere = ResponseTemplate::new(status)
            .insert_header("location", format!("{}/a?key=secret", counter.url()));
        Mock::given(method("POST")).respond_with(elsewhere).mount(&server).await;
        let registry = registry(json!({"webhook": {"allow": [server.uri(), counter.url()]}}));
        let outcome = call(&registry, "webhook", json!({"url": server.uri()})).await;
        assert_eq!(kind(&outcome), if status < 307 { IN_DOUBT } else { REFUSED }, "{status}");
        assert!(!outcome.unwrap_err().message.contains("secret"));
    }
    assert_eq!(counter.hits(), 0);
}

#[tokio::test]
async fn of_a_long_or_strange_answer_the_beginning_is_kept() {
    let server = MockServer::start().await;
    for (body, kept, truncated) in [
        ("x".repeat(1_000_000), json!("x".repeat(64 * 1024)), true),
        ("\u{1}".repeat(100_000), json!("\u{fffd}".repeat(64 * 1024)), true),
        ("plain words\n".to_owned(), json!("plain words\n"), false),
        (
            "[1, 2.50, 12345678901234567890123]".to_owned(),
            json!([1, 2.5, 12345678901234567890123_f64]),
            false,
        ),
        (String::new(), Value::Null, false),
    ] {
        server.reset().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(201).set_body_string(body))
            .mount(&server)
            .await;
        let result = send(&server.uri()).await.unwrap();
        assert_eq!((&result["status"], &result["body"]), (&json!(201), &kept));
        assert_eq!(result.get("truncated").is_some(), truncated);
        assert!(result.to_string().len() < callboard_domain::limits::MAX_RESULT_BYTES);
    }
}
