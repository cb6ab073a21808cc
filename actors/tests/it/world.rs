//! A world for actors: memory log and snapshots, scripted planner, tools and synthesizer, a paused clock. Every node runs
//! in a `LocalSet` of its own, so that [`World::crash`] drops all of its tasks at once, as SIGKILL does, and another node
//! can be started on the same log. What the stories check is in `check`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard_actors::{Limits, Node, Ports, Roles};
use callboard_domain::command::{Command, HistoryReset, PlanCancelRequest, UserQuery};
use callboard_domain::event::{Author, PlanGenerated, TurnLimits};
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::json::RawJson;
use callboard_domain::plan::{Proposal, Toolbox, validate};
use callboard_domain::view::TurnView;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::fakes::{
    FakeTools, Gate, Inline, MemoryLog, MemorySnapshots, OneArbiter, ScriptedPlanner, ScriptedSynthesizer,
    ScriptedTool, SplitMixEntropy, TokioClock,
};
use callboard_ports::in_hand::MemoryInHand;
use callboard_ports::log::Log;
use callboard_ports::model::PlanRequest;
use callboard_ports::partition::partition_of;
use callboard_ports::placement::Placement;
use callboard_ports::record::{Headers, NewRecord, Record, Topic};
use callboard_ports::tool::Tool;
use tokio::task::{JoinError, JoinHandle, LocalSet};

use crate::check::envelope;
use crate::liar::{Forgetful, Liar};
use crate::stage::Stage;

pub const PARTITIONS: u32 = 4;
/// A process whose memberships have no identity: the next one takes nothing over from it.
pub const NAMELESS: &str = "";

pub struct World {
    pub log: Arc<MemoryLog>,
    pub snapshots: Arc<MemorySnapshots>,
    pub planner: Arc<ScriptedPlanner>,
    pub synthesizer: Arc<ScriptedSynthesizer>,
    /// Runs the parts of a message that do not begin with `slow`.
    pub tool: Arc<ScriptedTool>,
    /// Runs those that do, and waits at its gate.
    pub slow: Arc<ScriptedTool>,
    pub slow_gate: Gate,
    pub tools: Arc<FakeTools>,
    pub clock: Arc<TokioClock>,
    pub limits: Limits,
    /// While true, appends are taken and reported as unacknowledged.
    pub lying: Arc<AtomicBool>,
    /// Appends to these topics are refused as full.
    pub refusing: Arc<Mutex<BTreeSet<Topic>>>,
    /// While closed, nothing of the ledger is read.
    pub ledger: Gate,
    /// While true, what is committed is forgotten.
    pub forgetting: Arc<AtomicBool>,
    /// What every process of this world has in hand.
    pub in_hand: Arc<MemoryInHand>,
    /// How long the log takes to say which one it is.
    pub identity_ms: Arc<AtomicU64>,
    seed: Cell<u64>,
    nodes: RefCell<Vec<JoinHandle<()>>>,
}

/// Who plays; the rest of a world is always the same.
pub struct Cast {
    pub tool: ScriptedTool,
    pub planner_gate: Option<Gate>,
    pub synthesis_gate: Option<Gate>,
    /// Says this, half of it, and the rest when the gate is open; `done` otherwise.
    pub says: Option<(&'static str, Gate)>,
    pub turn_limits: TurnLimits,
    pub limits: Limits,
    pub token_budget: Option<u64>,
    /// Other tools, by the first word of what they are asked.
    pub others: Vec<Arc<dyn Tool>>,
}

impl Default for Cast {
    fn default() -> Self {
        Self {
            tool: ScriptedTool::echo("echo"),
            planner_gate: None,
            synthesis_gate: None,
            says: None,
            turn_limits: TurnLimits::default(),
            limits: Limits { flush_every: Duration::from_millis(50), ..Limits::default() },
            token_budget: None,
            others: Vec::new(),
        }
    }
}

fn author() -> Author {
    Author { provider: "builtin".into(), model: None, input_tokens: None, output_tokens: None }
}

/// Plans one step for every part of the message between semicolons: the tool that its first word names, `echo` otherwise.
pub fn plan(request: &PlanRequest, tools: &dyn Toolbox) -> PlanGenerated {
    let parts = request.message.split(';').map(str::trim).enumerate();
    let steps: Vec<_> = parts
        .map(|(i, part)| {
            let word = part.split(' ').next().unwrap_or(part);
            let tool = if tools.check(word, &RawJson::from_value(&serde_json::json!({}))).is_ok() {
                word
            } else {
                "echo"
            };
            serde_json::json!({ "id": format!("s{i}"), "tool": tool, "arguments": { "text": part } })
        })
        .collect();
    let proposal: Proposal = serde_json::from_value(serde_json::json!({ "steps": steps })).unwrap();
    validate(&proposal, tools, author(), request.version, request.reason).unwrap()
}

pub fn conversation(id: &str) -> ConversationId {
    ConversationId::new(id).unwrap()
}

pub fn command(id: &str) -> CommandId {
    CommandId::new(id).unwrap()
}

impl World {
    pub fn new() -> Self {
        Self::with(Cast::default())
    }

    /// `tool` and `planner` wait at their gates where there is one.
    pub fn with_gates(tool_gate: Option<&Gate>, planner_gate: Option<&Gate>) -> Self {
        let mut cast = Cast { planner_gate: planner_gate.cloned(), ..Cast::default() };
        if let Some(gate) = tool_gate {
            cast.tool = cast.tool.held_at(gate);
        }
        Self::with(cast)
    }

    pub fn with(cast: Cast) -> Self {
        let clock = Arc::new(TokioClock::default());
        let (tool, slow_gate) = (Arc::new(cast.tool), Gate::closed());
        let slow = Arc::new(ScriptedTool::echo("slow").held_at(&slow_gate));
        let both = [tool.clone() as Arc<dyn Tool>, slow.clone() as Arc<dyn Tool>];
        let mut tools = FakeTools::new(both.into_iter().chain(cast.others)).with_limits(cast.turn_limits);
        if let Some(tokens) = cast.token_budget {
            tools = tools.with_token_budget(tokens);
        }
        let tools = Arc::new(tools);
        let of = tools.clone();
        let mut planner = ScriptedPlanner::new(move |request| Ok(plan(&request, &*of)));
        if let Some(gate) = &cast.planner_gate {
            planner = planner.held_at(gate);
        }
        let mut synthesizer = match &cast.says {
            Some((text, middle)) => ScriptedSynthesizer::saying(text).aloud(middle),
            None => ScriptedSynthesizer::saying("done"),
        };
        if let Some(gate) = &cast.synthesis_gate {
            synthesizer = synthesizer.held_at(gate);
        }
        let ledger = Gate::closed();
        ledger.open();
        Self {
            log: Arc::new(MemoryLog::new(PARTITIONS, clock.clone())),
            snapshots: Arc::new(MemorySnapshots::default()),
            planner: Arc::new(planner),
            synthesizer: Arc::new(synthesizer),
            tool,
            slow,
            slow_gate,
            tools,
            clock,
            limits: cast.limits,
            lying: Arc::default(),
            refusing: Arc::default(),
            ledger,
            forgetting: Arc::default(),
            in_hand: Arc::default(),
            identity_ms: Arc::default(),
            seed: Cell::new(7),
            nodes: RefCell::default(),
        }
    }

    pub fn roles() -> Roles {
        Roles { host: true, pools: vec!["default".into()], synthesis: true, history: None }
    }

    pub fn start(&self) -> Node {
        self.start_as(Self::roles())
    }

    /// Starts the process `node`: a second start takes its identity over.
    pub fn start_as(&self, roles: Roles) -> Node {
        self.start_on(self.snapshots.clone(), "node", roles)
    }

    /// Starts another process, with a disk of its own.
    pub fn start_named(&self, process: &str, roles: Roles) -> Node {
        self.start_on(Arc::new(MemorySnapshots::default()), process, roles)
    }

    fn start_on(&self, snapshots: Arc<MemorySnapshots>, process: &str, roles: Roles) -> Node {
        self.start_placed(snapshots, process, roles, || Arc::new(OneArbiter::start()))
    }

    /// Starts `process` on arbiters that can be held.
    pub fn start_on_stage(&self, arbiters: usize, process: &str) -> (Node, Arc<Stage>) {
        let mut stage = None;
        let node = self.start_placed(self.snapshots.clone(), process, Self::roles(), || {
            stage.insert(Stage::with(arbiters)).clone()
        });
        (node, stage.unwrap())
    }

    fn start_placed(
        &self,
        snapshots: Arc<MemorySnapshots>,
        process: &str,
        roles: Roles,
        placement: impl FnOnce() -> Arc<dyn Placement>,
    ) -> Node {
        let tasks = LocalSet::new();
        let inside = tasks.enter();
        let ports = Ports { snapshots, ..self.ports(process, placement()) };
        let node = callboard_actors::start(ports, roles, self.limits.clone(), process);
        drop(inside);
        self.nodes.borrow_mut().push(tokio::task::spawn_local(tasks));
        node
    }

    /// What a process is started on.
    pub fn ports(&self, process: &str, placement: Arc<dyn Placement>) -> Ports {
        // A process never makes the ids of the one before it.
        self.seed.set(self.seed.get() + 1);
        Ports {
            log: Arc::new(Liar {
                log: self.log.clone(),
                lying: self.lying.clone(),
                identity_ms: self.identity_ms.clone(),
                refusing: self.refusing.clone(),
                ledger: self.ledger.clone(),
            }),
            inbox: Arc::new(Forgetful {
                inbox: if process == NAMELESS { self.log.clone() } else { self.log.inbox_of(process) },
                forgetting: self.forgetting.clone(),
            }),
            snapshots: self.snapshots.clone(),
            planner: self.planner.clone(),
            synthesizer: self.synthesizer.clone(),
            tools: self.tools.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(SplitMixEntropy::new(self.seed.get() << 32)),
            placement,
            blocking: Arc::new(Inline),
            in_hand: self.in_hand.clone(),
        }
    }

    /// SIGKILL: every task of every node is dropped where it stands.
    pub async fn crash(&self) {
        for node in self.nodes.take() {
            kill(node).await;
        }
        self.in_hand.crash();
    }

    /// SIGKILL of one of the nodes that run, in the order of their starts.
    pub async fn crash_nth(&self, nth: usize) {
        let node = self.nodes.borrow_mut().remove(nth);
        kill(node).await;
    }

    /// Appends a question, as a gateway does.
    pub async fn say(&self, conversation: &str, command: &str, message: &str) {
        let query = UserQuery {
            message: message.into(),
            agent: "default".into(),
            principal: None,
            metadata: None,
            history: None,
        };
        self.command(conversation, command, &Command::UserQueryReceived(query)).await;
    }

    /// Asks to cancel the turn of `turn`.
    pub async fn cancel(&self, conversation: &str, id: &str, turn: &str) {
        let request = PlanCancelRequest { turn_command_id: command(turn), by: None, reason: None };
        self.command(conversation, id, &Command::PlanCancelRequested(request)).await;
    }

    pub async fn reset(&self, conversation: &str, id: &str) {
        self.command(conversation, id, &Command::UserHistoryReset(HistoryReset::default())).await;
    }

    pub async fn command(&self, of: &str, id: &str, asked: &Command) {
        let (of, command_id) = (conversation(of), command(id));
        let stamp = Stamp {
            id,
            conversation: &of,
            command: Some(&command_id),
            at: "2026-01-01T00:00:00.000Z",
            causation_id: id,
        };
        let value = wire::write_command(stamp, asked).unwrap();
        self.raw(Topic::UserCommands, of.as_str(), value).await;
    }

    pub async fn raw(&self, topic: Topic, key: &str, value: Vec<u8>) {
        self.foreign(topic, partition_of(key.as_bytes(), PARTITIONS), key, Headers::default(), value).await;
    }

    /// Appends whatever a foreign producer might.
    pub async fn foreign(&self, topic: Topic, partition: u32, key: &str, headers: Headers, value: Vec<u8>) {
        let record = NewRecord { topic, partition, key: key.to_owned().into(), headers, value: value.into() };
        self.log.append(vec![record]).unwrap().await.unwrap().unwrap();
    }

    /// Appends a copy of a record, with another value where one is given.
    pub async fn copy(&self, of: &Record, value: Option<Vec<u8>>) {
        let record = NewRecord {
            topic: of.topic,
            partition: of.partition,
            key: of.key.clone(),
            headers: of.headers.clone(),
            value: value.map_or_else(|| of.value.clone(), Into::into),
        };
        self.log.append(vec![record]).unwrap().await.unwrap().unwrap();
    }

    /// Appends a copy of a record whose envelope says something else.
    pub async fn copy_changed(&self, of: &Record, change: impl FnOnce(&mut serde_json::Value)) {
        let mut envelope = envelope(of);
        change(&mut envelope);
        self.copy(of, Some(serde_json::to_vec(&envelope).unwrap())).await;
    }

    /// The turn's end.
    pub async fn ended(&self, node: &Node, of: &str, id: &str) -> TurnView {
        let (of, id) = (conversation(of), command(id));
        tokio::time::timeout(Duration::from_secs(3_600), node.ended(&of, &id))
            .await
            .unwrap_or_else(|_| panic!("the turn of {id} in {of} ends"))
            .unwrap()
    }

    /// The turn's end, which is its answer.
    pub async fn answered(&self, node: &Node, of: &str, id: &str) {
        let turn = self.ended(node, of, id).await;
        assert_eq!((turn.status, turn.answer.as_deref()), ("answered", Some("done")), "{of} {id}: {turn:?}");
    }
}

async fn kill(node: JoinHandle<()>) {
    node.abort();
    let ended = node.await;
    assert!(ended.as_ref().is_err_and(JoinError::is_cancelled), "{ended:?}");
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

/// Lets virtual time pass: whatever is due within it happens.
pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Runs a story in one thread under a paused clock.
pub fn story<F: Future<Output = ()> + 'static>(story: impl FnOnce() -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // Virtual: a story that waits for what never comes ends too.
    let bounded = async { tokio::time::timeout(Duration::from_secs(7_200), story()).await };
    LocalSet::new().block_on(&runtime, bounded).expect("the story ends");
}
