//! A world for actors: memory log and snapshots, scripted planner, tools and synthesizer, one arbiter in the test's own
//! thread. A node can be dropped and another started on the same log.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{Limits, Node, Ports, Roles};
use callboard_domain::command::{Command, UserQuery};
use callboard_domain::conversation::Recorded;
use callboard_domain::event::{Author, PlanGenerated};
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::plan::{PlanReason, Proposal, Then, validate};
use callboard_domain::view::TurnView;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::fakes::{
    FakeTools, Gate, Inline, MemoryLog, MemorySnapshots, OneArbiter, ScriptedPlanner, ScriptedSynthesizer,
    ScriptedTool, SplitMixEntropy, TokioClock,
};
use callboard_ports::log::Log;
use callboard_ports::model::PlanRequest;
use callboard_ports::partition::partition_of;
use callboard_ports::record::{NewRecord, Record, Topic};
use callboard_ports::tool::ToolRegistry;

pub const PARTITIONS: u32 = 4;

pub struct World {
    pub log: Arc<MemoryLog>,
    pub snapshots: Arc<MemorySnapshots>,
    pub planner: Arc<ScriptedPlanner>,
    pub synthesizer: Arc<ScriptedSynthesizer>,
    pub tool: Arc<ScriptedTool>,
    pub tools: Arc<FakeTools>,
    pub clock: Arc<TokioClock>,
    pub limits: Limits,
    seed: u64,
}

fn author() -> Author {
    Author { provider: "builtin".into(), model: None, input_tokens: None, output_tokens: None }
}

/// Plans one `echo` step for every part of the message between semicolons.
pub fn plan(request: &PlanRequest, tools: &dyn ToolRegistry) -> PlanGenerated {
    let steps = request
        .message
        .split(';')
        .enumerate()
        .map(|(i, part)| {
            serde_json::json!({ "id": format!("s{i}"), "tool": "echo", "arguments": { "text": part.trim() } })
        })
        .collect::<Vec<_>>();
    let proposal: Proposal = serde_json::from_value(serde_json::json!({ "steps": steps })).unwrap();
    assert_eq!((proposal.then, request.reason), (Then::Answer, PlanReason::First));
    validate(&proposal, tools_as_box(tools), author(), request.version, request.reason).unwrap()
}

fn tools_as_box(tools: &dyn ToolRegistry) -> &dyn callboard_domain::plan::Toolbox {
    tools
}

impl World {
    pub fn new() -> Self {
        Self::with_gates(None, None)
    }

    /// `tool` and `planner` wait at their gates where there is one.
    pub fn with_gates(tool_gate: Option<&Gate>, planner_gate: Option<&Gate>) -> Self {
        let clock = Arc::new(TokioClock::default());
        let mut tool = ScriptedTool::echo("echo");
        if let Some(gate) = tool_gate {
            tool = tool.held_at(gate);
        }
        let tool = Arc::new(tool);
        let tools = Arc::new(FakeTools::new([tool.clone() as Arc<dyn callboard_ports::tool::Tool>]));
        let of = tools.clone();
        let mut planner = ScriptedPlanner::new(move |request| Ok(plan(&request, &*of)));
        if let Some(gate) = planner_gate {
            planner = planner.held_at(gate);
        }
        Self {
            log: Arc::new(MemoryLog::new(PARTITIONS, clock.clone())),
            snapshots: Arc::new(MemorySnapshots::default()),
            planner: Arc::new(planner),
            synthesizer: Arc::new(ScriptedSynthesizer::saying("done")),
            tool,
            tools,
            clock,
            limits: Limits { flush_every: Duration::from_millis(50), ..Limits::default() },
            seed: 7,
        }
    }

    pub fn roles() -> Roles {
        Roles { host: true, pools: vec!["default".into()], synthesis: true, history: None }
    }

    pub fn start(&self) -> Node {
        self.start_as(Self::roles())
    }

    pub fn start_as(&self, roles: Roles) -> Node {
        let ports = Ports {
            log: self.log.clone(),
            inbox: self.log.inbox_of("node"),
            snapshots: self.snapshots.clone(),
            planner: self.planner.clone(),
            synthesizer: self.synthesizer.clone(),
            tools: self.tools.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(SplitMixEntropy::new(self.seed)),
            placement: Arc::new(OneArbiter::start()),
            blocking: Arc::new(Inline),
        };
        callboard_actors::start(ports, roles, self.limits.clone(), "test-node")
    }

    /// Appends a question, as a gateway does.
    pub async fn say(&self, conversation: &str, command: &str, message: &str) {
        let query =
            UserQuery { message: message.into(), agent: "default".into(), principal: None, metadata: None };
        self.command(conversation, command, &Command::UserQueryReceived(query)).await;
    }

    pub async fn command(&self, conversation: &str, id: &str, command: &Command) {
        let conversation = ConversationId::new(conversation).unwrap();
        let command_id = CommandId::new(id).unwrap();
        let stamp = Stamp {
            id,
            conversation: &conversation,
            command: Some(&command_id),
            at: "2026-01-01T00:00:00.000Z",
            causation_id: id,
        };
        let value = wire::write_command(stamp, command).unwrap();
        self.raw(Topic::UserCommands, conversation.as_str(), value).await;
    }

    pub async fn raw(&self, topic: Topic, key: &str, value: Vec<u8>) {
        let record = NewRecord {
            topic,
            partition: partition_of(key.as_bytes(), PARTITIONS),
            key: key.to_owned().into(),
            headers: Vec::new(),
            value: value.into(),
        };
        self.log.append(vec![record]).unwrap().await.unwrap().unwrap();
    }

    /// The turn's end.
    pub async fn ended(&self, node: &Node, conversation: &str, command: &str) -> TurnView {
        let (conversation, command) =
            (ConversationId::new(conversation).unwrap(), CommandId::new(command).unwrap());
        tokio::time::timeout(Duration::from_secs(600), node.ended(&conversation, &command))
            .await
            .expect("the turn ends")
            .unwrap()
    }

    /// Records of conversation-events, by type.
    pub fn events(&self, conversation: &str) -> Vec<(String, Record)> {
        let of = |record: &Record| record.key == conversation.as_bytes();
        let named = |record: Record| {
            let envelope: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
            (envelope["type"].as_str().unwrap().to_owned(), record)
        };
        self.log.records(Topic::ConversationEvents).into_iter().filter(of).map(named).collect()
    }

    pub fn count(&self, conversation: &str, kind: &str) -> usize {
        self.events(conversation).iter().filter(|(of, _)| of == kind).count()
    }

    /// The conversation's records as the fold reads them.
    pub fn recorded(&self, conversation: &str) -> Vec<Recorded> {
        self.events(conversation)
            .into_iter()
            .filter_map(|(_, record)| {
                let (meta, body) = wire::read_event(&record.key, &record.value).ok()?;
                Some(Recorded {
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    command: meta.command,
                    body,
                })
            })
            .collect()
    }

    /// Audits a conversation; every turn must have ended.
    pub fn audit(&self, conversation: &str) -> callboard_domain::audit::Report {
        let id = ConversationId::new(conversation).unwrap();
        let report = callboard_domain::audit::conversation(&id, &self.recorded(conversation), true);
        assert_eq!(report.violations, Vec::new());
        report
    }
}

/// Waits for a condition in virtual time.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// Runs a story in one thread under a paused clock.
pub fn story<F: Future<Output = ()> + 'static>(story: impl FnOnce() -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, story());
}
