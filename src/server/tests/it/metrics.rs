//! `/metrics` and the board that Grafana draws of it: every expression of the board names a metric that is really exported, and
//! every refusal is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::world::{Options, Server};

/// Names of the samples that a server can export: counters end in `_total`.
fn exported(server: &Server) -> BTreeSet<String> {
    let (status, text) = server.try_get("/metrics").unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("# EOF\n"), "OpenMetrics ends with a sign of its end");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: BTreeMap<&str, &str> = types.filter_map(|line| line.split_once(' ')).collect();
    let described: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert_eq!(types.keys().copied().collect::<BTreeSet<_>>(), described, "each is described once");
    let name = |(name, kind): (&&str, &&str)| {
        if *kind == "counter" { format!("{name}_total") } else { (*name).to_owned() }
    };
    types.iter().map(name).collect()
}

fn board() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/dashboards/callboard.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Every expression of the board, with its panel's title.
fn expressions(board: &Value) -> Vec<(String, String)> {
    let panels = board["panels"].as_array().unwrap().iter();
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    panels.flat_map(of).collect()
}

/// The metrics that an expression names.
fn named(expression: &str) -> Vec<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(|c| !word(c)).filter(|name| name.starts_with("callboard_")).collect()
}

#[test]
fn the_board_asks_for_metrics_that_are_exported() {
    let server = Server::start(Options::default());
    server.ask("echo x");
    let exported = exported(&server);
    let board = board();
    let expressions = expressions(&board);
    assert!(expressions.len() > 20, "{expressions:?}");
    for (panel, expression) in &expressions {
        let names = named(expression);
        assert!(!names.is_empty(), "{panel}: {expression}");
        for name in names {
            assert!(exported.contains(name), "{panel} asks for {name}, which is not exported: {exported:#?}");
        }
        let balance = expression.matches('(').count() == expression.matches(')').count();
        assert!(
            balance && expression.matches('[').count() == expression.matches(']').count(),
            "{expression}"
        );
    }
    let all: String = expressions.into_iter().map(|(_, expression)| expression).collect();
    for family in [
        "open_turns",
        "open_turn_oldest_age_seconds",
        "group_lag",
        "effects_in_doubt",
        "dead_letters",
        "actor_endings",
        "last_recovery_seconds",
        "breaker_open",
        "refusals",
        "http_refusals",
        "arbiters_wedged",
    ] {
        assert!(all.contains(&format!("callboard_{family}")), "the board shows no {family}");
    }
}

#[test]
fn the_board_is_one_that_grafana_draws() {
    let board = board();
    assert!(board["schemaVersion"].as_u64().unwrap() >= 39 && board["uid"].is_string());
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: an id twice");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is outside");
        for y in place("y")..place("y") + place("h") {
            for x in place("x")..place("x") + place("w") {
                assert!(places.insert((x, y)), "{title} lies over another panel");
            }
        }
        let kind = panel["type"].as_str().unwrap();
        assert!(["row", "stat", "timeseries"].contains(&kind), "{title}: {kind}");
        if kind == "row" {
            continue;
        }
        for target in panel["targets"].as_array().unwrap() {
            for source in [&panel["datasource"], &target["datasource"]] {
                assert_eq!(source, &json!({ "type": "prometheus", "uid": "prometheus" }), "{title}");
            }
        }
    }
}

#[test]
fn every_refusal_is_counted_and_says_when_to_come_back() {
    let server = Server::start(Options::default());
    let refusals = |reason: &str| {
        let (_, text) = server.try_get("/metrics").unwrap();
        let wanted = format!("reason=\"{reason}\"");
        let line = text
            .lines()
            .find(|line| line.starts_with("callboard_http_refusals_total{") && line.contains(&wanted));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
    };
    let long = json!({ "message": "x".repeat(3_000_000) }).to_string();
    assert_eq!(server.post("/v1/chat", &[], long).0, 413);
    assert_eq!(refusals("body_too_large"), 1);
    // As many as may wait in one conversation do; the next is told to come back.
    let chat = |i: usize| {
        let body = json!({ "message": format!("echo {i} after 60 seconds"), "conversation_id": "full" });
        server.post("/v1/chat", &[("Prefer", "respond-async")], body.to_string())
    };
    let refused = (0..80).map(chat).find(|(status, ..)| *status == 429);
    let (_, problem, headers) = refused.expect("the queue of one conversation is bounded");
    assert_eq!(problem["code"], "queue_full");
    assert!(headers.contains_key("retry-after"), "{headers:?}");
    assert_eq!(refusals("queue_full"), 1);
    assert!(server.metric("callboard_http_answers") >= 60.0);
}
