//! One setting moves it to Kafka: roles as processes of their own, crashes of any of them, a broker that goes away.

use std::time::Duration;

use callboard_testkit::process::Process;
use callboard_testkit::{kafka, unique_name, wait};
use tempfile::TempDir;

use crate::crash;
use crate::world::{Options, PATIENCE, Server, launch};

struct Worker {
    process: Process,
    data: TempDir,
}

fn worker(args: &[&str], options: &Options) -> Worker {
    let data = tempfile::tempdir().unwrap();
    let args: Vec<&str> = std::iter::once("worker").chain(args.iter().copied()).collect();
    Worker { process: launch(&data, &args, options), data }
}

#[test]
fn every_role_a_process_of_its_own() {
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("roles-");
    let options = Options::default().kafka(&cluster.bootstrap(), &prefix);
    let server = Server::start(options.clone().arg("--without").arg("tools,synthesis,history"));
    let _tools = worker(&["--pool", "default"], &options);
    let _synthesis = worker(&["--synthesis"], &options);
    let history = worker(&["--history"], &options);
    let turn = server.ask("What is 17% of 2340, what is 12 miles in km, and sqrt(2)*10?");
    let answer = turn["answer"].as_str().unwrap();
    for figure in ["397.8", "19.31", "14.14"] {
        assert!(answer.contains(figure), "{figure} is missing in {answer:?}");
    }
    let id = turn["conversation_id"].as_str().unwrap();
    server.cli(&["verify"]);
    let file = history.data.path().join("data/history.json");
    let has_it =
        || std::fs::read_to_string(&file).is_ok_and(|book| book.contains(id) && book.contains("397.8"));
    wait::until(PATIENCE, "history.json has the conversation", has_it).unwrap();
    let topic = |name: &str| format!("{prefix}{name}");
    for (name, records) in [
        ("user-commands", 1),
        ("conversation-events", 6),
        ("tool-invocation-requests", 3),
        ("synthesis-requests", 1),
    ] {
        let output = cluster.console_consumer(&topic(name), records, Duration::from_secs(20), &[]).unwrap();
        let lines: Vec<&str> = output.lines().into_iter().filter(|line| line.contains(id)).collect();
        assert_eq!(lines.len(), records, "{name}: {output:?}");
        assert!(lines.iter().all(|line| line.contains("ce_type:io.callboard.")), "{lines:?}");
    }
}

#[test]
fn sigkill_of_the_server_on_kafka() {
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("crash-");
    crash::killed_between_plan_and_answer(Options::default().kafka(&cluster.bootstrap(), &prefix));
}

#[test]
fn sigkill_of_a_tool_worker_in_the_middle_of_a_call() {
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("worker-");
    let options = Options::default().kafka(&cluster.bootstrap(), &prefix);
    let server = Server::start(options.clone().arg("--without").arg("tools"));
    let first = worker(&["--pool", "default"], &options);
    let (conversation, command) = server.send("echo hello after 4 seconds");
    let is_running = || {
        server
            .try_get(&format!("/v1/conversations/{conversation}/plan"))
            .is_some_and(|(_, plan)| plan.contains("\"running\""))
    };
    wait::until(PATIENCE, "the step runs", is_running).unwrap();
    let mut settled = std::time::Instant::now();
    // The call is under way as soon as the worker has joined and read the request: one second of a four-second call.
    wait::until(PATIENCE, "the call is under way", || settled.elapsed() > Duration::from_secs(2)).unwrap();
    first.process.sigkill().unwrap();
    settled = std::time::Instant::now();
    let args = ["worker", "--pool", "default"];
    let again = launch(&first.data, &args, &options);
    let turn = server.ended(&conversation, &command);
    assert_eq!(turn["status"], "answered", "{turn}\n{}", again.tail());
    assert!(settled.elapsed() < PATIENCE);
    let kinds = server.kinds(&conversation);
    assert_eq!(kinds.iter().filter(|kind| *kind == "ToolInvocationResulted").count(), 1, "{kinds:?}");
}

#[test]
fn kafka_away_at_the_start_and_later() {
    if !kafka::require() {
        return;
    }
    let cluster = kafka::Cluster::start(kafka::ClusterOptions::default()).unwrap();
    cluster.kill_broker(0).unwrap();
    let options = Options::default().kafka(&cluster.bootstrap(), &unique_name("away-"));
    let server = Server::start_unready(tempfile::tempdir().unwrap(), options);
    let says_503 = || server.try_get("/readyz").is_some_and(|(status, _)| status == 503);
    wait::until(PATIENCE, "it listens and is not ready", says_503).unwrap();
    let (status, problem, headers) = server.post("/v1/chat", &[], r#"{"message":"echo x"}"#);
    assert_eq!(status, 503, "{problem}");
    assert!(headers.contains_key("retry-after"));
    let named = |process: &Process| process.stderr().contains(&cluster.bootstrap());
    wait::until(PATIENCE, "the log names the broker", || named(&server.process)).unwrap();
    cluster.restart_broker(0).unwrap();
    server.wait_ready();
    let accepted = server.ask("echo before");
    cluster.kill_broker(0).unwrap();
    wait::until(PATIENCE, "it is not ready without a broker", says_503).unwrap();
    cluster.restart_broker(0).unwrap();
    server.wait_ready();
    let id = accepted["conversation_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/conversations/{id}/turns/1"))["status"], "answered");
    server.ask("echo after");
    server.cli(&["verify"]);
}

#[test]
fn topics_that_differ_stop_the_start_with_the_command_that_mends_it() {
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("drift-");
    let topic = format!("{prefix}conversation-events");
    cluster.create_topic(&topic, 8, &[("retention.ms", "1000")]).unwrap();
    let options = Options::default().kafka(&cluster.bootstrap(), &prefix);
    let data = tempfile::tempdir().unwrap();
    let process = launch(&data, &["serve", "--listen", "127.0.0.1:0"], &options);
    assert_eq!(process.wait_exit(PATIENCE).unwrap().code(), Some(2), "{}", process.tail());
    let words = process.stderr();
    assert!(words.contains("retention.ms") && words.contains("callboard topics apply"), "{words}");
}
