//! The same record twice, by a client that is not Callboard: one execution, one turn, one answer.

use std::time::Duration;

use callboard_kafka::probe::{Probe, Raw, RawRecord};
use callboard_testkit::{kafka, unique_name};
use serde_json::json;

use crate::world::{Options, Server};

/// All records of a topic, partition by partition.
pub fn all_records(probe: &Probe, topic: &str) -> Vec<RawRecord> {
    let mut records = Vec::new();
    for partition in 0..8 {
        let (start, end) = probe.watermarks(topic, partition).unwrap();
        let count = usize::try_from(end - start).unwrap();
        if count > 0 {
            records.extend(probe.consume(topic, partition, start, count, Duration::from_secs(30)).unwrap());
        }
    }
    records
}

/// Produces a record again, as it is.
fn again(probe: &Probe, topic: &str, record: &RawRecord) {
    let headers: Vec<(&str, &[u8])> =
        record.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
    let raw = Raw {
        partition: Some(record.partition),
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    };
    probe.produce(topic, raw).unwrap();
}

#[test]
fn a_request_and_a_command_twice_are_one_execution_and_one_turn() {
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("twice-");
    let server = Server::start(Options::default().kafka(&cluster.bootstrap(), &prefix));
    let probe = Probe::new(&cluster.bootstrap()).unwrap();
    let turn = server.ask("echo once");
    let id = turn["conversation_id"].as_str().unwrap();
    let topic = |name: &str| format!("{prefix}{name}");
    let run_before = server.metric("callboard_invocations_run");
    let written_before = server.metric("callboard_answers_written");
    for name in ["tool-invocation-requests", "user-commands", "synthesis-requests"] {
        let records = all_records(&probe, &topic(name));
        assert_eq!(records.len(), 1, "{name}");
        again(&probe, &topic(name), &records[0]);
        again(&probe, &topic(name), &records[0]);
    }
    // A command written by hand: no command_id, only what an envelope must have.
    let command = json!({
        "id": "by-hand-1", "type": "UserQueryReceived", "version": 1, "conversation_id": "foreign",
        "at": "2026-01-01T00:00:00.000Z", "causation_id": "nobody", "payload": { "message": "echo foreign" }
    });
    let partition = callboard_ports::partition::partition_of(b"foreign", 8);
    let value = command.to_string();
    for _ in 0..2 {
        let raw = Raw {
            partition: Some(i32::try_from(partition).unwrap()),
            key: Some(b"foreign"),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        probe.produce(&topic("user-commands"), raw).unwrap();
    }
    assert_eq!(server.ended("foreign", "by-hand-1")["answer"].as_str().unwrap().trim(), "foreign");
    // The next question of the first conversation comes after its duplicates.
    let body = json!({ "message": "echo twice", "conversation_id": id }).to_string();
    let (status, second, _) = server.post("/v1/chat", &[("Prefer", "wait=60")], body);
    assert_eq!((status, second["turn"].as_u64()), (200, Some(2)), "{second}");
    let kinds = server.kinds(id);
    let of = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
    assert_eq!(
        (of("UserQueryReceived"), of("ToolInvocationResulted"), of("FinalAnswerSynthesized")),
        (2, 2, 2)
    );
    let kinds = server.kinds("foreign");
    assert_eq!(kinds.iter().filter(|kind| *kind == "UserQueryReceived").count(), 1, "{kinds:?}");
    // Two turns more: two invocations and two answers more, nothing for the duplicates.
    let run = server.metric("callboard_invocations_run") - run_before;
    let written = server.metric("callboard_answers_written") - written_before;
    assert!((run - 2.0).abs() < 0.5 && (written - 2.0).abs() < 0.5, "{run} runs, {written} answers");
}
