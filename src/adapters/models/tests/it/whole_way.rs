//! From a message to its answer with nothing but the built-in parts and the real tools: what the first run does.

use std::collections::HashMap;
use std::sync::Arc;

use callboard_domain::event::{Outcome, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_domain::plan::reference;
use callboard_domain::request::StepReport;
use callboard_models::builtin::{BuiltinPlanner, BuiltinSynthesizer};
use callboard_ports::model::{Planner, Synthesizer};
use callboard_ports::tool::{Call, ToolRegistry};
use callboard_testkit::stubs::{Exchange, Weather};
use callboard_tools::Registry;
use serde_json::json;

use crate::world::{request, synthesis};

/// Plans, runs the steps in their order, and writes the answer.
async fn answer(registry: Arc<Registry>, message: &str) -> String {
    let plan = BuiltinPlanner::new(registry.clone()).plan(request(message)).await.unwrap();
    let mut results: HashMap<String, RawJson> = HashMap::new();
    let mut reports = Vec::new();
    for step in &plan.steps {
        let outcome = match reference::resolve(&step.arguments, |id| results.get(id)) {
            Ok(arguments) => {
                registry.check_resolved(&step.tool, &arguments).unwrap();
                let call =
                    Call { idempotency_key: step.id.to_string(), attempt: 1, arguments, timeout_ms: 5_000 };
                Some(match registry.tool(&step.tool).unwrap().call(call).await {
                    Ok(result) => {
                        results.insert(step.id.to_string(), result.clone());
                        Outcome::Ok(result)
                    }
                    Err(error) => Outcome::Error(error),
                })
            }
            Err(_) => None,
        };
        let (id, tool, arguments) = (step.id.clone(), step.tool.clone(), step.arguments.clone());
        reports.push(StepReport { version: 1, id, tool, arguments, outcome });
    }
    let asked = synthesis(message, plan.guidance.as_deref(), reports);
    BuiltinSynthesizer.synthesize(asked, 1_000).await.unwrap().text.to_string()
}

fn registry(weather: &str, exchange: &str) -> Arc<Registry> {
    let config = json!({
        "weather": {"base_url": weather, "geocoding_url": weather}, "exchange": {"base_url": exchange},
    });
    let handle = tokio::runtime::Handle::current();
    Arc::new(
        Registry::build(&serde_json::from_value(config).unwrap(), TurnLimits::default(), handle).unwrap(),
    )
}

#[tokio::test]
async fn questions_are_answered_with_their_figures() {
    let (weather, exchange) = (Weather::start().unwrap(), Exchange::start().unwrap());
    let registry = registry(&weather.url(), &exchange.url());
    for (message, expected) in [
        (
            "What is 17% of 2340, what is 12 miles in km, and sqrt(2)*10?",
            "17% of 2340 = 397.8\n12 miles = 19.312128 km\nsqrt(2) * 10 ≈ 14.1421356237",
        ),
        (
            "convert 120 USD to EUR and take 19% of it",
            "120 USD = 110.4 EUR (rate 0.92, 2026-11-20)\n19% of 110.4 = 20.976",
        ),
        (
            "weather in Oslo and Atlantis",
            "Oslo: 11.5 °C, overcast, wind 14.2 km/h, humidity 78 % (Norway, 2026-11-20T12:00Z)\n\
             weather (Atlantis) failed: no place called \"Atlantis\" was found; try its English name, or add the country.",
        ),
        (
            "12 miles in km and add 5 to it, then double it",
            "12 miles = 19.312128 km\n(19.312128 km) + 5 km = 24.312128 km\n2 * (24.312128 km) = 48.624256 km",
        ),
        ("12 miles in km and in feet", "12 miles = 19.312128 km\n19.312128 km = 63360 feet"),
        (
            "120 USD to XYZ; double it",
            "exchange (USD to XYZ) failed: there is no exchange rate from USD to XYZ; both must be \
             ISO 4217 codes in daily trade.\nmath (math-2) was skipped: a step that it needs did not succeed.",
        ),
        ("echo ${math-1.result} and \"$${quotes}\"", "${math-1.result} and \"$${quotes}\""),
        ("hello", "Hello! What can I do for you?"),
    ] {
        assert_eq!(answer(registry.clone(), message).await, expected, "{message}");
    }
}

#[tokio::test]
async fn what_the_planner_takes_for_arithmetic_the_tool_can_evaluate() {
    let registry = registry("http://127.0.0.1:9", "http://127.0.0.1:9");
    for (message, figure) in [
        ("what is the square root of 16", "= 4"),
        ("the sum of 3, 4 and 5", "= 12"),
        ("average of 1, 2 and 3", "= 2"),
        ("increase 200 by 10%", "= 220"),
        ("take 20% off 50", "= 40"),
        ("2 to the power of 8", "= 256"),
        ("100 divided by 8", "= 12.5"),
        ("factorial of 5", "= 120"),
        ("20 C in F", "= 68 °F"),
        ("20 degrees celsius to fahrenheit", "= 68 °F"),
        ("5 feet 10 inches in cm", "= 177.8 cm"),
        ("how many feet in a mile", "= 5280 feet"),
        ("100 km/h in m/s", "27.7777777778 m / s"),
        ("convert 3 gallons to liters", "11.356235352 liters"),
        ("90 minutes in hours", "= 1.5 hours"),
        ("5 GB in mb", "= 5000 MB"),
        ("1 acre in square meters", "4046.8564224 m^2"),
        ("60 mph in kmh", "km / h"),
        ("3 million / 4", "= 750000"),
        ("10 kg to lbs", "22.046226"),
        ("-5 + 3", "= -2"),
        ("sin(30 degrees)", "= 0.5"),
        ("2 x 3", "= 6"),
        ("half of the sum of 3 and the square root of 16", "= 3.5"),
    ] {
        let answer = answer(registry.clone(), message).await;
        assert!(answer.contains(figure) && !answer.contains("failed"), "{message}: {answer}");
    }
}
