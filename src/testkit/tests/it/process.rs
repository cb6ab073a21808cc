//! Processes under test: their output is seen, their signals arrive, nothing of them stays.

use std::path::Path;
use std::time::Duration;

use callboard_testkit::process::{Launch, ProcessError, Stream};
use callboard_testkit::{ports, wait};

use crate::runs;

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Launch {
    Launch::new("sh").args(["-c", script])
}

#[test]
fn what_it_prints_is_seen_as_it_comes_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let process = shell("echo one; echo two >&2; cat; echo $COLOUR ${HOME-unset}")
        .env("COLOUR", "green")
        .env_remove("HOME")
        .input("from outside\n")
        .log_to(&log)
        .start()
        .unwrap();
    let line = process.wait_line(SOON, "the other stream", |line| line.stream == Stream::Stderr).unwrap();
    assert_eq!(line, "two");
    assert!(process.wait_exit(SOON).unwrap().success());
    assert_eq!(process.stdout(), "one\nfrom outside\ngreen unset\n");
    assert_eq!(process.stderr(), "two\n");
    assert_eq!(process.lines().len(), std::fs::read_to_string(log).unwrap().lines().count());
}

#[test]
fn only_the_last_lines_stay_in_memory() {
    let process = shell("seq 1 1000").keep_lines(10).start().unwrap();
    assert!(process.wait_exit(SOON).unwrap().success());
    assert!(process.stdout().starts_with("991\n"), "{}", process.stdout());
    assert_eq!(process.lines().len(), 10);
}

#[test]
fn a_line_that_never_comes_is_an_error_that_shows_what_came_instead() {
    let process = shell("echo hello; exit 3").start().unwrap();
    let error = process.wait_line(SOON, "a greeting", |line| line.text == "goodbye").unwrap_err();
    assert!(matches!(error, ProcessError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("hello"), "{error}");
    assert_eq!(process.wait_exit(SOON).unwrap().code(), Some(3));

    let silent = shell("sleep 60").start().unwrap();
    let error = silent.wait_line(Duration::from_millis(50), "a greeting", |_| true).unwrap_err();
    assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
}

#[test]
fn sigterm_asks_and_sigkill_does_not() {
    let polite =
        shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done").start().unwrap();
    polite.wait_line(SOON, "readiness", |line| line.text == "ready").unwrap();
    polite.sigterm().unwrap();
    assert!(polite.wait_exit(SOON).unwrap().success());
    assert_eq!(polite.stdout(), "ready\nbye\n");

    let deaf = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done").start().unwrap();
    deaf.wait_line(SOON, "readiness", |line| line.text == "ready").unwrap();
    deaf.sigterm().unwrap();
    assert!(matches!(deaf.wait_exit(Duration::from_millis(300)), Err(ProcessError::TimedOut { .. })));
    assert!(!deaf.sigkill().unwrap().success());
    assert!(!deaf.is_running());
    assert!(matches!(deaf.sigkill(), Err(ProcessError::NotRunning { .. })));
}

#[test]
fn sigstop_freezes_and_sigcont_thaws() {
    let process = shell("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done").start().unwrap();
    process.wait_line(SOON, "the count", |_| true).unwrap();
    process.sigstop().unwrap();
    let stopped = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:") && line.contains('T'))
    };
    if Path::new("/proc/self/status").exists() {
        wait::until(SOON, "the process to be frozen", stopped).unwrap();
    }
    assert!(process.is_running());
    let counted = process.lines().len();
    process.sigcont().unwrap();
    wait::until(SOON, "the count to go on", || process.lines().len() > counted + 2).unwrap();
}

#[test]
fn dropping_it_kills_it() {
    let process = shell("echo ready; exec sleep 600").start().unwrap();
    process.wait_line(SOON, "readiness", |line| line.text == "ready").unwrap();
    let pid = process.pid();
    drop(process);
    assert!(!runs(pid));
}

/// The test starts itself as the process to be killed: that one starts a child and then waits for its end.
#[test]
fn a_child_does_not_outlive_a_parent_that_was_killed() {
    if std::env::var_os("TESTKIT_PARENT").is_some() {
        let child = shell("exec sleep 600").start().unwrap();
        println!("child={}", child.pid());
        let _ = child.wait_exit(Duration::from_secs(300));
        return;
    }
    let parent = Launch::new(std::env::current_exe().unwrap())
        .args(["process::a_child_does_not_outlive_a_parent_that_was_killed", "--exact", "--nocapture"])
        .env("TESTKIT_PARENT", "1")
        .start()
        .unwrap();
    let line = parent.wait_line(SOON, "the child's id", |line| line.text.contains("child=")).unwrap();
    let child = line.rsplit('=').next().unwrap().trim().parse().unwrap();
    parent.sigkill().unwrap();
    wait::until(SOON, "the child to be killed", || !runs(child)).unwrap();
}

#[test]
fn a_binary_that_is_not_there_is_named() {
    let error = Launch::new("no-such-binary-anywhere").start().unwrap_err();
    assert!(matches!(error, ProcessError::NotStarted { .. }));
    assert!(error.to_string().contains("no-such-binary-anywhere"), "{error}");
}

#[test]
fn free_ports_are_free_and_differ() {
    let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| ports::free_port()).collect();
    assert_eq!(ports.len(), 50);
    for port in ports {
        std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}

#[tokio::test]
async fn waiting_ends_with_the_condition_or_with_the_time() {
    let mut left = 3;
    wait::until(SOON, "a countdown", || {
        left -= 1;
        left == 0
    })
    .unwrap();
    let late = wait::until_some(Duration::ZERO, "nothing", || None::<()>).unwrap_err();
    assert_eq!(late.to_string(), "gave up after 0ns of waiting for nothing");
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move { sender.send(()).unwrap() });
    wait::until_async(SOON, "a task", async || !receiver.is_empty()).await.unwrap();
}
