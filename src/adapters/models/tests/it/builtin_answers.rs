//! What the built-in synthesizer writes, word for word.

use callboard_domain::event::ToolError;
use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::request::StepReport;
use callboard_models::builtin::BuiltinSynthesizer;
use callboard_ports::model::Synthesizer;
use serde_json::{Value, json};

use crate::world::{report, synthesis};

async fn answer(guidance: Option<&str>, steps: Vec<StepReport>) -> String {
    let answer =
        BuiltinSynthesizer.synthesize(synthesis("a question", guidance, steps), 1_000).await.unwrap();
    assert_eq!(&*answer.author.provider, "builtin");
    answer.text.to_string()
}

fn math(id: &str, expression: &str, result: &str, approximate: bool) -> StepReport {
    let mut value = json!({"expression": expression, "result": result, "value": null});
    if approximate {
        value["approximate"] = Value::Bool(true);
    }
    report(id, "math", &json!({"expression": expression}), Some(Ok(value)))
}

#[tokio::test]
async fn a_line_for_each_step() {
    let steps = vec![
        math("math-1", "17% of 2340", "397.8", false),
        math("math-2", "12 miles to km", "19.312128 km", false),
        math("math-3", "12 miles in km", "19.312128 km", false),
        math("math-4", "sqrt(2)*10", "14.1421356237", true),
        math("math-5", "(19.312128 km) to feet", "63360 feet", false),
        report(
            "exchange-6",
            "exchange",
            &json!({}),
            Some(Ok(
                json!({"amount": 120, "from": "USD", "to": "EUR", "rate": 0.92, "converted": 110.4, "date": "2026-11-20"}),
            )),
        ),
        report(
            "weather-7",
            "weather",
            &json!({"place": "berlin"}),
            Some(Ok(
                json!({"place": "Berlin", "country": "Germany", "temperature_c": 11.5, "wind_kmh": 14.2,
                           "humidity_percent": 78, "conditions": "overcast", "observed_at": "2026-11-20T12:00Z"}),
            )),
        ),
        report("weather-8", "weather", &json!({}), Some(Ok(json!({"place": "Ys", "temperature_f": 50})))),
        report("echo-9", "echo", &json!({"text": "hello"}), Some(Ok(json!({"text": "hello"})))),
        report("other-10", "lookup", &json!({}), Some(Ok(json!({"found": [1, 2]})))),
    ];
    let expected = "\
17% of 2340 = 397.8
12 miles = 19.312128 km
12 miles = 19.312128 km
sqrt(2)*10 ≈ 14.1421356237
19.312128 km = 63360 feet
120 USD = 110.4 EUR (rate 0.92, 2026-11-20)
Berlin: 11.5 °C, overcast, wind 14.2 km/h, humidity 78 % (Germany, 2026-11-20T12:00Z)
Ys: 50 °F
hello
other-10: {\"found\":[1,2]}";
    assert_eq!(answer(None, steps).await, expected);
}

#[tokio::test]
async fn failures_and_skips_are_said_plainly() {
    let unknown = ToolError::new("not_found", "no place called \"Atlantis\" was found", false);
    let steps = vec![
        math("math-1", "2 + 2", "4", false),
        report("weather-2", "weather", &json!({"place": "Atlantis"}), Some(Err(unknown))),
        report("math-3", "math", &json!({"expression": "19% of ${exchange-2.converted}"}), None),
    ];
    let expected = "\
2 + 2 = 4
weather (Atlantis) failed: no place called \"Atlantis\" was found.
math (math-3) was skipped: a step that it needs did not succeed.";
    assert_eq!(answer(None, steps).await, expected);
}

#[tokio::test]
async fn guidance_is_the_answer_without_steps_and_a_note_beneath_them() {
    assert_eq!(answer(Some("Hello!"), Vec::new()).await, "Hello!");
    assert_eq!(answer(None, Vec::new()).await, "There was nothing to do for this message.");
    let step = || vec![math("math-1", "2 + 2", "4", false)];
    assert_eq!(
        answer(Some("Note: the rest was unclear."), step()).await,
        "2 + 2 = 4\nNote: the rest was unclear."
    );
    // A model's hint to the writer is not for the reader.
    assert_eq!(answer(Some("Be brief and friendly."), step()).await, "2 + 2 = 4");
}

#[tokio::test]
async fn an_answer_keeps_its_bound_and_its_characters() {
    let text = "ü".repeat(100_000);
    let steps = (1..=3)
        .map(|n| report(&format!("echo-{n}"), "echo", &json!({}), Some(Ok(json!({"text": text})))))
        .collect();
    let answer = answer(None, steps).await;
    assert!(answer.len() <= MAX_ANSWER_BYTES && answer.ends_with("the answer is too long)"));
}

#[tokio::test]
async fn results_of_the_wrong_shape_are_shown_as_they_are() {
    for tool in ["math", "exchange", "weather", "echo"] {
        let steps = vec![report("s-1", tool, &json!({}), Some(Ok(json!([1, "two"]))))];
        assert_eq!(answer(None, steps).await, "s-1: [1,\"two\"]");
    }
}
