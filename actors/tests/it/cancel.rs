//! What is called off: wherever a request stands when its turn ends, it is not started any more, what may be interrupted is,
//! and what may not be is heard to its end.

use std::sync::Arc;

use callboard_actors::Roles;
use callboard_domain::event::ToolError;
use callboard_domain::plan::EffectClass;
use callboard_ports::fakes::ScriptedTool;
use callboard_ports::record::Topic;
use callboard_ports::tool::{Tool, ToolSpec};

use crate::check::{envelope, metric};
use crate::deeds::{Deed, Play};
use crate::world::{Cast, World, pass, story, until};

/// A tool that is called once at a time.
fn single(effect: EffectClass) -> Arc<Deed> {
    let spec = ScriptedTool::spec_named("deed");
    Deed::with(ToolSpec { effect, concurrency: 1, timeout_ms: 20_000, ..spec })
}

fn world_with(deed: &Arc<Deed>) -> World {
    World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() })
}

fn roles(host: bool) -> Roles {
    let pools = if host { Vec::new() } else { vec!["default".into()] };
    Roles { host, pools, synthesis: host, history: None }
}

impl World {
    /// How the steps of a conversation ended: `ok`, or the kind of the error.
    pub fn outcomes(&self, of: &str) -> Vec<String> {
        let results = self.events(of).into_iter().filter(|(kind, _)| kind == "ToolInvocationResulted");
        let outcome = |envelope: serde_json::Value| {
            let outcome = &envelope["payload"]["outcome"];
            outcome["error"]["kind"].as_str().unwrap_or("ok").to_owned()
        };
        results.map(|(_, record)| outcome(envelope(&record))).collect()
    }

    async fn cancelled(&self, of: &str) {
        self.cancel(of, &format!("x-{of}"), "k1").await;
        until("its end is told to the workers", || {
            let requests = self.log.records(Topic::ToolInvocationRequests).into_iter();
            requests.map(|record| envelope(&record)).any(|request| {
                request["type"] == "ToolInvocationCancelled" && request["conversation_id"] == of
            })
        })
        .await;
        pass(1).await;
    }
}

const EVERY_CLASS: [EffectClass; 4] =
    [EffectClass::Pure, EffectClass::Idempotent, EffectClass::Reconcilable, EffectClass::Unsafe];

#[test]
fn what_waits_for_its_turn_is_answered_and_never_started() {
    for effect in EVERY_CLASS {
        story(move || async move {
            let deed = single(effect);
            let world = world_with(&deed);
            deed.before.close();
            let node = world.start();
            world.say("c1", "k1", "deed first").await;
            until("the first runs", || deed.begun() == 1).await;
            world.say("c2", "k1", "deed second").await;
            until("the second is asked for", || world.requests("c2").len() == 1).await;
            world.cancelled("c2").await;
            assert_eq!(world.outcomes("c2"), ["cancelled"], "{effect:?}");
            deed.before.open();
            world.answered(&node, "c1", "k1").await;
            pass(100).await;
            assert_eq!((deed.begun(), world.outcomes("c2").len()), (1, 1), "{effect:?}");
            world.audit("c2");
            world.equals_replay(&node, "c2").await;
        });
    }
}

#[test]
fn a_call_that_may_be_repeated_is_interrupted() {
    for effect in [EffectClass::Pure, EffectClass::Idempotent] {
        story(move || async move {
            let deed = single(effect);
            let world = world_with(&deed);
            deed.before.close();
            let node = world.start();
            world.say("c1", "k1", "deed first").await;
            until("it runs", || deed.begun() == 1).await;
            world.cancelled("c1").await;
            assert_eq!(world.outcomes("c1"), ["cancelled"]);
            deed.before.open();
            // Its place is free again.
            world.say("c2", "k1", "deed second").await;
            world.answered(&node, "c2", "k1").await;
            assert_eq!((deed.begun(), deed.done()), (2, 1));
            world.audit("c1");
        });
    }
}

#[test]
fn the_next_attempt_of_what_is_called_off_is_not_started() {
    for effect in [EffectClass::Pure, EffectClass::Idempotent] {
        story(move || async move {
            let deed = single(effect);
            let world = world_with(&deed);
            deed.before.close();
            let _node = world.start();
            world.say("c1", "k1", "deed first").await;
            until("it runs", || deed.begun() == 1).await;
            let request = world.log.records(Topic::ToolInvocationRequests)[0].clone();
            world.copy_changed(&request, |next| next["payload"]["attempt"] = 2.into()).await;
            let cancel = |next: &mut serde_json::Value| {
                next["type"] = "ToolInvocationCancelled".into();
                next["payload"]["attempt"] = 2.into();
                let payload = next["payload"].as_object_mut().unwrap();
                payload.retain(|name, _| !["arguments", "timeout_ms"].contains(&&**name));
            };
            world.copy_changed(&request, cancel).await;
            until("both are answered", || world.outcomes("c1").len() == 2).await;
            assert_eq!(
                (deed.begun(), world.outcomes("c1")),
                (1, vec!["cancelled".to_owned(); 2]),
                "{effect:?}"
            );
            assert_eq!(world.dead_letters(Topic::ToolInvocationRequests), Vec::<String>::new());
        });
    }
}

#[test]
fn a_reconcilable_call_is_interrupted_and_its_probe_asked() {
    for (done, outcome) in [(true, "ok"), (false, "cancelled")] {
        story(move || async move {
            let deed = single(EffectClass::Reconcilable);
            let world = world_with(&deed);
            if done {
                deed.after.close();
            } else {
                deed.before.close();
            }
            let node = world.start();
            world.say("c1", "k1", "deed first").await;
            until("it runs", || deed.begun() == 1 && deed.done() == usize::from(done)).await;
            world.cancelled("c1").await;
            assert_eq!((world.outcomes("c1"), deed.probed()), (vec![outcome.to_owned()], 1));
            [&deed.before, &deed.after].into_iter().for_each(callboard_ports::fakes::Gate::open);
            pass(100).await;
            assert_eq!((deed.begun(), deed.done()), (1, usize::from(done)));
            world.audit("c1");
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn an_unsafe_call_goes_on_and_what_comes_of_it_counts() {
    for (play, outcomes, doubts) in [
        (None, vec!["ok"], 0),
        (Some(Play::Fail(ToolError::new("unavailable", "not sent", true))), vec!["unavailable"], 0),
        (Some(Play::Lose(ToolError::in_doubt("lost"))), vec![], 1),
    ] {
        story(move || async move {
            let deed = single(EffectClass::Unsafe);
            let world = world_with(&deed);
            deed.plays(play);
            deed.before.close();
            let node = world.start();
            world.say("c1", "k1", "deed first").await;
            until("it runs", || deed.begun() == 1).await;
            world.cancelled("c1").await;
            assert_eq!(world.outcomes("c1"), Vec::<String>::new());
            deed.before.open();
            pass(100).await;
            assert_eq!(
                (world.outcomes("c1"), world.count("c1", "ToolInvocationInDoubt")),
                (outcomes.iter().map(|kind| (*kind).to_owned()).collect(), doubts)
            );
            assert_eq!(deed.begun(), 1);
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn what_no_worker_has_seen_is_answered_and_never_started() {
    for effect in EVERY_CLASS {
        for seen in [true, false] {
            story(move || async move {
                let deed = single(effect);
                let world = world_with(&deed);
                let host = world.start_named("host", roles(true));
                world.say("c1", "k1", "deed first").await;
                until("it is asked for", || world.requests("c1").len() == 1).await;
                let request = world.log.records(Topic::ToolInvocationRequests)[0].clone();
                world.cancelled("c1").await;
                if !seen {
                    world.log.trim(Topic::ToolInvocationRequests, request.partition, request.offset + 1);
                }
                let worker = world.start_named("worker", roles(false));
                until("it is answered", || !world.outcomes("c1").is_empty()).await;
                // Whatever else comes of it is too late.
                world.copy(&request, None).await;
                pass(100).await;
                assert_eq!(
                    (deed.begun(), world.outcomes("c1")),
                    (0, vec!["cancelled".to_owned()]),
                    "{effect:?}"
                );
                assert_eq!(metric(&worker, "callboard_dead_letters", None), 0.0);
                world.equals_replay(&host, "c1").await;
            });
        }
    }
}

#[test]
fn an_unsafe_step_that_somebody_else_reserved_is_not_answered_by_who_has_not_seen_it() {
    story(|| async {
        let deed = single(EffectClass::Unsafe);
        let world = world_with(&deed);
        let host = world.start_named("host", roles(true));
        deed.after.close();
        let first = world.start_named("first", roles(false));
        world.say("c1", "k1", "deed first").await;
        until("it is done", || deed.done() == 1).await;
        world.crash_nth(1).await;
        drop(first);
        world.cancelled("c1").await;
        let _second = world.start_named("second", roles(false));
        until("it is in doubt", || world.count("c1", "ToolInvocationInDoubt") == 1).await;
        assert_eq!((deed.begun(), world.outcomes("c1")), (1, vec![]));
        world.equals_replay(&host, "c1").await;
    });
}

#[test]
fn what_another_pool_is_told_concerns_nobody_here() {
    story(|| async {
        let deed = single(EffectClass::Pure);
        let world = world_with(&deed);
        let host = world.start_named("host", roles(true));
        world.say("c1", "k1", "deed first").await;
        until("it is asked for", || world.requests("c1").len() == 1).await;
        world.cancelled("c1").await;
        let requests = world.log.records(Topic::ToolInvocationRequests);
        for request in &requests {
            world.log.trim(Topic::ToolInvocationRequests, request.partition, request.offset + 1);
            let headers = [("callboard-pool", "another")].into_iter().collect();
            let (partition, key) = (request.partition, std::str::from_utf8(&request.key).unwrap());
            world.foreign(request.topic, partition, key, headers, request.value.to_vec()).await;
        }
        let _worker = world.start_named("worker", roles(false));
        pass(1).await;
        assert_eq!((deed.begun(), world.outcomes("c1")), (0, vec![]));
        assert_eq!(world.dead_letters(Topic::ToolInvocationRequests), Vec::<String>::new());
        world.equals_replay(&host, "c1").await;
    });
}
