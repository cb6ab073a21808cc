//! A node is killed at every stage of a turn, and its snapshots are damaged in every way; another one on the same log ends
//! the same turn, once.

use std::collections::HashMap;
use std::time::Duration;

use callboard_actors::{Limits, Node};
use callboard_ports::fakes::Gate;
use callboard_ports::log::LogIdentity;
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;
use callboard_ports::snapshot::{Checkpoint, Dirty, Flush, SnapshotError, SnapshotStore, Stored};

use crate::check::metric;
use crate::world::{Cast, PARTITIONS, World, conversation, pass, story, until};

#[derive(Debug, Clone, Copy)]
enum Stage {
    Accepted,
    Planned,
    SomeResults,
    Synthesizing,
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    None,
    Lost,
    Corrupt,
    Stale,
    OfAnotherLog,
    BeyondTheEnd,
}

const DAMAGES: [Damage; 6] =
    [Damage::None, Damage::Lost, Damage::Corrupt, Damage::Stale, Damage::OfAnotherLog, Damage::BeyondTheEnd];

/// A world whose gates are at the planner and the synthesizer; the third one is that of the slow tool.
struct Stopped {
    world: World,
    planner: Gate,
    synthesis: Gate,
}

impl Stopped {
    fn new() -> Self {
        let (planner, synthesis) = (Gate::closed(), Gate::closed());
        let cast = Cast {
            planner_gate: Some(planner.clone()),
            synthesis_gate: Some(synthesis.clone()),
            ..Cast::default()
        };
        Self { world: World::with(cast), planner, synthesis }
    }

    fn open(&self) {
        [&self.planner, &self.synthesis, &self.world.slow_gate].into_iter().for_each(Gate::open);
    }

    /// A turn that has ended and been snapshotted.
    async fn first_turn(&self, node: &Node) -> Stored {
        self.open();
        self.world.say("c1", "k0", "before").await;
        self.world.answered(node, "c1", "k0").await;
        // Several flushes.
        pass(1).await;
        let stored = self.world.snapshots.load(partition(), &conversation("c1")).await.unwrap();
        assert!(stored.snapshot.is_some());
        stored
    }

    /// Runs the second turn up to the stage.
    async fn reach(&self, stage: Stage) {
        let world = &self.world;
        let (gate, plans, calls, answers) = match stage {
            Stage::Accepted => (&self.planner, 1, 0, 0),
            Stage::Planned => (&world.slow_gate, 1, 3, 0),
            Stage::SomeResults => (&world.slow_gate, 1, 1, 0),
            Stage::Synthesizing => (&self.synthesis, 1, 1, 1),
        };
        let before = (world.planner.calls(), world.slow.calls(), world.synthesizer.calls());
        gate.close();
        let message = match stage {
            Stage::Planned => "slow one; slow two; slow three",
            _ => "one; slow two; three",
        };
        world.say("c1", "k1", message).await;
        let there = |before: usize, more: usize, now: usize| now >= before + more;
        until("the stage is reached", || {
            there(before.0, plans, world.planner.calls())
                && there(before.1, calls, world.slow.calls())
                && there(before.2, answers, world.synthesizer.calls())
                && world.count("c1", "UserQueryReceived") == 2
                && (!matches!(stage, Stage::SomeResults) || world.count("c1", "ToolInvocationResulted") == 3)
        })
        .await;
    }
}

fn partition() -> u32 {
    partition_of(b"c1", PARTITIONS)
}

/// Effects whose result is in the log, and how often each of them has been requested.
fn requested_of_resulted(world: &World) -> HashMap<String, usize> {
    let requests = world.requests("c1");
    let resulted = world.events("c1").into_iter().filter(|(kind, _)| kind == "ToolInvocationResulted");
    let effect = |record| {
        let envelope = crate::check::envelope(&record);
        let (turn, body) = (envelope["command_id"].as_str().unwrap().to_owned(), &envelope["payload"]);
        format!("c1:{turn}:{}:{}", body["version"], body["step"].as_str().unwrap())
    };
    let counted = |effect: String| {
        let times = requests.iter().filter(|(of, _)| *of == effect).count();
        (effect, times)
    };
    resulted.map(|(_, record)| counted(effect(record))).collect()
}

async fn damage(world: &World, damage: Damage, old: Stored) {
    let snapshots = &world.snapshots;
    let end = world.log.records(Topic::ConversationEvents).len() as u64;
    let checkpoint = match damage {
        Damage::None => return,
        Damage::Corrupt => {
            snapshots.interrupt(Some(SnapshotError::Corrupt("torn".into())));
            return;
        }
        Damage::Lost => {
            for partition in 0..PARTITIONS {
                snapshots.discard(partition).await.unwrap();
            }
            return;
        }
        Damage::Stale => {
            let next_offset = old.offsets.last().unwrap().end;
            Checkpoint { identity: LogIdentity("memory".into()), next_offset }
        }
        Damage::OfAnotherLog => Checkpoint { identity: LogIdentity("another".into()), next_offset: 3 },
        Damage::BeyondTheEnd => {
            Checkpoint { identity: LogIdentity("memory".into()), next_offset: end + 1_000 }
        }
    };
    snapshots.discard(partition()).await.unwrap();
    let offsets = old.offsets.into_iter().flatten().collect();
    let snapshot = old.snapshot.unwrap();
    let dirty = Dirty { conversation: conversation("c1"), snapshot, offsets, open: None };
    snapshots.flush(Flush { partition: partition(), dirty: vec![dirty], checkpoint }).await.unwrap();
}

async fn killed_at(stage: Stage, with: Damage) {
    let stopped = Stopped::new();
    let world = &stopped.world;
    let node = world.start();
    let old = stopped.first_turn(&node).await;
    stopped.reach(stage).await;
    world.crash().await;
    damage(world, with, old).await;
    let before = requested_of_resulted(world);

    let node = world.start();
    pass(1).await;
    world.snapshots.interrupt(None);
    stopped.open();
    world.answered(&node, "c1", "k1").await;
    world.say("c1", "k2", "after").await;
    world.answered(&node, "c1", "k2").await;

    let after = requested_of_resulted(world);
    for (effect, times) in &before {
        assert_eq!(times, &after[effect], "{stage:?} {with:?}: {effect} was requested again");
    }
    let report = world.audit("c1");
    assert_eq!((report.turns, report.answered, report.open), (3, 3, 0), "{stage:?} {with:?}");
    assert_eq!(world.count("c1", "UserQueryReceived"), 3, "{stage:?} {with:?}");
    assert_eq!(world.count("c1", "PlanGenerated"), 3, "{stage:?} {with:?}");
    world.equals_replay(&node, "c1").await;
}

fn killed_with_every_damage(stage: Stage) {
    for with in DAMAGES {
        story(move || killed_at(stage, with));
    }
}

#[test]
fn killed_after_the_question_was_accepted() {
    killed_with_every_damage(Stage::Accepted);
}

#[test]
fn killed_after_the_plan_while_tools_run() {
    killed_with_every_damage(Stage::Planned);
}

#[test]
fn killed_with_some_results_in_the_log() {
    killed_with_every_damage(Stage::SomeResults);
}

#[test]
fn killed_while_the_answer_is_being_written() {
    killed_with_every_damage(Stage::Synthesizing);
}

#[test]
fn killed_after_any_record_the_turn_ends_once() {
    // A turn with two steps is 9 records; the number of records in all topics at the kill is the cut.
    for cut in 1..=9 {
        story(move || async move {
            let world = World::new();
            // Without a handle a node ends by itself.
            let _node = world.start();
            world.say("c1", "k1", "one; two").await;
            let records = || Topic::ALL.iter().map(|topic| world.log.records(*topic).len()).sum::<usize>();
            for _ in 0..100_000 {
                if records() >= cut {
                    break;
                }
                tokio::task::yield_now().await;
            }
            world.crash().await;
            let node = world.start();
            world.answered(&node, "c1", "k1").await;
            assert_eq!(world.audit("c1").answered, 1, "cut {cut}");
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn a_store_that_fails_for_good_costs_nothing_but_time() {
    for error in [SnapshotError::Failed("no space".into()), SnapshotError::Corrupt("torn".into())] {
        story(move || async move {
            let world = World::new();
            world.snapshots.interrupt(Some(error.clone()));
            let node = world.start();
            for round in 0..40 {
                let command = format!("k{round}");
                world.say("c1", &command, "hello").await;
                world.answered(&node, "c1", &command).await;
                pass(3).await;
            }
            assert_eq!(world.audit("c1").answered, 40, "{error}");
            world.equals_replay(&node, "c1").await;
        });
    }
}

#[test]
fn a_long_catch_up_writes_down_what_it_has_folded_and_goes_on() {
    story(|| async {
        // Some turns of one partition; and only a catch-up writes in this hour.
        let bytes = 10_000 * PARTITIONS as usize;
        let flush_every = Duration::from_secs(3_600);
        let limits = Limits { flush_every, catch_up_bytes: bytes, ..Limits::default() };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start();
        for round in 0..4 {
            for i in 0..20 {
                let (of, id) = (format!("c{i}"), format!("k{i}-{round}"));
                world.say(&of, &id, "one").await;
                world.answered(&node, &of, &id).await;
            }
        }
        world.crash().await;
        let node = world.start();
        until("it has caught up", || node.readiness().ready).await;
        assert!(metric(&node, "callboard_snapshots_written", None) >= 20.0);
        for i in 0..20 {
            world.equals_replay(&node, &format!("c{i}")).await;
            world.say(&format!("c{i}"), "new", "two").await;
            assert_eq!(world.ended(&node, &format!("c{i}"), "new").await.turn, 5);
        }
    });
}

#[test]
fn a_store_that_fails_during_a_long_catch_up_makes_nobody_forget() {
    story(|| async {
        let world = World::with(Cast {
            limits: Limits { catch_up_states: 2, ..Limits::default() },
            ..Cast::default()
        });
        let node = world.start();
        for round in 0..3 {
            for i in 0..20 {
                let (of, id) = (format!("c{i}"), format!("k{i}-{round}"));
                world.say(&of, &id, "one").await;
                world.answered(&node, &of, &id).await;
            }
        }
        world.crash().await;
        world.snapshots.interrupt(Some(SnapshotError::Failed("no room".into())));
        let node = world.start();
        until("it has caught up without its store", || node.readiness().ready).await;
        world.snapshots.interrupt(None);
        for i in 0..20 {
            world.equals_replay(&node, &format!("c{i}")).await;
            world.say(&format!("c{i}"), &format!("k{i}-0"), "one").await;
            world.say(&format!("c{i}"), "new", "two").await;
            assert_eq!(world.ended(&node, &format!("c{i}"), "new").await.turn, 4);
        }
    });
}
