//! What must not be done twice: whoever dies where, and however often it is asked for, the deed is done at most once, and what
//! became of it is said, or known to be unknown. Deeds are counted by the tool itself.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::KillHow;
use callboard_domain::event::{Event, Outcome, Settlement, ToolError, ToolInvocationResulted};
use callboard_domain::json::RawJson;
use callboard_domain::ledger::{EffectCommitted, Entry};
use callboard_domain::plan::EffectClass;
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;
use serde_json::json;

use crate::deeds::Play;
use crate::effects::{EFFECT, Point, entry, ghost, no_pool, worker, world_with};
use crate::world::{PARTITIONS, pass, story, until};

#[test]
fn an_unsafe_deed_is_reserved_done_committed_and_told() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        let node = world.start();
        world.say("c1", "k1", "deed pay; one").await;
        world.whole(&node).await;
        assert_eq!((deed.begun(), deed.done()), (1, 1));
        assert_eq!(world.entries(), [entry("Reserved", 1, ""), entry("Committed", 1, "ok")]);
        let keys: Vec<_> =
            world.log.records(Topic::ToolEffects).into_iter().map(|record| record.key).collect();
        assert_eq!(keys, [format!("{EFFECT}:reserved"), format!("{EFFECT}:committed")]);
    });
}

#[test]
fn whoever_may_be_run_again_pays_nothing() {
    for effect in [EffectClass::Pure, EffectClass::Idempotent] {
        story(move || async move {
            let (world, deed) = world_with(effect);
            deed.plays([Play::PanicAfter]);
            let node = world.start();
            world.say("c1", "k1", "deed pay").await;
            world.whole(&node).await;
            assert_eq!((deed.done(), world.entries()), (2, vec![]));
            let pool =
                node.actors().await.children.into_iter().find(|child| child.kind == "tool_pool").unwrap();
            assert_eq!(pool.work["ledger"]["partitions"], 0);
        });
    }
}

#[test]
fn a_worker_that_dies_in_an_unsafe_call_leaves_a_doubt_and_no_second_call() {
    for (play, done) in [(Play::PanicBefore, 0), (Play::PanicAfter, 1)] {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Unsafe);
            deed.plays([play]);
            let node = world.start();
            world.say("c1", "k1", "deed pay").await;
            world.doubted().await;
            pass(120).await;
            assert_eq!(
                (deed.begun(), deed.done(), world.count("c1", "ToolInvocationResulted")),
                (1, done, 0)
            );
            // Its result comes after all.
            let outcome = Outcome::Ok(RawJson::from_value(&json!({ "paid": true })));
            world
                .told(Event::ToolInvocationResulted(ToolInvocationResulted {
                    version: 1,
                    step: "s0".parse().unwrap(),
                    attempt: 1,
                    outcome,
                    worker: "late".into(),
                    started_at: "2026-01-01T00:00:00.000Z".into(),
                    finished_at: "2026-01-01T00:00:00.000Z".into(),
                }))
                .await;
            world.whole(&node).await;
            assert_eq!(deed.begun(), 1);
        });
    }
}

#[test]
fn a_pool_that_is_killed_in_an_unsafe_call_leaves_a_doubt_when_its_claim_is_over() {
    for how in [KillHow::Panic, KillHow::Abort, KillHow::Stop] {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Unsafe);
            deed.after.close();
            let node = world.start();
            world.say("c1", "k1", "deed pay").await;
            until("it is done", || deed.done() == 1).await;
            node.kill("/pool-default-0", how).await.unwrap();
            // Neither the claim nor the call can have ended by itself before.
            pass(25).await;
            assert_eq!(world.count("c1", "ToolInvocationInDoubt"), 0);
            world.doubted().await;
            deed.after.open();
            world.settled(1, Settlement::Done(RawJson::null())).await;
            world.whole(&node).await;
            assert_eq!((deed.begun(), deed.done()), (1, 1));
        });
    }
}

#[test]
fn a_process_that_dies_anywhere_around_an_unsafe_call_does_it_at_most_once() {
    for (point, done, doubt) in [
        (Point::Reserved, 0, true),
        (Point::Called, 0, true),
        (Point::Done, 1, true),
        (Point::BeforeCommitted, 1, true),
        (Point::BeforeResult, 1, false),
        (Point::BeforeCommit, 1, false),
    ] {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Unsafe);
            point.crash(&world, &deed).await;
            assert_eq!(deed.done(), done, "{point:?}");
            let node = world.start();
            if doubt {
                world.doubted().await;
                assert_eq!(deed.done(), done, "{point:?}");
                let word = if done == 1 { Settlement::Done(RawJson::null()) } else { Settlement::NotDone };
                world.settled(1, word).await;
            }
            world.whole(&node).await;
            assert_eq!(world.count("c1", "ToolInvocationInDoubt"), usize::from(doubt), "{point:?}");
            assert_eq!((deed.done(), deed.most()), (1, 1), "{point:?}");
        });
    }
}

#[test]
fn two_pools_with_one_request_do_it_once() {
    story(|| async {
        // Its requests are in a partition that moves to the second node.
        let effect_of = |of: &str| partition_of(format!("{of}:k1:1:s0").as_bytes(), PARTITIONS);
        let of = (0..100).map(|i| format!("x{i}")).find(|of| effect_of(of) == PARTITIONS - 1).unwrap();
        for dies in [false, true] {
            let (world, deed) = world_with(EffectClass::Unsafe);
            deed.after.close();
            let host = world.start_named("host", no_pool());
            let _running = world.start_named("first", worker());
            world.say(&of, "k1", "deed pay").await;
            until("it is done", || deed.done() == 1).await;
            let _running = world.start_named("second", worker());
            pass(5).await;
            assert_eq!(deed.begun(), 1);
            if dies {
                world.crash_nth(1).await;
                until("it is in doubt", || world.count(&of, "ToolInvocationInDoubt") == 1).await;
            } else {
                deed.after.open();
                world.answered(&host, &of, "k1").await;
                world.audit(&of);
                // Both have answered, one of them from the ledger.
                pass(60).await;
                assert_eq!(world.count(&of, "ToolInvocationInDoubt"), 0);
            }
            assert_eq!((deed.begun(), deed.done()), (1, 1), "{dies}");
            world.crash().await;
        }
    });
}

#[test]
fn duplicates_of_a_request_do_it_once() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        deed.after.close();
        let node = world.start();
        world.say("c1", "k1", "deed pay").await;
        until("it is done", || deed.done() == 1).await;
        let request = world.log.records(Topic::ToolInvocationRequests)[0].clone();
        world.copy(&request, None).await;
        world.copy(&request, None).await;
        pass(1).await;
        deed.after.open();
        world.whole(&node).await;
        world.copy(&request, None).await;
        pass(60).await;
        // A pool that has never heard of it asks the ledger.
        world.crash().await;
        let node = world.start();
        world.copy(&request, None).await;
        pass(60).await;
        world.whole(&node).await;
        assert_eq!((deed.begun(), world.entries().len()), (1, 2));
    });
}

#[test]
fn a_late_reservation_takes_nothing_away() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        deed.before.close();
        let node = world.start();
        world.say("c1", "k1", "deed pay").await;
        until("it is called", || deed.begun() == 1).await;
        world.entered(&ghost()).await;
        deed.before.open();
        world.whole(&node).await;
        assert_eq!((deed.begun(), deed.done()), (1, 1));
    });
}

#[test]
fn a_deed_whose_request_came_too_late_is_done_when_it_is_asked_for_again() {
    for host_is_away in [false, true] {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Unsafe);
            let mut host = world.start_named("host", no_pool());
            world.say("c1", "k1", "deed pay").await;
            until("it is asked for", || world.requests("c1").len() == 1).await;
            if host_is_away {
                world.crash().await;
            }
            pass(26).await;
            let _running = world.start_named("worker", worker());
            if host_is_away {
                until("nobody did it, is told", || world.count("c1", "InvocationSettled") == 1).await;
                host = world.start_named("host", no_pool());
            }
            let began = tokio::time::Instant::now();
            world.whole(&host).await;
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
            assert_eq!((deed.begun(), deed.done()), (1, 1));
        });
    }
}

#[test]
fn what_was_said_not_to_be_done_is_not_done_by_a_later_request_for_it() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        let _host = world.start_named("host", no_pool());
        world.say("c1", "k1", "deed pay").await;
        until("it is asked for", || world.requests("c1").len() == 1).await;
        world.crash().await;
        pass(26).await;
        let _running = world.start_named("worker", worker());
        until("nobody did it, is told", || world.count("c1", "InvocationSettled") == 1).await;
        assert_eq!(world.entries(), [entry("Reserved", 1, ""), entry("Committed", 1, "claim_missed")]);
        // The host had asked once more, for the same attempt, before it was told; and that comes late.
        let request = world.log.records(Topic::ToolInvocationRequests)[0].clone();
        world.copy_changed(&request, |later| later["payload"]["not_after_ms"] = i64::MAX.into()).await;
        let _another = world.start_named("another", worker());
        pass(60).await;
        assert_eq!((deed.begun(), world.entries().len()), (0, 2));
    });
}

#[test]
fn who_reserved_first_is_waited_for() {
    for commits in [false, true] {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Unsafe);
            let node = world.start_named("host", no_pool());
            world.say("c1", "k1", "deed pay").await;
            until("it is asked for", || world.requests("c1").len() == 1).await;
            world.entered(&ghost()).await;
            let _running = world.start_named("worker", worker());
            pass(20).await;
            assert_eq!((deed.begun(), world.count("c1", "ToolInvocationInDoubt")), (0, 0));
            if commits {
                let at: Arc<str> = "2026-01-01T00:00:00.000Z".into();
                let committed = Entry::EffectCommitted(EffectCommitted {
                    effect_id: EFFECT.parse().unwrap(),
                    attempt: 1,
                    owner: "ghost".into(),
                    outcome: Outcome::Ok(RawJson::from_value(&json!({ "by": "the ghost" }))),
                    started_at: at.clone(),
                    finished_at: at,
                });
                world.entered(&committed).await;
                world.whole(&node).await;
                assert_eq!(world.count("c1", "ToolInvocationInDoubt"), 0);
            } else {
                world.doubted().await;
            }
            assert_eq!(deed.begun(), 0, "{commits}");
        });
    }
}

#[test]
fn a_worker_that_reads_its_reservation_too_late_does_nothing() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        world.ledger.close();
        let node = world.start();
        world.say("c1", "k1", "deed pay").await;
        until("it is reserved", || world.entries().len() == 1).await;
        pass(15).await;
        world.ledger.open();
        world.whole(&node).await;
        assert_eq!((deed.begun(), deed.done()), (1, 1));
        let committed: Vec<_> =
            world.entries().into_iter().filter(|(kind, _, _)| kind == "Committed").collect();
        assert_eq!(committed, [entry("Committed", 1, "claim_missed"), entry("Committed", 2, "ok")]);
    });
}

#[test]
fn a_doubt_declared_while_the_worker_stood_still_is_settled_when_it_goes_on() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        world.ledger.close();
        let node = world.start();
        world.say("c1", "k1", "deed pay").await;
        world.doubted().await;
        assert_eq!(world.entries().iter().filter(|(kind, _, _)| kind == "Committed").count(), 0);
        world.ledger.open();
        world.whole(&node).await;
        assert_eq!((deed.begun(), deed.done(), world.count("c1", "InvocationSettled")), (1, 1, 1));
    });
}

#[test]
fn only_an_error_that_proves_that_nothing_was_sent_is_tried_again() {
    let unreachable = ToolError::new("unavailable", "no connection", true);
    let refused = ToolError::new("refused", "a closed account", false);
    let lost = ToolError::in_doubt("the connection was lost after sending");
    for (play, begun, done, doubts) in
        [(Play::Fail(unreachable), 2, 1, 0), (Play::Fail(refused), 1, 0, 0), (Play::Lose(lost), 1, 1, 1)]
    {
        story(move || async move {
            let (world, deed) = world_with(EffectClass::Unsafe);
            deed.plays([play]);
            let node = world.start();
            world.say("c1", "k1", "deed pay").await;
            if doubts > 0 {
                world.doubted().await;
            } else {
                world.ended(&node, "c1", "k1").await;
                world.audit("c1");
            }
            pass(100).await;
            assert_eq!((deed.begun(), deed.done()), (begun, done));
            assert_eq!(world.count("c1", "ToolInvocationInDoubt"), doubts);
        });
    }
}

#[test]
fn an_unsafe_call_that_takes_too_long_is_in_doubt() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        deed.after.close();
        let _running = world.start();
        world.say("c1", "k1", "deed pay").await;
        world.doubted().await;
        pass(100).await;
        assert_eq!((deed.begun(), deed.done(), world.count("c1", "ToolInvocationResulted")), (1, 1, 0));
    });
}

#[test]
fn a_doubt_about_what_nobody_ever_started_is_settled_by_the_worker_that_finds_it() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        let node = world.start_named("host", no_pool());
        world.say("c1", "k1", "deed pay").await;
        world.doubted().await;
        assert_eq!(deed.begun(), 0);
        let _running = world.start_named("worker", worker());
        world.whole(&node).await;
        assert_eq!((deed.begun(), deed.done(), world.count("c1", "InvocationSettled") >= 1), (1, 1, true));
    });
}

#[test]
fn a_ledger_that_cannot_be_written_keeps_the_deed_undone() {
    story(|| async {
        let (world, deed) = world_with(EffectClass::Unsafe);
        world.refusing.lock().unwrap().insert(Topic::ToolEffects);
        let node = world.start();
        world.say("c1", "k1", "deed pay; one").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!((deed.begun(), world.count("c1", "ToolInvocationResulted")), (0, 1));
        world.refusing.lock().unwrap().clear();
        world.whole(&node).await;
        assert_eq!((deed.begun(), deed.done()), (1, 1));
    });
}
