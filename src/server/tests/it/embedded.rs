//! The laptop: one command, the embedded log, nothing else.

use serde_json::Value;

use crate::world::{Options, Server};

const QUESTION: &str = "What is 17% of 2340, what is 12 miles in km, and sqrt(2)*10?";

#[test]
fn three_questions_in_one_message_are_three_parallel_steps_and_one_answer() {
    let server = Server::start(Options::default());
    let turn = server.ask(QUESTION);
    let answer = turn["answer"].as_str().unwrap();
    for figure in ["397.8", "19.31", "14.14"] {
        assert!(answer.contains(figure), "{figure} is missing in {answer:?}");
    }
    assert_eq!((turn["status"].as_str(), turn["turn"].as_u64()), (Some("answered"), Some(1)));
    let id = turn["conversation_id"].as_str().unwrap();
    let plan = server.plan(id);
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3, "{plan}");
    for step in steps {
        assert_eq!((step["status"].as_str(), step["tool"].as_str()), (Some("done"), Some("math")));
        assert_eq!(step["depends_on"].as_array().unwrap().len(), 0);
    }
    let kinds = server.kinds(id);
    assert_eq!(
        (kinds[0].as_str(), kinds[1].as_str(), kinds.len()),
        ("UserQueryReceived", "PlanGenerated", 6)
    );
    let replay: Value = serde_json::from_str(&server.cli(&["replay", id, "--json"])).unwrap();
    assert_eq!(replay["equal"], true, "{replay}");
    server.cli(&["verify"]);
}

#[test]
fn without_its_snapshots_everything_is_rebuilt_from_the_log() {
    let server = Server::start(Options::default());
    let id = server.ask(QUESTION)["conversation_id"].as_str().unwrap().to_owned();
    assert_eq!(server.stop(), Some(0), "{}", server.process.tail());
    let data = server.data.path().join("data");
    let mut removed = 0;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snapshots") {
            std::fs::remove_dir_all(path).unwrap();
            removed += 1;
        }
    }
    assert_eq!(removed, 1, "one snapshot folder lies in {}", data.display());
    std::fs::remove_file(data.join("history.json")).unwrap();
    let server = Server::start_in(server.data, server.options);
    server.cli(&["verify"]);
    let history = server.get(&format!("/v1/conversations/{id}/history"));
    assert_eq!(history["turns"][0]["status"], "answered");
    let file = server.data.path().join("data/history.json");
    let rebuilt = || {
        let book: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        (book["conversations"][&id]["turns"][0]["status"] == "answered").then_some(())
    };
    callboard_testkit::wait::until_some(crate::world::PATIENCE, "history.json is back", rebuilt).unwrap();
}

#[test]
fn a_later_step_uses_an_earlier_result() {
    let exchange = callboard_testkit::stubs::Exchange::start().unwrap();
    exchange.set_per_dollar("EUR", 0.5);
    let server =
        Server::start(Options::default().env("CALLBOARD__TOOLS__EXCHANGE__BASE_URL", exchange.url()));
    let turn = server.ask("convert 120 USD to EUR and take 19% of it");
    let answer = turn["answer"].as_str().unwrap();
    assert!(answer.contains("60") && answer.contains("11.4"), "{answer}");
    let plan = server.plan(turn["conversation_id"].as_str().unwrap());
    assert_eq!(plan["steps"][1]["depends_on"][0], plan["steps"][0]["id"], "{plan}");
}

#[test]
fn weather_and_what_fails_beside_it() {
    let weather = callboard_testkit::stubs::Weather::start().unwrap();
    let server = Server::start(
        Options::default()
            .env("CALLBOARD__TOOLS__WEATHER__BASE_URL", weather.url())
            .env("CALLBOARD__TOOLS__WEATHER__GEOCODING_URL", weather.url()),
    );
    let turn = server.ask("weather in Berlin and weather in Nowhereville");
    let answer = turn["answer"].as_str().unwrap();
    assert!(
        answer.contains("Berlin") && answer.contains("°C") && answer.contains("Nowhereville"),
        "{answer}"
    );
    let alone = server.ask("what is the weather in Nowhereville?");
    assert_eq!(alone["status"], "failed", "{alone}");
    assert!(alone["error"]["detail"].as_str().unwrap().contains("Nowhereville"), "{alone}");
}

#[test]
fn cancel_ends_a_turn_and_reset_clears_the_context() {
    let server = Server::start(Options::default());
    let (conversation, command) = server.send("echo slow after 30 seconds");
    let (status, body, _) = server.post(&format!("/v1/conversations/{conversation}/cancel"), &[], "");
    assert!(status == 200 || status == 202, "{status} {body}");
    assert_eq!(server.ended(&conversation, &command)["status"], "cancelled");
    let (status, body, _) = server.post(&format!("/v1/conversations/{conversation}/reset"), &[], "");
    assert!(status == 200 || status == 202, "{status} {body}");
    server.cli(&["verify"]);
}

#[test]
fn the_page_the_contract_and_the_numbers_are_served() {
    let server = Server::start(Options::default());
    let (status, page) = server.try_get("/").unwrap();
    assert!(status == 200 && page.contains("<!doctype html") || page.contains("<!DOCTYPE html"), "{page}");
    let openapi = server.get("/openapi.json");
    for path in ["/v1/chat", "/v1/conversations/{id}/plan", "/admin/v1/actors", "/readyz"] {
        assert!(openapi["paths"][path].is_object(), "{path} is not in the OpenAPI document");
    }
    server.ask("echo hello");
    assert!(server.metric("callboard_turns") >= 2.0);
    let tree = server.get("/admin/v1/actors");
    assert_eq!(tree["kind"], "guardian");
    assert!(tree.to_string().contains("partition_host"), "{tree}");
}
