//! What holds for every message whatsoever.

use std::time::{Duration, Instant};

use callboard_models::builtin::BuiltinPlanner;
use callboard_ports::model::Planner;
use futures_util::FutureExt;
use proptest::prelude::*;

use crate::world::{registry, request};

/// Plans `message`; the plan has passed the domain's validation, or the planner has answered that it was refused.
fn plan(planner: &BuiltinPlanner, message: &str) -> callboard_domain::event::PlanGenerated {
    planner.plan(request(message)).now_or_never().expect("the built-in planner waits for nothing").unwrap()
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("weather in Berlin".to_owned()),
        Just("120 USD to EUR".to_owned()),
        Just("take 19% of it".to_owned()),
        Just("double it".to_owned()),
        Just("12 miles in km".to_owned()),
        Just("echo ${x.y}".to_owned()),
        Just("after 3 seconds".to_owned()),
        Just("webhook http://h/${a} with".to_owned()),
        Just("deposit a at http://h".to_owned()),
        Just("then deposit".to_owned()),
        Just("how many".to_owned()),
        Just("the sum of".to_owned()),
        "[0-9(){}\\[\\]+*/^%!., ]{0,12}",
        "\\PC{0,8}",
        any::<String>().prop_map(|text| text.chars().take(12).collect()),
    ]
}

fn message() -> impl Strategy<Value = String> {
    let joint = prop_oneof![
        Just(" and "),
        Just(" then "),
        Just(", "),
        Just("; "),
        Just("? "),
        Just(" "),
        Just("\n"),
        Just("\""),
        Just("$")
    ];
    prop::collection::vec((fragment(), joint), 0..10)
        .prop_map(|parts| parts.into_iter().flat_map(|(text, joint)| [text, joint.to_owned()]).collect())
}

#[test]
fn no_message_breaks_the_planner_or_its_plan() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let planner = BuiltinPlanner::new(registry());
    proptest!(ProptestConfig::with_cases(2_000), |(message in message())| {
        let made = plan(&planner, &message);
        let refused = made.guidance.as_deref().is_some_and(|guidance| guidance.contains("was refused"));
        prop_assert!(!refused, "{:?}", made.guidance);
        prop_assert!(!made.steps.is_empty() || made.guidance.is_some());
        prop_assert_eq!(&made, &plan(&planner, &message));
    });
}

#[tokio::test]
async fn the_longest_messages_are_read_in_bounded_time() {
    let planner = BuiltinPlanner::new(registry());
    let fill = |unit: &str| unit.repeat(256 * 1024 / unit.len());
    for unit in [
        "a ",
        "(",
        ")",
        "\"",
        "“",
        "1+",
        "and ",
        "a, ",
        "echo ",
        "echo a; ",
        "2+2 and ",
        "weather in a and ",
        ", and then ",
        "half of ",
        "the sum of ",
        "how many ",
        "to ",
        "${",
        "1,000,",
        "!",
        ". ",
        "say \"",
        "\n",
        "日本",
        "what is ",
        "deposit a; ",
        "deposit ",
        "deposit \"",
        "deposit a then ",
        "webhook http://h/a with b and ",
        "webhook http://h/a; 2+2; ",
        "http://",
    ] {
        let message = fill(unit);
        let began = Instant::now();
        let _ = plan(&planner, &message);
        assert!(began.elapsed() < Duration::from_secs(2), "{unit:?} took {:?}", began.elapsed());
    }
}
