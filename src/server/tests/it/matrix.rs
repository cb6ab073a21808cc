//! The crash matrix: the process dies at every named point between accepting a command and the end of its turn, and is
//! started again. The turn ends exactly once, and the outside world saw each of its effects exactly once.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;

use callboard_actors::CRASH_POINTS;
use callboard_domain::audit;
use callboard_domain::conversation::Recorded;
use callboard_domain::id::ConversationId;
use callboard_domain::wire;
use callboard_testkit::stubs::Counter;
use callboard_testkit::{unique_name, wait};
use serde_json::{Value, json};

use crate::world::{Options, PATIENCE, Server};

/// Processes that die side by side: each lives for a few seconds, mostly waiting.
const SIDE_BY_SIDE: usize = 3;
/// Needs a record that nobody can read, which only a foreign producer writes: on Kafka.
const OF_DEAD_LETTERS: &str = "dead_letter_written";

/// One question with one effect of each class, and a client that says it again until somebody takes it.
struct Asked {
    conversation: String,
    body: String,
}

impl Asked {
    fn new(counter: &Counter) -> Self {
        let (conversation, url) = (unique_name("matrix"), counter.url());
        let message = format!(
            "webhook {url}/hook with {conversation}; deposit {conversation} at {url}; echo {conversation}"
        );
        let body = json!({ "message": message, "conversation_id": conversation }).to_string();
        Self { conversation, body }
    }

    /// The turn's command id, if it was taken.
    fn send(&self, server: &Server) -> Option<String> {
        let headers = [("Idempotency-Key", self.conversation.as_str()), ("Prefer", "respond-async")];
        let (status, body, _) = server.try_post("/v1/chat", &headers, self.body.clone())?;
        assert!([200, 202, 429, 503].contains(&status), "{status} {body}");
        (status < 300).then(|| body["command_id"].as_str().unwrap().to_owned())
    }
}

/// Settings under which everything that has a point happens within seconds.
fn quick(options: Options, counter: &Counter) -> Options {
    let allow = json!([counter.url()]).to_string();
    options
        .env("CALLBOARD__TOOLS__WEBHOOK__ALLOW", &allow)
        .env("CALLBOARD__TOOLS__WEBHOOK__TIMEOUT_MS", "1000")
        .env("CALLBOARD__TOOLS__DEPOSIT__ALLOW", &allow)
        .env("CALLBOARD__TOOLS__DEPOSIT__TIMEOUT_MS", "1000")
        .env("CALLBOARD__LIMITS__FLUSH_EVERY_MS", "200")
}

/// Says of every step in doubt what the counter knows, as a person would.
fn settle(server: &Server, asked: &Asked, counter: &Counter) {
    let Some((200, plan)) = server.try_get(&format!("/v1/conversations/{}/plan", asked.conversation)) else {
        return;
    };
    let plan: Value = serde_json::from_str(&plan).unwrap();
    for step in plan["steps"].as_array().unwrap().iter().filter(|step| step["status"] == "in_doubt") {
        let effect = step["effect_id"].as_str().unwrap();
        let body = match counter.executions(effect) {
            0 => json!({ "outcome": "not_done", "by": "matrix", "why": "the counter has none" }),
            n => {
                json!({ "outcome": "done", "result": { "n": n }, "by": "matrix", "why": "the counter has it" })
            }
        };
        let path = format!("/admin/v1/effects/{effect}/settle");
        // Somebody else may have resolved it meanwhile.
        let answer = server.try_post(&path, &[], body.to_string());
        assert!(answer.is_none_or(|(status, ..)| status < 300 || [404, 409, 503].contains(&status)));
    }
}

/// The audit over what the log holds of a conversation.
fn audited(server: &Server, conversation: &str) -> audit::Report {
    let recorded = |event: &Value| {
        let (meta, body) = wire::read_event(conversation.as_bytes(), event.to_string().as_bytes()).unwrap();
        Recorded { offset: event["offset"].as_u64().unwrap(), timestamp_ms: 0, command: meta.command, body }
    };
    let records: Vec<Recorded> = server.events(conversation).iter().map(recorded).collect();
    audit::conversation(&ConversationId::new(conversation).unwrap(), &records, true)
}

/// Asks until the process has died at `point`, then starts it again without.
fn die_at(point: &str, options: &Options, asked: &Asked) -> Server {
    let armed = options.clone().env("CALLBOARD_CRASH_AT", point);
    let server = Server::start_unready(tempfile::tempdir().unwrap(), armed);
    let dead = || {
        let _ = asked.send(&server);
        !server.process.is_running()
    };
    if wait::until(PATIENCE, "its death", dead).is_err() {
        panic!("it does not pass {point}:\n{}", server.process.tail());
    }
    let status = server.process.wait_exit(PATIENCE).unwrap();
    let said = server.process.stderr();
    let name = point.split(':').next().unwrap();
    assert!(said.contains(&format!("crash point {name}")), "{point}: {status}\n{said}");
    assert!(status.signal().is_some(), "{point}: it ended in order: {status}");
    Server::start_in(server.data, options.clone())
}

/// Dies at `point` and is started again; everything is as if it had not died.
fn survives(point: &str, options: &Options, counter: &Counter) {
    let asked = Asked::new(counter);
    let server = die_at(point, options, &asked);
    finishes(&server, &asked, counter, point);
}

/// The question is answered once, and each effect was had once.
fn finishes(server: &Server, asked: &Asked, counter: &Counter, point: &str) {
    let command = wait::until_some(PATIENCE, "the question is taken", || asked.send(server)).unwrap();
    let turn_path = format!("/v1/conversations/{}/turns/{command}", asked.conversation);
    let ended = || {
        settle(server, asked, counter);
        let (status, body) = server.try_get(&turn_path)?;
        let turn: Value = serde_json::from_str(&body).ok()?;
        (status == 200 && turn["status"] != "pending").then_some(turn)
    };
    let turn = wait::until_some(PATIENCE, "the turn's end", ended)
        .unwrap_or_else(|error| panic!("{point}: {error}\n{}", server.process.tail()));
    assert_eq!(
        (turn["status"].as_str(), turn["turn"].as_u64()),
        (Some("answered"), Some(1)),
        "{point}: {turn}"
    );
    assert!(turn["answer"].as_str().unwrap().contains(&asked.conversation), "{point}: {turn}");

    let plan = server.plan(&asked.conversation);
    let outside = BTreeSet::from(["webhook", "deposit"]);
    let steps = plan["steps"].as_array().unwrap();
    let effects = steps.iter().filter(|step| outside.contains(step["tool"].as_str().unwrap()));
    let counts: Vec<(&str, u64)> = effects
        .map(|step| (step["tool"].as_str().unwrap(), counter.executions(step["effect_id"].as_str().unwrap())))
        .collect();
    assert_eq!(counts, [("webhook", 1), ("deposit", 1)], "{point}");
    let report = audited(server, &asked.conversation);
    assert_eq!((report.violations.len(), report.turns, report.answered), (0, 1, 1), "{point}: {report:?}");
    server.cli(&["verify"]);
}

#[test]
fn every_point_on_the_embedded_log() {
    let counter = Counter::start().unwrap();
    let options = quick(Options::default(), &counter);
    let points: Vec<&str> = CRASH_POINTS.iter().copied().filter(|point| *point != OF_DEAD_LETTERS).collect();
    let left = Mutex::new(points);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let Some(point) = left.lock().unwrap().pop() else { return };
                    survives(point, &options, &counter);
                }
            });
        }
    });
}

/// The second time through a point differs from the first where something was loaded, cached or subscribed to.
#[test]
fn some_points_at_their_second_passing() {
    let counter = Counter::start().unwrap();
    let options = quick(Options::default(), &counter);
    for point in ["event_read_back:2", "reserved_read_back:2", "result_appended:2"] {
        survives(point, &options, &counter);
    }
}

#[cfg(feature = "kafka")]
mod on_kafka {
    use callboard_kafka::probe::{Probe, Raw};
    use callboard_testkit::kafka;

    use super::*;

    #[test]
    fn a_handful_of_points() {
        let Some(cluster) = kafka::shared() else { return };
        let counter = Counter::start().unwrap();
        for point in [
            "event_appended",
            "request_taken",
            "reserved_appended",
            "tool_returned",
            "committed_appended",
            "result_acknowledged",
            "answer_appended",
            "flush_written",
        ] {
            let prefix = unique_name("matrix-");
            let options = quick(Options::default().kafka(&cluster.bootstrap(), &prefix), &counter);
            survives(point, &options, &counter);
        }
    }

    /// A record that cannot be read is given up once, though its giver-up died between letter and position.
    #[test]
    fn a_dead_letter_is_shown_once() {
        let Some(cluster) = kafka::shared() else { return };
        let counter = Counter::start().unwrap();
        let prefix = unique_name("matrix-");
        let options = quick(Options::default().kafka(&cluster.bootstrap(), &prefix), &counter);
        let topics = Server::start(options.clone());
        assert_eq!(topics.stop(), Some(0));
        let probe = Probe::new(&cluster.bootstrap()).unwrap();
        let garbage = Raw { partition: Some(0), key: Some(b"c"), value: Some(b"garbage"), headers: &[] };
        probe.produce(&format!("{prefix}user-commands"), garbage).unwrap();

        let armed = options.clone().env("CALLBOARD_CRASH_AT", OF_DEAD_LETTERS);
        let dying = Server::start_unready(topics.data, armed);
        assert!(dying.process.wait_exit(PATIENCE).unwrap().signal().is_some(), "{}", dying.process.tail());
        let server = Server::start_in(dying.data, options);
        let asked = Asked::new(&counter);
        finishes(&server, &asked, &counter, OF_DEAD_LETTERS);
        let letters = server.get("/admin/v1/dead-letters");
        assert_eq!(letters["dead_letters"].as_array().unwrap().len(), 1, "{letters}");
    }
}
