//! A hundred times what the workers can do (`callboard-bench flood` does it at length): whoever is refused is told when to
//! come again, memory keeps its bounds, what was accepted is answered, and then everything is as before.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{Options, Server};

/// Two workers with steps of 100 ms do 20 a second (on more cores there are more pools).
const WORKERS: usize = 2;
const STEP_MS: u64 = 100;
const CONNECTIONS: usize = 32;
const FLOOD: Duration = Duration::from_secs(3);
/// Each holds the running turn and 64 behind it; the rest has to be refused.
const CONVERSATIONS: usize = 4;
/// The runtime's own bounds, as `callboard-bench flood` adds them up: append queue, ring, snapshot cache, commands in flight.
const BOUNDS_BYTES: u64 = (64 + 16 + 32 + 8 * 16) << 20;

fn resident_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// Asks as fast as one connection can; gives what was accepted.
fn pour(server: &Server, connection: usize, asked: &AtomicU64, refused: &AtomicU64) -> Vec<(String, String)> {
    let mut accepted = Vec::new();
    let until = Instant::now() + FLOOD;
    let mut number = connection;
    while Instant::now() < until {
        let conversation = format!("flood-{}", number % CONVERSATIONS);
        number += 1;
        let body =
            json!({ "message": format!("echo x after {STEP_MS} ms"), "conversation_id": conversation });
        asked.fetch_add(1, Ordering::Relaxed);
        let (status, body, headers) =
            server.post("/v1/chat", &[("Prefer", "respond-async")], body.to_string());
        match status {
            202 => accepted.push((conversation, body["command_id"].as_str().unwrap().to_owned())),
            429 => {
                assert!(headers.contains_key("retry-after"), "{body}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("{other}: {body}"),
        }
    }
    accepted
}

/// Ends the sampling however the test ends.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_hundred_times_what_the_workers_can_do() {
    let options = Options::default().env("CALLBOARD__LIMITS__WORKERS_PER_POOL", WORKERS.to_string());
    let server = Server::start(options);
    server.ask("echo warm");
    let rest = resident_bytes(&server);
    let (asked, refused, accepted) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let (peak, over) = (AtomicU64::new(rest), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _end = AtEnd(&over);
        scope.spawn(|| {
            // Sampling needs a rhythm, not a condition.
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(resident_bytes(&server), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let (server, asked, refused) = (&server, &asked, &refused);
        let pouring: Vec<_> = (0..CONNECTIONS)
            .map(|connection| scope.spawn(move || pour(server, connection, asked, refused)))
            .collect();
        for one in pouring {
            accepted.lock().unwrap().extend(one.join().unwrap());
        }
        for (conversation, command) in accepted.lock().unwrap().iter() {
            let turn = server.ended(conversation, command);
            // Several may pass the gate before the first is read back: those beyond the bound are refused in the log.
            let refused_in_log = turn["error"]["code"] == "queue_full";
            assert!(turn["status"] == "answered" || refused_in_log, "{turn}");
        }
    });
    let (asked, refused, accepted) =
        (asked.into_inner(), refused.into_inner(), accepted.into_inner().unwrap().len() as u64);
    let peak = peak.into_inner();
    println!(
        "flood: {asked} asked in {FLOOD:?}, {accepted} accepted, {refused} refused; {} MB at rest, {} MB at most",
        rest >> 20,
        peak >> 20
    );
    assert_eq!(accepted + refused, asked);
    assert!(refused > accepted, "{refused} of {asked} were refused");
    assert!(peak <= rest * 3 / 2 + BOUNDS_BYTES, "{} MB at rest, {} MB at most", rest >> 20, peak >> 20);
    let began = Instant::now();
    server.ask("echo after the flood");
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    server.cli(&["verify"]);
}
