//! What the built-in planner makes of messages, row by row.

use std::sync::Arc;

use callboard_domain::event::PlanGenerated;
use callboard_domain::plan::{OnFailure, PlanReason};
use callboard_domain::request::Exchange;
use callboard_models::builtin::BuiltinPlanner;
use callboard_ports::model::{PlanRequest, Planner};

use crate::world::{registry, report, request, steps};

async fn plan(message: &str) -> PlanGenerated {
    BuiltinPlanner::new(registry()).plan(request(message)).await.unwrap()
}

/// Checks rows of (message, steps); all that differ are shown at once.
async fn expect(rows: &[(&str, &[&str])]) {
    let mut wrong = String::new();
    for (message, expected) in rows {
        let plan = plan(message).await;
        let found = steps(&plan);
        if found != *expected {
            wrong.push_str(&format!(
                "{message:?}\n  found    {found:?}\n  expected {expected:?}\n  {:?}\n",
                plan.guidance
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[tokio::test]
async fn arithmetic() {
    expect(&[
        ("What is 17% of 2340?", &["math 17% of 2340"]),
        ("17% of 2340", &["math 17% of 2340"]),
        ("17 percent of 2340", &["math 17% of 2340"]),
        ("2+2", &["math 2 + 2"]),
        ("what's 2 + 2 =", &["math 2 + 2"]),
        ("Calculate 3*(4-1)", &["math 3 * (4 - 1)"]),
        ("calculate: 12 / 5", &["math 12 / 5"]),
        ("please compute 2^10", &["math 2^10"]),
        ("2 to the power of 8", &["math 2^8"]),
        ("sqrt(2)*10", &["math sqrt(2) * 10"]),
        ("what is the square root of 16", &["math sqrt(16)"]),
        ("the sum of 3 and 4", &["math 3 + 4"]),
        ("What is the sum of 3, 4 and 5?", &["math 3 + 4 + 5"]),
        ("product of 6 and 7", &["math 6 * 7"]),
        ("difference between 10 and 4", &["math 10 - 4"]),
        ("average of 1, 2 and 3", &["math (1 + 2 + 3) / 3"]),
        ("5!", &["math 5!"]),
        ("factorial of 5", &["math 5!"]),
        ("3 x 4", &["math 3 * 4"]),
        ("3 × 4 ÷ 2", &["math 3 * 4 / 2"]),
        ("7 plus 8 times 2", &["math 7 + 8 * 2"]),
        ("two plus two", &["math 2 + 2"]),
        ("100 divided by 8", &["math 100 / 8"]),
        ("What is 1,000 + 2,500.50?", &["math 1000 + 2500.50"]),
        ("half of 50", &["math 50 / 2"]),
        ("a quarter of 80", &["math 80 / 4"]),
        ("half of the sum of 3 and the square root of 16", &["math (3 + sqrt(16)) / 2"]),
        ("multiply 6 by 7", &["math 6 * 7"]),
        ("add 5 to 10", &["math 10 + 5"]),
        ("subtract 3 from 10", &["math 10 - 3"]),
        ("increase 200 by 10%", &["math 200 * (1 + 10/100)"]),
        ("double 21", &["math 2 * 21"]),
        ("10 mod 3", &["math 10 mod 3"]),
        ("-5 + 3", &["math -5 + 3"]),
    ])
    .await;
}

#[tokio::test]
async fn units() {
    expect(&[
        ("what is 12 miles in km", &["math 12 miles to km"]),
        ("12 miles to km", &["math 12 miles to km"]),
        ("convert 12 miles into kilometers", &["math 12 miles to kilometers"]),
        ("how many km are in 12 miles?", &["math 12 miles to km"]),
        ("how many feet in a mile", &["math 1 mile to feet"]),
        ("20 C in F", &["math 20 C to F"]),
        ("20 degrees celsius to fahrenheit", &["math 20 °C to °F"]),
        ("100 km/h in mph", &["math 100 km / h to mph"]),
        ("50 pounds in kg", &["math 50 pounds to kg"]),
        ("5 feet 10 inches in cm", &["math 5 feet 10 inches to cm"]),
        ("5 GB to mb", &["math 5 GB to MB"]),
    ])
    .await;
}

#[tokio::test]
async fn currencies() {
    expect(&[
        ("convert 120 USD to EUR", &["exchange 120 USD EUR"]),
        ("how much is 50 pounds in dollars", &["exchange 50 GBP USD"]),
        ("$20 in euros", &["exchange 20 USD EUR"]),
        ("20€ to usd", &["exchange 20 EUR USD"]),
        ("What is 1,250.50 usd in yen?", &["exchange 1250.5 USD JPY"]),
        ("how many euros is 120 dollars?", &["exchange 120 USD EUR"]),
        ("how many yen do I get for 10 swiss francs", &["exchange 10 CHF JPY"]),
        ("USD to EUR", &["exchange 1 USD EUR"]),
        ("exchange rate USD/EUR", &["exchange 1 USD EUR"]),
        ("what's the exchange rate between the dollar and the euro?", &["exchange 1 USD EUR"]),
        ("a euro in norwegian kroner", &["exchange 1 EUR NOK"]),
        ("2 million yen to euros", &["exchange 2000000 JPY EUR"]),
        (
            "100 USD to EUR, GBP and yen",
            &["exchange 100 USD EUR", "exchange 100 USD GBP", "exchange 100 USD JPY"],
        ),
        ("120 USD to XYZ", &["exchange 120 USD XYZ"]),
    ])
    .await;
}

#[tokio::test]
async fn weather() {
    expect(&[
        ("weather in Berlin", &["weather Berlin"]),
        ("weather in Berlin and Paris", &["weather Berlin", "weather Paris"]),
        ("Weather in Berlin, Paris, and Rome?", &["weather Berlin", "weather Paris", "weather Rome"]),
        ("what's the weather like in New York?", &["weather New York"]),
        ("weather in New York, USA", &["weather New York, USA"]),
        ("weather in Paris, Texas and Oslo, Norway", &["weather Paris, Texas", "weather Oslo, Norway"]),
        ("is it raining in Oslo", &["weather Oslo"]),
        ("How warm is it in St. Louis right now?", &["weather St. Louis"]),
        ("Berlin weather", &["weather Berlin"]),
        ("What is the temperature in São Paulo?", &["weather São Paulo"]),
        ("how is the weather in The Hague today?", &["weather The Hague"]),
        ("Will it rain in London tomorrow?", &["weather London"]),
        ("Weather in Berlin? And in Paris?", &["weather Berlin", "weather Paris"]),
        ("weather in Oslo. What about Tokyo?", &["weather Oslo", "weather Tokyo"]),
        ("weather in Paris and tell me a joke", &["weather Paris"]),
        ("weather in Berlin and 2+2", &["weather Berlin", "math 2 + 2"]),
        ("what's the weather?", &[]),
    ])
    .await;
}

#[tokio::test]
async fn echoes() {
    expect(&[
        ("echo hello", &["echo hello"]),
        ("say hello", &["echo hello"]),
        ("Echo: Hello, World!", &["echo Hello, World!"]),
        ("echo one; echo two; echo three", &["echo one", "echo two", "echo three"]),
        ("echo one, echo two and echo three", &["echo one", "echo two", "echo three"]),
        ("echo salt and pepper, then what is 2+2?", &["echo salt and pepper, then what is 2+2?"]),
        ("echo hello; what is 2+2", &["echo hello", "math 2 + 2"]),
        ("echo a; b; c", &["echo a; b; c"]),
        ("repeat after me: echo one; echo two", &["echo echo one; echo two"]),
        ("echo \"a; b, c\" and what is 2+2?", &["echo a; b, c", "math 2 + 2"]),
        ("what is 2+2 and say done", &["math 2 + 2", "echo done"]),
        ("echo hello after 3 seconds", &["echo hello @3000"]),
        ("echo hello with delay 3000 ms", &["echo hello @3000"]),
        ("echo hello with a delay of 2 s; echo bye", &["echo hello @2000", "echo bye"]),
        ("echo \"after 3 seconds\"", &["echo after 3 seconds"]),
        ("slow echo hello", &["echo hello @3000"]),
        ("echo the morning after", &["echo the morning after"]),
        ("echo too long after 3600 seconds", &["echo too long after 3600 seconds"]),
        ("echo ${math-1.result} $${x}", &["echo $${math-1.result} $$${x}"]),
        ("echo", &[]),
    ])
    .await;
}

#[tokio::test]
async fn several_questions_and_chains() {
    expect(&[
        (
            "What is 17% of 2340, what is 12 miles in km, and sqrt(2)*10?",
            &["math 17% of 2340", "math 12 miles to km", "math sqrt(2) * 10"],
        ),
        ("2+2; 3*3\n4/2", &["math 2 + 2", "math 3 * 3", "math 4 / 2"]),
        ("2+2 and 3+3", &["math 2 + 2", "math 3 + 3"]),
        ("hi, what is 2+2, please?", &["math 2 + 2"]),
        (
            "convert 120 USD to EUR and take 19% of it",
            &["exchange 120 USD EUR", "math 19% of ${exchange-1.converted}"],
        ),
        (
            "120 USD to EUR and take 19% of it",
            &["exchange 120 USD EUR", "math 19% of ${exchange-1.converted}"],
        ),
        ("120 USD to EUR, then half of that", &["exchange 120 USD EUR", "math ${exchange-1.converted} / 2"]),
        (
            "120 USD to EUR and convert it to GBP",
            &["exchange 120 USD EUR", "exchange ${exchange-1.converted} EUR GBP"],
        ),
        ("What is 6*7? Double it.", &["math 6 * 7", "math 2 * (${math-1.result})"]),
        ("6*7 and add 5 to it", &["math 6 * 7", "math (${math-1.result}) + 5"]),
        (
            "6*7, then plus 5, then divided by 2",
            &["math 6 * 7", "math (${math-1.result}) + 5", "math (${math-2.result}) / 2"],
        ),
        ("12 miles in km and add 5 to it", &["math 12 miles to km", "math (${math-1.result}) + 5 km"]),
        ("12 miles in km and in feet", &["math 12 miles to km", "math (${math-1.result}) to feet"]),
        ("6*7, double it, weather in Oslo", &["math 6 * 7", "math 2 * (${math-1.result})", "weather Oslo"]),
        ("double it", &[]),
        ("weather in Oslo and double it", &["weather Oslo"]),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_task_plans_nothing() {
    let long = "why ".repeat(60_000);
    for message in [
        "",
        " ",
        "?",
        "hello",
        "Hi there!",
        "thanks",
        "how are you?",
        "bye",
        "help",
        "what can you do?",
        "who are you",
        "write a poem about the sea",
        "42",
        "who won in 1998?",
        "2024",
        "my dog is 5 years old",
        "3 reasons to exercise",
        "日本語のメッセージです。",
        "(((((((",
        "\"\"\"",
        "\u{1} + 1",
        "--------",
        "💥💥💥",
        "a,b;c?d!e.f",
        &long,
    ] {
        let plan = plan(message).await;
        let shown: String = message.chars().take(40).collect();
        assert_eq!(steps(&plan), Vec::<String>::new(), "{shown}");
        assert!(plan.guidance.is_some_and(|guidance| guidance.len() < 2_000), "{shown}");
    }
}

#[tokio::test]
async fn guidance_says_what_could_not_be_done_and_what_can() {
    let guidance = plan("write a poem about the sea").await.guidance.unwrap();
    for words in [
        "“write a poem about the sea”",
        "17% of 2340",
        "120 USD",
        "weather in Berlin",
        "OLLAMA_HOST",
        "OPENAI_API_KEY",
    ] {
        assert!(guidance.contains(words), "{guidance}");
    }
    let partly = plan("what is 2+2 and write a poem about the sea").await;
    assert_eq!(steps(&partly), ["math 2 + 2"]);
    let guidance = partly.guidance.unwrap();
    assert!(
        guidance.starts_with("Note: ") && guidance.contains("“write a poem about the sea”"),
        "{guidance}"
    );
    assert!(plan("hello").await.guidance.unwrap().starts_with("Hello!"));
    assert!(plan("what is 2+2").await.guidance.is_none());
    assert!(plan("Hi! What is 2+2? Thanks.").await.guidance.is_none());
    let ahead = plan("weather in Oslo tomorrow").await;
    assert!(ahead.guidance.is_none() && ahead.steps[0].arguments.as_str().contains("\"days\":8"));
    assert!(plan("what's the weather?").await.guidance.unwrap().contains("need a place"));
}

#[tokio::test]
async fn one_question_fails_its_turn_and_several_go_on_without_each_other() {
    let policies =
        |plan: &PlanGenerated| plan.steps.iter().map(|step| step.policy.on_failure).collect::<Vec<_>>();
    assert_eq!(policies(&plan("2+2").await), [OnFailure::Fail]);
    assert_eq!(policies(&plan("2+2; double it").await), [OnFailure::Fail, OnFailure::Fail]);
    assert_eq!(policies(&plan("2+2; weather in Oslo").await), [OnFailure::Skip, OnFailure::Skip]);
    let chain = plan("convert 120 USD to EUR and take 19% of it").await;
    assert_eq!(chain.steps[1].depends_on, [chain.steps[0].id.clone()]);
    let ids: Vec<String> =
        plan("2+2; weather in Oslo; 3+3").await.steps.iter().map(|s| s.id.to_string()).collect();
    assert_eq!(ids, ["math-1", "weather-2", "math-3"]);
}

#[tokio::test]
async fn too_many_questions_are_named_from_where_they_were_left() {
    let message: String = (1..=40).map(|n| format!("echo {n}; ")).collect();
    let plan = plan(&message).await;
    assert_eq!(plan.steps.len(), 16);
    assert!(plan.guidance.unwrap().contains("“echo 17;"));
}

#[tokio::test]
async fn an_echo_too_long_for_a_result_is_refused_in_words() {
    let fits = plan(&format!("echo {}", "x".repeat(150_000))).await;
    assert_eq!(fits.steps.len(), 1);
    let too_long = plan(&format!("echo {}", "x".repeat(250_000))).await;
    assert!(too_long.steps.is_empty() && too_long.guidance.unwrap().contains("too long"));
}

#[tokio::test]
async fn a_second_plan_of_a_turn_has_no_steps() {
    for reason in [PlanReason::Continue, PlanReason::Failure] {
        let mut asked = request("2+2");
        asked.reason = reason;
        asked.version = 2;
        asked.results = vec![report("math-1", "math", &serde_json::json!({"expression": "2+2"}), None)];
        let plan = BuiltinPlanner::new(registry()).plan(asked).await.unwrap();
        assert_eq!((plan.steps.len(), plan.version, plan.reason), (0, 2, reason));
    }
}

#[tokio::test]
async fn what_an_earlier_question_said_need_not_be_said_again() {
    let said = |messages: &[&str]| {
        let exchange = |message: &&str| Exchange { message: Arc::from(*message), answer: None };
        messages.iter().map(exchange).collect::<Vec<_>>()
    };
    for (earlier, message, expected) in [
        (&["What is 350 °F in Kelvin?"][..], "and in Celsius?", "math 350 °F to °C"),
        (&["What is 350 °F in Kelvin?", "and in Celsius?"], "And in Kelvin?", "math 350 °F to kelvin"),
        (&["weather in Oslo"], "what about Paris?", "weather Paris"),
        (&["weather in Oslo", "thanks"], "and in New York?", "weather New York"),
        (&["120 USD in EUR"], "and in CHF?", "exchange 120 USD CHF"),
        (&["weather in Oslo"], "What is 2+2?", "math 2 + 2"),
    ] {
        let request = PlanRequest { history: said(earlier), ..request(message) };
        let plan = BuiltinPlanner::new(registry()).plan(request).await.unwrap();
        assert_eq!(steps(&plan), [expected], "{message} after {earlier:?}");
    }
    let request = PlanRequest { history: said(&["tell me of whales"]), ..request("and in Celsius?") };
    let plan = BuiltinPlanner::new(registry()).plan(request).await.unwrap();
    assert!(plan.steps.is_empty() && plan.guidance.is_some(), "{plan:?}");
}
