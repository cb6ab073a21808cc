//! 1,000 conversations with three steps each by 64 clients at once, on Kafka; the audit over the topics finds every promise
//! kept. The figures that it prints stand beside a plain rdkafka hop of the same run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use callboard_domain::audit;
use callboard_domain::conversation::Recorded;
use callboard_domain::id::ConversationId;
use callboard_domain::wire;
use callboard_kafka::probe::{Probe, Raw};
use callboard_testkit::{kafka, unique_name};
use serde_json::json;

use crate::duplicates::all_records;
use crate::world::{Options, Server};

const CONVERSATIONS: usize = 1_000;
const CLIENTS: usize = 64;

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Asks every question once; gives the time of each answer and of all.
fn ask_all(server: &Server) -> (Vec<Duration>, Duration) {
    let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(CONVERSATIONS)));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= CONVERSATIONS {
                        return;
                    }
                    let message = format!("echo a{i}; echo b{i}; echo c{i}");
                    let body =
                        json!({ "message": message, "conversation_id": format!("load-{i}") }).to_string();
                    let asked = Instant::now();
                    let (status, turn, _) = server.post("/v1/chat", &[("Prefer", "wait=120")], body);
                    times.lock().unwrap().push(asked.elapsed());
                    assert_eq!((status, turn["status"].as_str()), (200, Some("answered")), "{turn}");
                    assert!(turn["answer"].as_str().unwrap().contains(&format!("b{i}")), "{turn}");
                }
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    times.sort();
    (times, began.elapsed())
}

fn audited(probe: &Probe, topic: &str) -> audit::Report {
    let mut by_conversation: BTreeMap<ConversationId, Vec<Recorded>> = BTreeMap::new();
    for record in all_records(probe, topic) {
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        let (meta, body) = wire::read_event(&key, &value).unwrap();
        let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
        let recorded = Recorded { offset, timestamp_ms, command: meta.command, body };
        by_conversation.entry(meta.conversation).or_default().push(recorded);
    }
    let mut report = audit::Report::default();
    for (id, records) in &by_conversation {
        report.merge(audit::conversation(id, records, true));
    }
    report
}

#[test]
fn a_thousand_conversations_by_64_clients() {
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("load-");
    let server = Server::start(Options::default().kafka(&cluster.bootstrap(), &prefix));
    let probe = Probe::new(&cluster.bootstrap()).unwrap();
    let hop_topic = format!("{prefix}hop");
    probe.create_topic(&hop_topic, 1, &[]).unwrap();
    let value = [b'x'; 400];
    let hop = probe.hops(&hop_topic, 500, Raw { value: Some(&value), ..Raw::default() }).unwrap();
    let (times, took) = ask_all(&server);
    let report = audited(&probe, &format!("{prefix}conversation-events"));
    assert_eq!(report.violations, Vec::new());
    assert_eq!((report.turns, report.answered, report.open), (1_000, 1_000, 0), "{report:?}");
    assert_eq!(report.duplicate_results, 0, "{report:?}");
    println!(
        "load: {:.0} turns/s, p50 {:.1} ms, p99 {:.1} ms with {CLIENTS} clients; plain rdkafka hop of the same run: p50 {:.2} ms, p99 {:.2} ms",
        CONVERSATIONS as f64 / took.as_secs_f64(),
        percentile(&times, 50).as_secs_f64() * 1e3,
        percentile(&times, 99).as_secs_f64() * 1e3,
        hop.p50_us as f64 / 1e3,
        hop.p99_us as f64 / 1e3,
    );
    server.cli(&["verify"]);
}
