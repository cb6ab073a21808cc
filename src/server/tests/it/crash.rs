//! SIGKILL between plan and answer: the same turn is answered after a restart, from the log alone.

use std::collections::BTreeSet;

use callboard_testkit::wait;

use crate::world::{Options, PATIENCE, Server};

/// Two quick steps and a slow one; killed when the quick ones are in the log.
pub fn killed_between_plan_and_answer(options: Options) {
    let server = Server::start(options);
    let (conversation, command) = server.send("echo one; echo two; echo three after 3 seconds");
    let two_done = || {
        server.try_kinds(&conversation).iter().filter(|kind| *kind == "ToolInvocationResulted").count() == 2
    };
    wait::until(PATIENCE, "two results are in the log", two_done).unwrap();
    let requested = server.metric("callboard_invocations_requested");
    assert!((requested - 3.0).abs() < 0.5, "{requested} requests");
    let server = server.kill_and_restart();
    let turn = server.ended(&conversation, &command);
    assert_eq!((turn["status"].as_str(), turn["turn"].as_u64()), (Some("answered"), Some(1)), "{turn}");
    let again = server.metric("callboard_invocations_requested");
    assert!(again <= 1.5, "only the unfinished step may be requested again, not {again}");
    let kinds = server.kinds(&conversation);
    let of = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
    assert_eq!(
        (of("UserQueryReceived"), of("PlanGenerated"), of("FinalAnswerSynthesized")),
        (1, 1, 1),
        "{kinds:?}"
    );
    let plan = server.plan(&conversation);
    let done: BTreeSet<&str> =
        plan["steps"].as_array().unwrap().iter().map(|s| s["status"].as_str().unwrap()).collect();
    assert_eq!(done, BTreeSet::from(["done"]));
    server.cli(&["verify"]);
}

#[test]
fn sigkill_on_the_embedded_log() {
    killed_between_plan_and_answer(Options::default());
}

#[test]
fn sigkill_many_times_while_many_talk() {
    let mut server = Server::start(Options::default());
    let mut turns = Vec::new();
    for round in 0..4 {
        for i in 0..8 {
            turns.push(server.send(&format!("echo {round}-{i}; echo x; echo y after 300 ms")));
        }
        server = server.kill_and_restart();
    }
    for (conversation, command) in &turns {
        assert_eq!(server.ended(conversation, command)["status"], "answered");
        let kinds = server.kinds(conversation);
        assert_eq!(kinds.iter().filter(|kind| *kind == "FinalAnswerSynthesized").count(), 1, "{kinds:?}");
    }
    server.cli(&["verify"]);
}

#[test]
fn sigterm_ends_in_order_and_the_turn_goes_on_after_the_restart() {
    let server = Server::start(Options::default());
    let (conversation, command) = server.send("echo hello after 2 seconds");
    assert_eq!(server.stop(), Some(0), "{}", server.process.tail());
    let server = Server::start_in(server.data, server.options);
    assert_eq!(server.ended(&conversation, &command)["status"], "answered");
}
