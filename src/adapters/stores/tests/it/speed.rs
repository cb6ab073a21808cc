//! The figures that the design asks of the embedded log. Debug builds on busy machines are slow, so the bounds
//! here are generous; the figures are printed (`--nocapture`).

use std::time::{Duration, Instant};

use callboard_ports::contract::story::{append_to, record};
use callboard_ports::log::{Log, TailEvent};
use callboard_ports::{NewRecord, Topic};
use callboard_stores::{EmbeddedLog, EmbeddedOptions, Fsync};

const EVENTS: Topic = Topic::ConversationEvents;

/// An event as the host writes it: 8 headers, 400 bytes of JSON.
fn event(i: u32) -> NewRecord {
    let mut new = record(EVENTS, 0, &format!("conversation-{}", i % 1_000), vec![b'j'; 400]);
    let names =
        ["case", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "content-type"];
    new.headers = names.iter().map(|name| (name, format!("{name} of {i}"))).collect();
    new
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catch_up_and_latency() {
    const RECORDS: u32 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { partitions: 1, fsync: Fsync::Never, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    let begun = Instant::now();
    for block in 0..RECORDS / 500 {
        append_to(&*log, (0..500).map(|i| event(block * 500 + i)).collect()).await.unwrap();
    }
    let appended = begun.elapsed();

    let begun = Instant::now();
    let mut replay = log.replay(EVENTS, 0, vec![0..u64::from(RECORDS)], None);
    let mut read = 0;
    while let Some(batch) = replay.recv().await {
        read += batch.unwrap().records.len();
    }
    let replayed = begun.elapsed();
    assert_eq!(read, RECORDS as usize);

    let mut tail = log.tail(EVENTS, 1).unwrap();
    tail.control.assign(0, u64::from(RECORDS), 1);
    let mut after_ack = Vec::new();
    let mut end_to_end = Vec::new();
    for i in 0..2_000 {
        let begun = Instant::now();
        append_to(&*log, vec![event(i)]).await.unwrap();
        let acked = Instant::now();
        let Some(TailEvent::Batch { batch, .. }) = tail.lanes[0].recv().await else { panic!() };
        assert_eq!(batch.records.len(), 1);
        after_ack.push(acked.elapsed());
        end_to_end.push(begun.elapsed());
    }
    after_ack.sort();
    end_to_end.sort();
    let per_second = |took: Duration| f64::from(RECORDS) / took.as_secs_f64();
    eprintln!(
        "append {:.0}/s, replay {:.0}/s, append to tail p50 {:?} p99 {:?}, of that after the receipt p50 {:?}",
        per_second(appended),
        per_second(replayed),
        end_to_end[1_000],
        end_to_end[1_980],
        after_ack[1_000],
    );
    assert!(per_second(replayed) > 20_000.0, "replay crawls");
    assert!(end_to_end[1_000] < Duration::from_millis(5), "a waiting tail is told late");
}
