//! Stub services: their shapes, and the levers that tests pull on them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use callboard_testkit::stubs::{Counter, Exchange, Ollama, OpenAi, Stub, Weather};
use callboard_testkit::wait;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// A client as small as can be, so that the testkit needs no HTTP client: one request, one connection.
fn call(stub: &Stub, method: &str, target: &str, body: &str) -> (u16, Value) {
    call_with(stub, method, target, "", body)
}

/// With more header lines, each with its line end.
fn call_with(stub: &Stub, method: &str, target: &str, headers: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(stub.address()).unwrap();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: Bearer sk-test\r\n\
         content-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        stub.address(),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn get(stub: &Stub, target: &str) -> (u16, Value) {
    call(stub, "GET", target, "")
}

#[test]
fn weather_finds_a_city_and_its_temperature() {
    let weather = Weather::start().unwrap();
    let (status, found) = get(&weather, "/v1/search?name=new%20york&count=1&language=en&format=json");
    assert_eq!(status, 200);
    assert_eq!(found["results"][0]["name"], "New York");
    assert_eq!(found["results"][0]["timezone"], "America/New_York");
    let (_, nowhere) = get(&weather, "/v1/search?name=Atlantis");
    assert!(nowhere.get("results").is_none(), "{nowhere}");

    let target =
        "/v1/forecast?latitude=59.91&longitude=10.75&current=temperature_2m,wind_speed_10m,weather_code";
    let (status, now) = get(&weather, target);
    assert_eq!((status, &now["current"]["temperature_2m"]), (200, &json!(11.5)));
    assert_eq!(now["current_units"]["temperature_2m"], "°C");
    assert!(now["current"].get("relative_humidity_2m").is_none(), "only what was asked for");
    assert!(weather.set_temperature("oslo", -4.0));
    assert_eq!(get(&weather, target).1["current"]["temperature_2m"], json!(-4.0));
    assert_eq!(get(&weather, "/v1/forecast?latitude=1").0, 400);
    assert_eq!(weather.hits_of("/v1/forecast"), 3);
    assert_eq!(weather.requests()[0].param("name"), Some("new york"));
}

#[test]
fn exchange_converts_both_ways_and_knows_what_it_does_not_know() {
    let exchange = Exchange::start().unwrap();
    let (status, rates) = get(&exchange, "/v1/latest?base=USD&symbols=EUR");
    let expected = json!({"amount": 1.0, "base": "USD", "date": "2026-11-20", "rates": {"EUR": 0.92}});
    assert_eq!((status, rates), (200, expected));
    let (_, rates) = get(&exchange, "/v1/latest?base=EUR&symbols=USD,GBP&amount=10");
    assert_eq!(rates["rates"], json!({"GBP": 8.58696, "USD": 10.86957}));
    exchange.set_per_dollar("eur", 0.5);
    assert_eq!(get(&exchange, "/v1/latest?base=USD&symbols=EUR").1["rates"]["EUR"], json!(0.5));
    let unknown = (404, json!({"message": "not found"}));
    assert_eq!(get(&exchange, "/v1/latest?base=XXX&symbols=EUR"), unknown);
    assert_eq!(get(&exchange, "/v1/latest?base=USD&symbols=XXX"), unknown);
}

#[test]
fn ollama_says_what_it_was_told_in_order() {
    let ollama = Ollama::start().unwrap();
    ollama.set_models(&["llama3:latest", "qwen3:8b"]);
    assert_eq!(get(&ollama, "/api/tags").1["models"][1]["name"], "qwen3:8b");
    ollama.say("first");
    ollama.say("second one");
    ollama.respond_with(|request| format!("you said {}", request["messages"][0]["content"]));
    let body =
        json!({"model": "llama3", "stream": false, "messages": [{"role": "user", "content": "a b c"}]});
    let ask = || call(&ollama, "POST", "/api/chat", &body.to_string());
    let (status, answer) = ask();
    assert_eq!((status, &answer["message"]["content"]), (200, &json!("first")));
    assert_eq!((&answer["done"], &answer["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!(answer["prompt_eval_count"], 3);
    assert_eq!(ask().1["eval_count"], 2);
    assert_eq!(ask().1["message"]["content"], "you said \"a b c\"");
    assert_eq!(ollama.requests().last().unwrap().json(), body);
    let missing = json!({"model": "mistral", "stream": false, "messages": []});
    assert_eq!(call(&ollama, "POST", "/api/chat", &missing.to_string()).0, 404);
}

#[test]
fn openai_says_what_it_was_told_and_keeps_the_key() {
    let openai = OpenAi::start().unwrap();
    assert_eq!(get(&openai, "/v1/models").1["data"][0]["id"], "gpt-4o-mini");
    openai.say("forty two");
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "why?"}]}).to_string();
    let (status, answer) = call(&openai, "POST", "/v1/chat/completions", &body);
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!("forty two")));
    assert_eq!(answer["usage"], json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}));
    assert_eq!(openai.requests()[1].header("Authorization"), Some("Bearer sk-test"));
    let (status, answer) = call(&openai, "POST", "/v1/chat/completions", &body);
    assert_eq!((status, &answer["error"]["code"]), (500, &json!("nothing_scripted")));
}

#[test]
fn a_stub_fails_as_often_as_it_is_told() {
    let exchange = Exchange::start().unwrap();
    let status = || get(&exchange, "/v1/latest?base=USD").0;
    exchange.fail_next(2, 503);
    exchange.fail_next(1, 429);
    assert_eq!([status(), status(), status(), status()], [503, 503, 429, 200]);
    exchange.fail_always(500);
    assert_eq!([status(), status()], [500, 500]);
    exchange.heal();
    assert_eq!(status(), 200);
    assert_eq!(exchange.hits(), 7, "failed requests count too");
    exchange.forget();
    assert_eq!((exchange.hits(), exchange.requests().len()), (0, 0));
}

#[test]
fn a_stub_can_be_slow_and_be_held() {
    let weather = Weather::start().unwrap();
    weather.delay(Duration::from_millis(200));
    let start = Instant::now();
    get(&weather, "/v1/search?name=Oslo");
    assert!(start.elapsed() >= Duration::from_millis(200));
    weather.heal();

    weather.hold();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| get(&weather, "/v1/search?name=Oslo"));
        }
        wait::until(SOON, "three calls under way", || weather.in_flight() == 3).unwrap();
        weather.release();
    });
    assert_eq!((weather.in_flight(), weather.peak_in_flight(), weather.hits()), (0, 3, 4));
}

#[test]
fn what_is_kept_is_bounded_and_a_stopped_stub_refuses() {
    let exchange = Exchange::start().unwrap();
    for _ in 0..1_030 {
        get(&exchange, "/v1/nothing");
    }
    assert_eq!((exchange.hits(), exchange.requests().len()), (1_030, 1_024));
    let address = exchange.address();
    drop(exchange);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_counter_tells_how_often_each_key_was_executed() {
    let counter = Counter::start().unwrap();
    let post =
        |key: &str| call_with(&counter, "POST", "/any/path", &format!("idempotency-key: {key}\r\n"), "{}");
    assert_eq!(post("a:1:1:s1"), (200, json!({"n": 1})));
    assert_eq!(post("a:1:1:s1"), (200, json!({"n": 2})));
    assert_eq!(post("a:1:1:s2"), (200, json!({"n": 1})));
    assert_eq!(call(&counter, "POST", "/any/path", "{}").0, 400, "an effect without a key cannot be counted");

    assert_eq!(get(&counter, "/deposits/a:1:1:s3").0, 404);
    assert_eq!(call(&counter, "PUT", "/deposits/a%3A1%3a1:s3", r#"{"amount":1}"#).1["n"], 1);
    let (status, found) = get(&counter, "/deposits/a:1:1:s3");
    assert_eq!((status, &found["document"]), (200, &json!({"amount": 1})));
    assert_eq!(call(&counter, "PUT", "/deposits/a:1:1:s3", r#"{"amount":2}"#).1["document"]["amount"], 1);

    let (_, report) = get(&counter, "/counts");
    assert_eq!(report, json!({"calls": {"a:1:1:s1": 2, "a:1:1:s2": 1}, "deposits": {"a:1:1:s3": 2}}));
    assert_eq!(counter.counts().values().sum::<u64>(), 5);
    assert_eq!((counter.executions("a:1:1:s3"), counter.executions("nobody")), (2, 0));
}

#[test]
fn a_caller_may_die_before_an_effect_or_after_it() {
    let counter = Counter::start().unwrap();
    let send_and_hang_up = |key: &str| {
        let mut stream = TcpStream::connect(counter.address()).unwrap();
        write!(stream, "POST / HTTP/1.1\r\nhost: h\r\nidempotency-key: {key}\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        stream
    };
    counter.delay(Duration::from_secs(60));
    let caller = send_and_hang_up("before");
    wait::until(SOON, "the call under way", || counter.in_flight() == 1).unwrap();
    drop(caller);
    wait::until(SOON, "the call to end with its caller", || counter.in_flight() == 0).unwrap();
    assert_eq!(counter.executions("before"), 0);

    counter.heal();
    counter.delay_answer(Duration::from_secs(60));
    let caller = send_and_hang_up("after");
    wait::until(SOON, "the effect", || counter.executions("after") == 1).unwrap();
    drop(caller);
    wait::until(SOON, "the call to end with its caller", || counter.in_flight() == 0).unwrap();
    assert_eq!(counter.executions("after"), 1);
}

#[test]
fn a_full_counter_refuses_and_forgets_nothing() {
    let counter = Counter::start().unwrap();
    let document = format!("\"{}\"", "x".repeat(7 << 20));
    let full = (0..40).find(|n| call(&counter, "PUT", &format!("/deposits/k{n}"), &document).0 == 507);
    let full = full.expect("128 MiB are reached with documents of 7 MiB each");
    assert_eq!(counter.counts().len(), full);
    assert_eq!(call(&counter, "PUT", "/deposits/k0", &document).0, 200, "a known key takes no room");
    assert_eq!(counter.executions("k0"), 2);
}
