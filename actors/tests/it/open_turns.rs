//! What is open is known: by status, age and tool, page by page, of live and passivated conversations, and after a restart.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{Limits, Node, OpenCursor, OpenFilter, OpenPage};
use callboard_domain::event::ToolError;
use callboard_domain::open_turns::{OpenStatus, OpenTurn};
use callboard_domain::plan::Backoff;
use callboard_ports::fakes::{Gate, ScriptedTool};
use callboard_ports::tool::{Tool, ToolSpec};

use crate::check::metric;
use crate::deeds::Deed;
use crate::world::{Cast, World, pass, story, until};

async fn page(node: &Node, filter: &OpenFilter, after: Option<OpenCursor>, limit: usize) -> OpenPage {
    node.open_turns(filter, after, limit).await.unwrap()
}

/// Everything that a filter finds, in pages of `limit`.
async fn all(node: &Node, filter: &OpenFilter, limit: usize) -> Vec<OpenTurn> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..1_000 {
        let next = page(node, filter, after.clone(), limit).await;
        assert!(next.turns.len() <= limit && next.missing.is_empty(), "{next:?}");
        found.extend(next.turns);
        // A cursor is text on its way through a client.
        after = next.next.map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            return found;
        }
    }
    panic!("pages without end");
}

fn of(status: OpenStatus) -> OpenFilter {
    OpenFilter { status: Some(status), ..OpenFilter::default() }
}

fn names(turns: &[OpenTurn]) -> Vec<String> {
    turns.iter().map(|turn| format!("{}/{}", turn.conversation_id, turn.turn)).collect()
}

#[test]
fn open_turns_are_found_by_status_age_and_tool_the_oldest_first() {
    story(|| async {
        let (planner, synthesis) = (Gate::closed(), Gate::closed());
        planner.open();
        synthesis.open();
        let spec = ScriptedTool::spec_named("long");
        let long = Deed::with(ToolSpec { timeout_ms: 300_000, deadline_ms: 500_000, ..spec });
        long.before.close();
        let world = World::with(Cast {
            planner_gate: Some(planner.clone()),
            synthesis_gate: Some(synthesis.clone()),
            others: vec![long.clone() as Arc<dyn Tool>],
            ..Cast::default()
        });
        let node = world.start();
        for i in 0..12 {
            world.say(&format!("long{i:02}"), "k1", "long one").await;
            world.say(&format!("long{i:02}"), "k2", "two").await;
            pass(1).await;
        }
        until("all of them run", || long.begun() == 12).await;
        synthesis.close();
        world.say("writes", "k1", "one").await;
        until("it is being written", || world.synthesizer.calls() == 1).await;
        planner.close();
        world.say("plans", "k1", "one").await;
        until("it is being planned", || world.planner.calls() == 14).await;
        pass(1).await;

        let listed = all(&node, &OpenFilter::default(), 5).await;
        assert!(listed.windows(2).all(|pair| pair[0].received_ms <= pair[1].received_ms), "{listed:?}");
        assert_eq!(listed.len(), 12 * 2 + 2, "{:?}", names(&listed));
        assert_eq!(names(&all(&node, &of(OpenStatus::Synthesizing), 5).await), ["writes/1"]);
        assert_eq!(names(&all(&node, &of(OpenStatus::Planning), 5).await), ["plans/1"]);
        let queued = all(&node, &of(OpenStatus::Queued), 5).await;
        assert_eq!(names(&queued), (0..12).map(|i| format!("long{i:02}/2")).collect::<Vec<_>>());
        let of_long = OpenFilter { tool: Some("long".into()), ..OpenFilter::default() };
        assert_eq!(all(&node, &of_long, 4).await.len(), 12);
        let of_none = OpenFilter { tool: Some("none".into()), ..OpenFilter::default() };
        assert_eq!(all(&node, &of_none, 4).await, []);
        // Two turns of a conversation are open, and one of them is a second older than the next conversation's.
        let old = OpenFilter { older_than_ms: Some(8_500), ..OpenFilter::default() };
        let old = all(&node, &old, 50).await;
        assert!((6..=14).contains(&old.len()), "{:?}", names(&old));
        assert_eq!(names(&old), names(&listed[..old.len()]));

        let gauge = |name, status: OpenStatus| metric(&node, name, Some(status.as_str()));
        until("the gauges say so", || gauge("callboard_open_turns", OpenStatus::Running) == 12.0).await;
        assert_eq!(gauge("callboard_open_turns", OpenStatus::Queued), 12.0);
        let age = gauge("callboard_open_turn_oldest_age_seconds", OpenStatus::Running);
        assert!((11.0..40.0).contains(&age), "{age}");
        [&planner, &synthesis, &long.before].into_iter().for_each(Gate::open);
        until("all are answered", || metric(&node, "callboard_turns", Some("answered")) == 26.0).await;
        assert_eq!(all(&node, &OpenFilter::default(), 5).await, []);
        until("the gauges say so", || gauge("callboard_open_turns", OpenStatus::Running) == 0.0).await;
    });
}

/// A tool that always fails, and is not tried again for half an hour.
fn backing_off() -> World {
    let mut spec = ScriptedTool::spec_named("echo");
    spec.backoff = Backoff { initial_ms: 3_600_000, max_ms: 3_600_000 };
    spec.deadline_ms = 80_000_000;
    // More than fit into a story: none of them is the last.
    spec.max_attempts = 6;
    let cast = Cast {
        tool: ScriptedTool::new(spec, |_| Err(ToolError::new("unavailable", "not now", true))),
        ..Cast::default()
    };
    World::with(Cast {
        turn_limits: callboard_domain::event::TurnLimits { turn_timeout_ms: 86_400_000, ..cast.turn_limits },
        limits: Limits { passivate_after: Duration::from_secs(5), ..cast.limits.clone() },
        ..cast
    })
}

#[test]
fn what_waits_in_passivated_conversations_is_known_after_a_restart_without_loading_it() {
    story(|| async {
        const MANY: usize = 60;
        let world = backing_off();
        let node = world.start();
        for i in 0..MANY {
            world.say(&format!("c{i}"), "k1", "one").await;
        }
        let live = |node: &Node| metric(node, "callboard_conversations_live", None);
        until("all have failed once", || {
            metric(&node, "callboard_events_applied", None) == (MANY * 3) as f64
        })
        .await;
        until("all have left", || live(&node) == 0.0).await;
        let before = all(&node, &of(OpenStatus::BackingOff), 7).await;
        assert_eq!((before.len(), live(&node)), (MANY, 0.0), "listing brings nobody back");
        world.crash().await;

        let node = world.start();
        until("it is ready", || node.readiness().ready).await;
        assert_eq!(all(&node, &of(OpenStatus::BackingOff), 7).await, before);
        assert_eq!(live(&node), 0.0, "their time has not come");
        assert!(before.iter().all(|turn| turn.retry_at.is_some() && *turn.tools == ["echo".into()]));
        // Their time comes between half an hour and an hour after the failure.
        for _ in 0..70 {
            pass(60).await;
        }
        for i in 0..MANY {
            // An early one a second time, too.
            assert!(
                (2..=3).contains(&world.requests(&format!("c{i}")).len()),
                "c{i} is tried again: {}",
                world.requests(&format!("c{i}")).len()
            );
        }
    });
}

#[test]
fn a_partition_that_is_not_caught_up_is_said_to_be_missing() {
    story(|| async {
        let world = World::new();
        world.identity_ms.store(10_000, std::sync::atomic::Ordering::SeqCst);
        let node = world.start();
        pass(1).await;
        let found = page(&node, &OpenFilter::default(), None, 5).await;
        assert_eq!((found.turns.len(), found.missing.len()), (0, crate::world::PARTITIONS as usize));
        until("it is ready", || node.readiness().ready).await;
        assert!(page(&node, &OpenFilter::default(), None, 5).await.missing.is_empty());
    });
}
