//! A server's process: started again when it ends, ended when it hangs, gone with everything below it when told to stop; and
//! servers that never start.

use std::time::Duration;

use callboard_mcp::Phase;
use callboard_testkit::mcp::require;
use callboard_testkit::wait::until_async;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::world::{PATIENCE, Scripted, attempt, config, find, is_alive, start, until_gone, until_offered};

fn sigkill(pid: u32) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_started_again_and_its_tools_stay_offered() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({})).await;
    let first = it.status();
    assert_eq!((first.phase, first.generation, first.transport), (Phase::Up, 1, "stdio"));
    sigkill(first.pid.unwrap());
    let down =
        it.until("it is seen to be down", |status| status.generation > 1 || status.pid.is_none()).await;
    assert_eq!(down.tools, first.tools, "planners still know them");
    let second = it.until("it is up again", |status| status.generation == 2 && status.pid.is_some()).await;
    assert_ne!(second.pid, first.pid);
    assert_eq!(it.call("echo", 1).await.unwrap(), json!("1"));
    until_gone(&first.pid.unwrap().to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_to_be_killed_is_whatever_it_is_busy_with() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({})).await;
    it.call("learn", "trick").await.unwrap();
    until_offered(&it.servers, "it_trick").await;
    // Right behind a change of the list nobody waits for anything for a while.
    assert!(it.servers.kill("it"));
    let second = it.until("a second life", |status| status.generation == 2 && status.pid.is_some()).await;
    assert_eq!(second.phase, Phase::Up);
    assert_eq!(it.call("echo", 1).await.unwrap(), json!("1"));
    assert_eq!(it.status().generation, 2, "one kill is one life");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_hangs_is_killed_and_one_that_is_busy_is_not() {
    if !require() {
        return;
    }
    let it = Scripted::up(json!({ "start_timeout_ms": 1_500 })).await;
    // Busy: its answers show that it lives.
    let hang = find(&it.servers, "it_hang").unwrap();
    assert_eq!(&*hang.call(attempt(&json!({}), 200)).await.unwrap_err().kind, "timeout");
    assert_eq!(it.call("echo", 1).await.unwrap(), json!("1"));
    assert_eq!(it.status().generation, 1);
    let wedge = find(&it.servers, "it_wedge").unwrap();
    assert_eq!(&*wedge.call(attempt(&json!({}), 200)).await.unwrap_err().kind, "timeout");
    it.until("a second life", |status| status.generation == 2 && status.pid.is_some()).await;
    assert_eq!(it.call("echo", 2).await.unwrap(), json!("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_process_and_everything_below_it() {
    if !require() {
        return;
    }
    for mode in ["usual", "deaf", "child"] {
        let it = Scripted::start(mode, json!({}));
        it.until("it is up", |status| status.pid.is_some()).await;
        let mut pids = vec![it.noted("started ").await];
        if mode == "child" {
            pids.push(it.noted("child ").await);
        }
        assert!(pids.iter().all(|pid| is_alive(pid)), "{mode}");
        it.servers.stop(Duration::from_secs(20)).await;
        for pid in &pids {
            until_gone(pid).await;
        }
        assert_eq!(it.status().phase, Phase::Stopped, "{mode}");
        assert_eq!(
            it.notes().contains(&"SIGTERM".to_owned()),
            mode == "deaf",
            "{mode}: asked before it is killed"
        );
        let error = it.call("echo", 1).await.unwrap_err();
        assert!(error.retryable && error.message.contains("stopped"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_dropped_take_their_processes_with_them() {
    if !require() {
        return;
    }
    let it = Scripted::start("child", json!({}));
    it.until("it is up", |status| status.pid.is_some()).await;
    let pids = [it.noted("started ").await, it.noted("child ").await];
    drop(it);
    for pid in &pids {
        until_gone(pid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_start_says_why_and_is_tried_again() {
    if !require() {
        return;
    }
    let limit = json!({ "start_timeout_ms": 1_000, "env": { "TOKEN": "scripted-secret" } });
    for (mode, words) in [
        ("crash", vec!["exit code 3", "said last: Error: the token (secret) is no good"]),
        ("silent", vec!["not ready within 1000 ms", "start_timeout_ms"]),
        ("garbage", vec!["not ready within 1000 ms", "\"Hello, I am listening on 3000\"", "standard output"]),
    ] {
        let it = Scripted::start(mode, limit.clone());
        it.servers.settled(PATIENCE).await;
        let status = it.until("it is down", |status| status.problem.is_some()).await;
        let problem = status.problem.unwrap();
        assert!(words.iter().all(|word| problem.contains(word)), "{mode}: {problem}");
        assert!(it.spec("echo").is_none());
        it.until("it is tried again", |status| status.generation >= 3).await;
        it.servers.stop(Duration::from_secs(20)).await;
        let started =
            it.notes().into_iter().filter_map(|note| note.strip_prefix("started ").map(str::to_owned));
        for pid in started {
            until_gone(&pid).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_or_reached_at_all_says_so() {
    let port = callboard_testkit::ports::free_port();
    let servers = start([
        ("absent", config(json!({ "command": "no-such-program-here" }))),
        ("nowhere", config(json!({ "command": "cat", "cwd": "/no/such/folder" }))),
        ("quiet", config(json!({ "url": format!("http://127.0.0.1:{port}/mcp?key=canary-key") }))),
    ]);
    let tried = || servers.status().iter().all(|status| status.problem.is_some());
    until_async(PATIENCE, "all have been tried", async || tried()).await.unwrap();
    let problems: Vec<String> = servers.status().into_iter().filter_map(|status| status.problem).collect();
    assert!(problems[0].contains("\"no-such-program-here\" does not start"), "{problems:?}");
    assert!(problems[1].contains("/no/such/folder is no folder"), "{problems:?}");
    assert!(problems[2].contains("could not be reached"), "{problems:?}");
    assert!(!problems[2].contains("canary-key"), "{problems:?}");
    // A plan of yesterday may name its tool: not taken, which is no doubt, and may come later.
    let tool = servers.unlisted("absent_send").unwrap();
    let error = tool.call(attempt(&json!({}), 200)).await.unwrap_err();
    assert!(error.retryable && &*error.kind == "unavailable", "{error:?}");
    assert!(error.message.contains("has not taken the call: it is down"), "{error:?}");
    assert!(servers.unlisted("other_send").is_none());
}
