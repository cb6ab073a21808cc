//! 100 unreadable records in each topic: each a dead letter with its reason, the service answers meanwhile, and a restart
//! adds none.

use std::collections::BTreeMap;

use callboard_kafka::probe::{Probe, Raw, RawRecord};
use callboard_testkit::{kafka, unique_name, wait};

use crate::duplicates::all_records;
use crate::world::{Options, PATIENCE, Server};

const TOPICS: [&str; 4] =
    ["user-commands", "conversation-events", "tool-invocation-requests", "synthesis-requests"];

fn header<'a>(record: &'a RawRecord, name: &str) -> &'a str {
    let found =
        record.headers.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("no header {name}"));
    std::str::from_utf8(&found.1).unwrap()
}

/// Garbage of many kinds, the same in every topic.
fn garbage(i: usize) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let key = Some(format!("garbage-{i}").into_bytes());
    match i % 5 {
        0 => (key, Some(b"not json at all".to_vec())),
        1 => (key, Some(br#"{"id":"x","type":"UserQueryReceived"}"#.to_vec())),
        2 => (key, Some(vec![0xff, 0xfe, 0x00, 0x80])),
        3 => (None, None),
        _ => (key, Some(br#"[1,2,3]"#.to_vec())),
    }
}

fn letters(probe: &Probe, topic: &str) -> BTreeMap<String, Vec<RawRecord>> {
    let mut by_topic: BTreeMap<String, Vec<RawRecord>> = BTreeMap::new();
    for record in all_records(probe, topic) {
        by_topic.entry(header(&record, "callboard-dlq-topic").to_owned()).or_default().push(record);
    }
    by_topic
}

#[test]
fn each_is_a_dead_letter_and_a_restart_adds_none() {
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("garbage-");
    let server = Server::start(Options::default().kafka(&cluster.bootstrap(), &prefix));
    let probe = Probe::new(&cluster.bootstrap()).unwrap();
    server.ask("echo before");
    for name in TOPICS {
        for i in 0..100 {
            let (key, value) = garbage(i);
            let partition = Some(i32::try_from(i % 8).unwrap());
            let raw = Raw { partition, key: key.as_deref(), value: value.as_deref(), headers: &[] };
            probe.send(&format!("{prefix}{name}"), raw).unwrap();
        }
    }
    assert_eq!(server.ask("echo meanwhile")["status"], "answered");
    let queue = format!("{prefix}dead-letter-queue");
    let all_there = || all_records(&probe, &queue).len() >= 400;
    wait::until(PATIENCE, "400 dead letters are there", all_there).unwrap();
    let by_topic = letters(&probe, &queue);
    for name in TOPICS {
        let found = &by_topic[name];
        assert_eq!(found.len(), 100, "{name}");
        for record in found {
            assert_eq!(header(record, "callboard-dlq-reason"), "not_an_envelope");
            assert!(!header(record, "callboard-dlq-detail").is_empty());
            header(record, "callboard-dlq-offset").parse::<u64>().unwrap();
        }
    }
    let listed = server.cli_raw(&["dlq", "list", "--json", "--kafka-brokers", &cluster.bootstrap()]);
    assert!(listed.0 == 0 || listed.0 == 2, "{listed:?}");
    assert_eq!(server.stop(), Some(0), "{}", server.process.tail());
    let server = Server::start_in(server.data, server.options);
    assert_eq!(server.ask("echo after the restart")["status"], "answered");
    let server = server.kill_and_restart();
    assert_eq!(server.ask("echo after the crash")["status"], "answered");
    assert_eq!(all_records(&probe, &queue).len(), 400, "a restart adds none");
    server.cli(&["verify"]);
}
