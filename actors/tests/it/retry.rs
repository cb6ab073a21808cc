//! Retry now: a step in back-off does not wait for the rest of it.

use std::time::Duration;

use callboard_domain::event::{Event, ToolError};
use callboard_domain::plan::Backoff;
use callboard_ports::fakes::ScriptedTool;

use crate::world::{Cast, World, pass, story, until};

const EFFECT: &str = "c1:k1:1:s0";

/// A tool that fails once and is not tried again for twenty minutes.
fn patient() -> World {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let script = move |call: callboard_ports::tool::Call| match calls
        .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    {
        0 => Err(ToolError::new("unavailable", "not now", true)),
        _ => Ok(call.arguments),
    };
    let mut spec = ScriptedTool::spec_named("echo");
    spec.backoff = Backoff { initial_ms: 1_200_000, max_ms: 1_200_000 };
    spec.deadline_ms = 3_000_000;
    let cast = Cast { tool: ScriptedTool::new(spec, script), ..Cast::default() };
    World::with(Cast {
        turn_limits: callboard_domain::event::TurnLimits { turn_timeout_ms: 3_600_000, ..cast.turn_limits },
        limits: callboard_actors::Limits { passivate_after: Duration::from_secs(30), ..cast.limits.clone() },
        ..cast
    })
}

#[test]
fn a_step_in_back_off_is_tried_at_once_when_somebody_says_so() {
    story(|| async {
        let world = patient();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        until("the first attempt failed", || world.count("c1", "ToolInvocationResulted") == 1).await;
        pass(60).await;
        assert_eq!(world.requests("c1").len(), 1);
        world.retry_now("x1", EFFECT).await;
        let commanded = world.commanded(&node, "c1", "x1").await;
        assert!(matches!(commanded.event, Event::RetryAdvanced(_)) && commanded.took_effect, "{commanded:?}");
        let begun = tokio::time::Instant::now();
        world.answered(&node, "c1", "k1").await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        // What does not wait is not advanced.
        world.retry_now("x2", EFFECT).await;
        assert_eq!(world.refused(&node, "x2").await, "not_in_backoff");
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn whoever_waits_long_leaves_memory_and_is_back_in_time() {
    story(|| async {
        let world = patient();
        let node = world.start();
        world.say("c1", "k1", "one").await;
        until("the first attempt failed", || world.count("c1", "ToolInvocationResulted") == 1).await;
        let live = || crate::check::metric(&node, "callboard_conversations_live", None);
        until("it has left", || live() == 0.0).await;
        // Its back-off is over between half of it and the whole.
        for _ in 0..20 {
            pass(60).await;
        }
        assert_eq!(world.requests("c1").len(), 2, "it is tried again");
        world.answered(&node, "c1", "k1").await;
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}
