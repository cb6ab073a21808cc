//! Steps that a person has to let in: they wait through passivation and SIGKILL, their turn's clock stands still, and what
//! runs is what was approved.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{Limits, Node, OpenFilter};
use callboard_domain::command::{ApprovalDecision, Command};
use callboard_domain::event::{Approval, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_domain::open_turns::OpenStatus;
use callboard_domain::plan::EffectClass;
use callboard_domain::view::{self, StepStatus};
use callboard_ports::fakes::ScriptedTool;
use callboard_ports::tool::{Tool, ToolSpec};

use crate::check::metric;
use crate::settle::effect;
use crate::world::{Cast, World, conversation, pass, story, until};

const EFFECT: &str = "c1:k1:1:s0";

/// A world with `pay`, which needs approval within `timeout_ms`, and turns of ten minutes.
fn world(timeout_ms: u64) -> (World, Arc<ScriptedTool>) {
    let spec = ToolSpec {
        effect: EffectClass::Unsafe,
        approval_timeout_ms: Some(timeout_ms),
        ..ScriptedTool::spec_named("pay")
    };
    let pay = Arc::new(ScriptedTool::new(spec, |call| Ok(call.arguments)));
    let cast = Cast::default();
    let limits = Limits { passivate_after: Duration::from_secs(5), ..cast.limits.clone() };
    let turn_limits = TurnLimits { turn_timeout_ms: 600_000, ..cast.turn_limits };
    (World::with(Cast { others: vec![pay.clone() as Arc<dyn Tool>], limits, turn_limits, ..cast }), pay)
}

impl World {
    async fn decide(&self, id: &str, of: &str, decision: Approval) {
        let effect_id = effect(of);
        let conversation = effect_id.conversation.to_string();
        let given = ApprovalDecision { effect_id, decision, by: "anna".into(), reason: None };
        self.command(&conversation, id, &Command::ApprovalGiven(given)).await;
    }

    /// `k1` of `c1` waits for its payment, and nothing else.
    async fn waits(&self) {
        self.say("c1", "k1", "pay ten;one").await;
        until("it is asked for, and the other step is done", || {
            self.count("c1", "ApprovalRequested") == 1 && self.count("c1", "ToolInvocationResulted") == 1
        })
        .await;
    }
}

fn live(node: &Node) -> f64 {
    metric(node, "callboard_conversations_live", None)
}

async fn awaiting(node: &Node) -> Vec<String> {
    let filter = OpenFilter { status: Some(OpenStatus::AwaitingApproval), ..OpenFilter::default() };
    let page = node.open_turns(&filter, None, 10).await.unwrap();
    page.turns.iter().flat_map(|turn| &turn.awaiting_approval).map(ToString::to_string).collect()
}

#[test]
fn it_waits_passivated_and_across_a_kill_and_is_then_given() {
    story(|| async {
        let (world, pay) = world(7 * 86_400_000);
        let node = world.start();
        world.waits().await;
        until("it has left memory", || live(&node) == 0.0).await;
        assert_eq!(awaiting(&node).await, [EFFECT]);
        world.crash().await;

        let node = world.start();
        until("it is ready", || node.readiness().ready).await;
        assert_eq!(
            (awaiting(&node).await, live(&node)),
            (vec![EFFECT.to_owned()], 0.0),
            "its time has not come"
        );
        // Longer than a turn may take.
        pass(3_000).await;
        assert_eq!((pay.calls(), live(&node), world.count("c1", "PlanFailed")), (0, 0.0, 0));
        world.decide("a1", EFFECT, Approval::Approved).await;
        world.answered(&node, "c1", "k1").await;
        assert_eq!((pay.calls(), world.count("c1", "ApprovalRequested")), (1, 1));
        world.audit("c1");
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn a_kill_at_any_moment_of_the_waiting_asks_nobody_twice() {
    for after_ms in [0, 1, 3, 10, 60, 400] {
        story(move || async move {
            let (world, pay) = world(86_400_000);
            let node = world.start();
            world.say("c1", "k1", "pay ten;one").await;
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            drop(node);
            world.crash().await;
            let node = world.start();
            until("it is asked for", || world.count("c1", "ApprovalRequested") >= 1).await;
            world.decide("a1", EFFECT, Approval::Approved).await;
            world.crash().await;
            drop(node);
            let node = world.start();
            world.answered(&node, "c1", "k1").await;
            assert_eq!(pay.calls(), 1, "killed after {after_ms} ms");
            world.audit("c1");
        });
    }
}

#[test]
fn nobody_answers_and_the_step_fails_in_its_time_without_having_run() {
    story(|| async {
        let (world, pay) = world(3_600_000);
        let node = world.start();
        world.waits().await;
        until("it has left memory", || live(&node) == 0.0).await;
        pass(3_590).await;
        assert_eq!(world.count("c1", "PlanFailed"), 0);
        let turn = world.ended(&node, "c1", "k1").await;
        let error = turn.error.expect("a failed turn has an error");
        assert!(error.message.contains("approval_timeout"), "{}", error.message);
        assert_eq!((pay.calls(), world.requests("c1").len()), (0, 1), "only the other step was requested");
        world.audit("c1");
    });
}

#[test]
fn what_runs_is_what_was_approved_and_a_no_runs_nothing() {
    story(|| async {
        let (world, pay) = world(86_400_000);
        let node = world.start();
        world.waits().await;
        let less = RawJson::parse(r#"{"text":"pay five"}"#).unwrap();
        world.decide("a0", "c1:k1:1:s1", Approval::Approved).await;
        assert_eq!(world.refused(&node, "a0").await, "not_awaiting_approval");
        world.decide("a1", EFFECT, Approval::ApprovedWith(RawJson::parse("{}").unwrap())).await;
        world.decide("a2", EFFECT, Approval::ApprovedWith(less.clone())).await;
        assert!(world.commanded(&node, "c1", "a1").await.took_effect, "any object is right for this tool");
        assert_eq!(world.refused(&node, "a2").await, "not_awaiting_approval", "the first word counts");
        world.answered(&node, "c1", "k1").await;
        let plans = node.read(&conversation("c1"), |state| view::plans(state, 1, 0)).await.unwrap();
        let paid = &plans[0].steps[0];
        assert_eq!(
            (paid.result.as_ref().unwrap().as_str(), paid.approved_by.as_deref()),
            ("{}", Some("anna"))
        );

        world.say("c2", "k1", "pay ten;one").await;
        until("it is asked for", || world.count("c2", "ApprovalRequested") == 1).await;
        world.decide("n1", "c2:k1:1:s0", Approval::Rejected).await;
        let turn = world.ended(&node, "c2", "k1").await;
        assert!(turn.error.unwrap().message.contains("anna rejected it"));
        assert_eq!(pay.calls(), 1);
        world.audit("c1");
        world.audit("c2");
    });
}

#[test]
fn a_cancelled_turn_asks_nobody_any_more() {
    story(|| async {
        let (world, pay) = world(86_400_000);
        let node = world.start();
        world.waits().await;
        world.cancel("c1", "x1", "k1").await;
        assert_eq!(world.ended(&node, "c1", "k1").await.status, "cancelled");
        assert_eq!(awaiting(&node).await, Vec::<String>::new());
        world.decide("a1", EFFECT, Approval::Approved).await;
        assert_eq!(world.refused(&node, "a1").await, "not_awaiting_approval");
        pass(60).await;
        let plans = node.read(&conversation("c1"), |state| view::plans(state, 1, 0)).await.unwrap();
        assert_eq!((pay.calls(), plans[0].steps[0].status), (0, StepStatus::Cancelled));
    });
}

#[test]
fn a_spent_token_budget_asks_no_planner() {
    story(|| async {
        let world = World::with(Cast { token_budget: Some(0), ..Cast::default() });
        let node = world.start();
        world.say("c1", "k1", "one").await;
        let turn = world.ended(&node, "c1", "k1").await;
        assert_eq!((turn.status, &*turn.error.unwrap().code), ("failed", "token_budget"));
        assert_eq!(world.planner.calls(), 0, "not even ahead of its turn");
    });
}
