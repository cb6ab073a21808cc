//! What is peculiar to the fakes: seeds, gates, fencing, virtual time.

use std::sync::Arc;
use std::time::Duration;

use callboard_domain::json::RawJson;
use callboard_ports::Topic;
use callboard_ports::clock::{Clock, Entropy};
use callboard_ports::contract::story::{fresh, record};
use callboard_ports::fakes::{
    Gate, Inline, MemoryLog, OneArbiter, ScriptedTool, SplitMixEntropy, TokioClock,
};
use callboard_ports::inbox::{Committed, Inbox, InboxEvent, Joining};
use callboard_ports::log::{AppendError, Log};
use callboard_ports::placement::{Blocking, Placement};
use callboard_ports::tool::{Call, Probe, Tool};

#[test]
fn a_seed_reproduces_its_ids() {
    let (one, two, other) = (SplitMixEntropy::new(7), SplitMixEntropy::new(7), SplitMixEntropy::new(8));
    let ids: Vec<_> = (0..100).map(|_| one.new_id()).collect();
    assert_eq!(ids, (0..100).map(|_| two.new_id()).collect::<Vec<_>>());
    assert!(!ids.contains(&other.new_id()));
    assert_eq!((ids[0].len(), &ids[0][14..15]), (36, "7"));
}

#[tokio::test(start_paused = true)]
async fn the_clock_follows_paused_time() {
    let clock = TokioClock::starting_at(1_000);
    clock.sleep(Duration::from_hours(1)).await;
    assert_eq!((clock.now_ms(), clock.monotonic_ms()), (3_601_000, 3_600_000));
}

#[tokio::test]
async fn a_gate_holds_a_tool_and_calls_are_counted() {
    let gate = Gate::closed();
    let tool = Arc::new(ScriptedTool::echo("echo").held_at(&gate));
    let arguments = RawJson::parse(r#"{"text":"hi"}"#).unwrap();
    let call = Call { idempotency_key: "e".into(), attempt: 1, arguments: arguments.clone(), timeout_ms: 1 };
    let (held, called) = (tool.clone(), call.clone());
    let running = tokio::spawn(async move { held.call(called).await });
    while tool.calls() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tool.finished(), 0);
    gate.open();
    assert_eq!(running.await.unwrap(), Ok(arguments));
    assert_eq!((tool.calls(), tool.finished()), (1, 1));
}

#[tokio::test]
async fn a_second_member_with_the_same_identity_fences_the_first() {
    let log = MemoryLog::new(2, Arc::new(TokioClock::default()));
    let inbox = log.inbox_of("node-1");
    let joining = || Joining { group: "g".into(), topic: Topic::UserCommands, lanes: 1 };
    let mut zombie = inbox.join(joining()).unwrap();
    assert!(matches!(zombie.lanes[0].recv().await, Some(InboxEvent::Assigned { partition: 0, .. })));
    let mut owner = inbox.join(joining()).unwrap();
    while !matches!(zombie.lanes[0].recv().await.unwrap(), InboxEvent::Fenced { .. }) {}
    assert!(zombie.lanes[0].recv().await.is_none(), "a fenced membership ends");
    zombie.control.commit(Topic::UserCommands, 0, Committed { next_offset: 99, metadata: String::new() });
    assert_eq!(owner.control.committed(Topic::UserCommands, 0).await, Ok(None), "and commits nothing");
    assert!(matches!(owner.lanes[0].recv().await, Some(InboxEvent::Assigned { partition: 0, .. })));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_ack_in_time_loses_the_partition() {
    let log = MemoryLog::new(2, Arc::new(TokioClock::default()));
    let joining = || Joining { group: "g".into(), topic: Topic::UserCommands, lanes: 1 };
    let mut wedged = log.join(joining()).unwrap();
    for _ in 0..2 {
        assert!(matches!(wedged.lanes[0].recv().await, Some(InboxEvent::Assigned { .. })));
    }
    let mut other = log.join(joining()).unwrap();
    let Some(InboxEvent::Revoked { partition, ack }) = wedged.lanes[0].recv().await else { panic!() };
    let Some(InboxEvent::Assigned { partition: got, .. }) = other.lanes[0].recv().await else { panic!() };
    assert_eq!(got, partition);
    let Some(InboxEvent::Lost { partition: lost }) = wedged.lanes[0].recv().await else { panic!() };
    assert_eq!(lost, partition);
    drop(ack);
}

#[tokio::test]
async fn a_dropped_membership_frees_its_partitions() {
    let log = MemoryLog::new(2, Arc::new(TokioClock::default()));
    let joining = || Joining { group: "g".into(), topic: Topic::UserCommands, lanes: 2 };
    let crashed = log.join(joining()).unwrap();
    let mut other = log.join(joining()).unwrap();
    drop(crashed);
    for lane in 0..2 {
        assert!(matches!(other.lanes[lane].recv().await, Some(InboxEvent::Assigned { .. })));
    }
}

#[tokio::test]
async fn an_interrupted_log_takes_nothing() {
    let log = MemoryLog::new(2, Arc::new(TokioClock::default()));
    let batch = || vec![record(Topic::UserCommands, 0, &fresh("k"), "v")];
    log.interrupt(Some(AppendError::Full));
    assert!(matches!(log.append(batch()), Err(AppendError::Full)));
    log.interrupt(None);
    assert_eq!(log.append(batch()).unwrap().await.unwrap(), Ok(vec![0]));
    assert_eq!(log.records(Topic::UserCommands).len(), 1);
}

#[tokio::test]
async fn one_arbiter_runs_jobs_on_this_thread() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let here = std::thread::current().id();
            let (done, ran) = tokio::sync::oneshot::channel();
            let arbiter = OneArbiter::start();
            let job = move || -> futures_util::future::LocalBoxFuture<'static, ()> {
                Box::pin(async move { done.send(std::thread::current().id()).unwrap() })
            };
            assert!(arbiter.spawn_on(3, Box::new(job)));
            assert_eq!(ran.await.unwrap(), here);
            assert!(Inline.run(Box::new(|| {})).await);
        })
        .await;
}

#[tokio::test]
async fn a_tool_is_probed_by_its_script() {
    let call = Call { idempotency_key: "e".into(), attempt: 1, arguments: RawJson::null(), timeout_ms: 1 };
    let tool = ScriptedTool::echo("echo").probed_by(|call| Probe::Done(call.arguments));
    assert_eq!(tool.probe(call.clone()).await, Probe::Done(RawJson::null()));
    assert_eq!((tool.probes(), tool.calls()), (1, 0));
    assert!(matches!(ScriptedTool::echo("echo").probe(call).await, Probe::Unknown(_)));
}
