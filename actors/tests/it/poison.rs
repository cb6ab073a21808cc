//! A command that makes its conversation panic again and again goes to the dead letters; its conversation goes on, and so does
//! everybody else. The panic comes from the toolbox that deciding consults.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard_actors::{KillHow, Node};
use callboard_domain::command::{Command, UserQuery};
use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_domain::plan::{StepPolicy, ToolRefusal, Toolbox};
use callboard_ports::fakes::{FakeTools, OneArbiter};
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;
use callboard_ports::tool::{Tool, ToolRegistry, ToolSpec};

use crate::check::metric;
use crate::world::{PARTITIONS, World, pass, story, until};

/// Tools that nobody can ask about the agent `bomb`.
struct Explosive {
    tools: Arc<FakeTools>,
    panics: AtomicUsize,
}

impl Toolbox for Explosive {
    fn check(&self, tool: &str, arguments: &RawJson) -> Result<StepPolicy, ToolRefusal> {
        self.tools.check(tool, arguments)
    }

    fn turn_limits(&self, agent: &str) -> TurnLimits {
        if agent == "bomb" {
            self.panics.fetch_add(1, Ordering::SeqCst);
            panic!("a defect");
        }
        self.tools.turn_limits(agent)
    }
}

impl ToolRegistry for Explosive {
    fn specs(&self) -> Vec<ToolSpec> {
        self.tools.specs()
    }

    fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.tools.tool(name)
    }

    fn check_resolved(&self, name: &str, arguments: &RawJson) -> Result<(), ToolError> {
        self.tools.check_resolved(name, arguments)
    }
}

fn start(world: &World) -> (Node, Arc<Explosive>) {
    let tools = Arc::new(Explosive { tools: world.tools.clone(), panics: AtomicUsize::new(0) });
    let mut ports = world.ports("node", Arc::new(OneArbiter::start()));
    ports.tools = tools.clone();
    (callboard_actors::start(ports, World::roles(), world.limits.clone(), "node"), tools)
}

async fn bomb(world: &World, of: &str, id: &str) {
    let query = UserQuery {
        message: "one".into(),
        agent: "bomb".into(),
        principal: None,
        metadata: None,
        history: None,
    };
    world.command(of, id, &Command::UserQueryReceived(query)).await;
}

#[test]
fn a_command_that_nobody_survives_deciding_is_given_up_and_its_conversation_goes_on() {
    story(|| async {
        let world = World::new();
        let (node, tools) = start(&world);
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        bomb(&world, "c1", "b1").await;
        world.say("c1", "k2", "two").await;
        // Somebody else of the same partition notices nothing.
        let other = (0..)
            .map(|i| format!("other{i}"))
            .find(|id| partition_of(id.as_bytes(), PARTITIONS) == partition_of(b"c1", PARTITIONS));
        let other = other.unwrap();
        world.say(&other, "k1", "one").await;
        world.answered(&node, &other, "k1").await;
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        world.answered(&node, "c1", "k2").await;
        assert_eq!(world.dead_letters(Topic::UserCommands), ["poison"]);
        assert_eq!(tools.panics.load(Ordering::SeqCst), 3, "as often as the limit says");
        let letters = world.log.records(Topic::DeadLetterQueue);
        assert_eq!(letters[0].header("callboard-dlq-attempt"), Some("3"));
        pass(120).await;
        assert_eq!(tools.panics.load(Ordering::SeqCst), 3);
        assert_eq!(metric(&node, "callboard_group_lag", Some("callboard-host")), 0.0, "its offset is done");
        assert_eq!(world.audit("c1").answered, 2);
        world.equals_replay(&node, "c1").await;
    });
}

#[test]
fn poison_in_every_conversation_is_given_up_though_the_host_is_killed_in_between() {
    story(|| async {
        let world = World::new();
        let (node, _) = start(&world);
        for i in 0..8 {
            bomb(&world, &format!("c{i}"), "b1").await;
            world.say(&format!("c{i}"), "k1", "one").await;
        }
        for partition in 0..PARTITIONS {
            tokio::time::sleep(std::time::Duration::from_millis(7)).await;
            let _ = node.kill(&format!("/bridge-0/host-{partition}"), KillHow::Panic).await;
        }
        for i in 0..8 {
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        until("all are given up", || world.dead_letters(Topic::UserCommands).len() >= 8).await;
        let ids: std::collections::BTreeSet<String> = world
            .log
            .records(Topic::DeadLetterQueue)
            .iter()
            .map(|letter| {
                format!(
                    "{:?}",
                    (letter.header("callboard-dlq-partition"), letter.header("callboard-dlq-offset"))
                )
            })
            .collect();
        assert_eq!(ids.len(), 8);
        pass(10).await;
        assert_eq!(metric(&node, "callboard_group_lag", Some("callboard-host")), 0.0);
    });
}
