//! `exchange` converts at the source's rate.

use callboard_testkit::stubs::Exchange;
use serde_json::json;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{call, kind, registry, services};

const NOBODY: &str = "http://127.0.0.1:9";

#[tokio::test]
async fn an_amount_is_converted_at_the_days_rate() {
    let stub = Exchange::start().unwrap();
    let registry = registry(services(NOBODY, &stub.url()));
    let result =
        call(&registry, "exchange", json!({"amount": 120, "from": "usd", "to": "EUR"})).await.unwrap();
    assert_eq!(
        result,
        json!({"amount": 120, "from": "USD", "to": "EUR", "rate": 0.92, "converted": 110.4, "date": "2026-11-20"})
    );
    let one = call(&registry, "exchange", json!({"from": "USD", "to": "JPY"})).await.unwrap();
    assert_eq!((&one["amount"], &one["converted"]), (&json!(1), &json!(151.2)));
}

#[tokio::test]
async fn several_currencies_and_days_that_have_passed() {
    let stub = Exchange::start().unwrap();
    let registry = registry(services(NOBODY, &stub.url()));
    let ask = json!({"amount": 10, "from": "USD", "to": ["EUR", "usd", "JPY"], "date": "2024-01-02"});
    let result = call(&registry, "exchange", ask.clone()).await.unwrap();
    assert_eq!(
        result,
        json!({"amount": 10, "from": "USD", "rates": {"EUR": 0.92, "USD": 1, "JPY": 151.2},
               "converted": {"EUR": 9.2, "USD": 10, "JPY": 1512}, "date": "2024-01-02"})
    );
    // The rates of that day do not change: the service is not asked again.
    stub.fail_next(1, 500);
    assert_eq!(call(&registry, "exchange", ask).await.unwrap(), result);
    let outcome =
        call(&registry, "exchange", json!({"from": "USD", "to": ["EUR", "XYZ"], "date": "2024-01-02"})).await;
    assert_eq!(kind(&outcome), ("unavailable", true), "another question is another request");
    let outcome =
        call(&registry, "exchange", json!({"from": "USD", "to": ["EUR", "XYZ"], "date": "2024-01-02"})).await;
    assert_eq!(kind(&outcome), ("not_found", false));
    assert!(outcome.unwrap_err().message.contains("on 2024-01-02"));
}

#[tokio::test]
async fn a_service_that_forbids_it_is_asked_each_time() {
    let server = MockServer::start().await;
    let reply = ResponseTemplate::new(200).set_body_json(json!({"rates": {"EUR": 0.5}}));
    Mock::given(method("GET"))
        .respond_with(reply.insert_header("cache-control", "no-store"))
        .mount(&server)
        .await;
    let registry = registry(services(NOBODY, &server.uri()));
    for _ in 0..2 {
        call(&registry, "exchange", json!({"from": "USD", "to": "EUR"})).await.unwrap();
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_currency_is_worth_itself_and_an_unknown_one_is_not_found() {
    let stub = Exchange::start().unwrap();
    let registry = registry(services(NOBODY, &stub.url()));
    let same = call(&registry, "exchange", json!({"amount": 2.5, "from": "EUR", "to": "eur"})).await.unwrap();
    assert_eq!((&same["rate"], &same["converted"]), (&json!(1), &json!(2.5)));
    for (from, to) in [("USD", "XYZ"), ("XYZ", "USD"), ("XYZ", "XYZ")] {
        let outcome = call(&registry, "exchange", json!({"from": from, "to": to})).await;
        assert_eq!(kind(&outcome), ("not_found", false), "{from} {to}");
    }
}

#[tokio::test]
async fn a_failing_service_is_worth_another_attempt_and_a_slow_one_times_out() {
    let stub = Exchange::start().unwrap();
    let registry = registry(json!({"exchange": {"base_url": stub.url(), "timeout_ms": 200}}));
    let ask = json!({"from": "USD", "to": "EUR"});
    stub.fail_next(1, 500);
    assert_eq!(kind(&call(&registry, "exchange", ask.clone()).await), ("unavailable", true));
    stub.hold();
    assert_eq!(kind(&call(&registry, "exchange", ask.clone()).await), ("timeout", true));
    stub.release();
    stub.fail_next(1, 404);
    assert_eq!(kind(&call(&registry, "exchange", ask.clone()).await), ("not_found", false));
}

#[tokio::test]
async fn an_answer_without_rates_is_bad() {
    for body in [json!({"rates": {"EUR": "0.92"}}), json!({}), json!([])] {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
        let registry = registry(services(NOBODY, &server.uri()));
        let outcome = call(&registry, "exchange", json!({"from": "USD", "to": "EUR"})).await;
        assert_eq!(kind(&outcome), ("bad_response", false));
    }
}
