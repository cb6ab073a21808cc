//! Supervisors killed through the endpoint while turns run: every turn still ends once, on both logs.

use callboard_testkit::wait;
use serde_json::json;

use crate::world::{Options, PATIENCE, Server};

/// Kills an actor; one that is being restarted is waited for.
fn kill(server: &Server, path: &str, how: &str) {
    let killed = || {
        let (status, body, _) =
            server.post("/admin/v1/actors/kill", &[], json!({ "path": path, "how": how }).to_string());
        assert!([200, 202, 204, 404, 503].contains(&status), "{path} {how}: {status} {body}");
        status < 300
    };
    wait::until(PATIENCE, &format!("{path} is there to be killed"), killed).unwrap();
}

/// Sends as a client does: 503 while a supervisor restarts means "nothing was accepted, come again".
fn send(server: &Server, message: &str) -> (String, String) {
    let body = json!({ "message": message }).to_string();
    let accepted = || {
        let (status, body, headers) = server.post("/v1/chat", &[("Prefer", "respond-async")], body.clone());
        if status == 503 {
            assert!(headers.contains_key("retry-after"), "{body}");
            return None;
        }
        assert_eq!(status, 202, "{body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Some((text("conversation_id"), text("command_id")))
    };
    wait::until_some(PATIENCE, "the question is accepted", accepted).unwrap()
}

/// Kills one after the other, each with a slow turn in flight.
fn killed_one_by_one(options: Options) {
    let server = Server::start(options.arg("--allow-chaos"));
    let mut turns = Vec::new();
    for how in ["panic", "stop", "abort"] {
        for path in
            ["/bridge-0", "/pool-default-0", "/synthesis-0", "/bridge-0/planner", "/pool-default-0/worker-0"]
        {
            let name = format!("{how}-{}", path.replace('/', "."));
            let (conversation, command) = send(&server, &format!("echo {name} after 300 ms; echo x"));
            kill(&server, path, how);
            turns.push((conversation, command, name));
        }
        server.wait_ready();
        let (conversation, command) = send(&server, &format!("echo host-{how} after 300 ms"));
        let partition = callboard_ports::partition::partition_of(conversation.as_bytes(), 8);
        let lanes = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        let bridge = format!("/bridge-{}", partition as usize % lanes);
        kill(&server, &format!("{bridge}/host-{partition}"), how);
        turns.push((conversation, command, format!("host-{how}")));
    }
    kill(&server, "/", "panic");
    for (conversation, command, name) in &turns {
        let turn = server.ended(conversation, command);
        assert_eq!(turn["status"], "answered", "{name}: {turn}");
        assert!(turn["answer"].as_str().unwrap().contains(name), "{turn}");
        // A pool that dies between its answer and its commit writes it once more; the first one ends the turn.
        let kinds = server.kinds(conversation);
        let first = kinds.iter().position(|kind| kind == "FinalAnswerSynthesized");
        let after = first.map_or(&[][..], |first| &kinds[first + 1..]);
        let again = |kind: &String| kind == "FinalAnswerSynthesized" || kind == "ToolInvocationResulted";
        assert!(first.is_some() && after.iter().all(again), "{name}: {kinds:?}");
        assert_eq!(server.get(&format!("/v1/conversations/{conversation}"))["turns"], 1, "{name}");
    }
    assert!(server.metric("callboard_actor_endings") >= 15.0);
    server.cli(&["verify"]);
}

#[test]
fn on_the_embedded_log() {
    killed_one_by_one(Options::default());
}

#[cfg(feature = "kafka")]
#[test]
fn on_kafka() {
    let Some(cluster) = callboard_testkit::kafka::shared() else { return };
    let prefix = callboard_testkit::unique_name("supervisors-");
    killed_one_by_one(Options::default().kafka(&cluster.bootstrap(), &prefix));
}
