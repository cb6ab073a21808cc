//! A process: what survives it (its disk, its notes of what was in hand), and its lives, one after the other.

use std::sync::{Arc, Mutex};

use callboard_actors::{Node, Ports, Roles};
use callboard_ports::fakes::{Inline, OneArbiter, SplitMixEntropy};
use callboard_ports::in_hand::MemoryInHand;
use callboard_ports::inbox::Inbox;
use tokio::task::{JoinHandle, LocalSet};

use crate::audience;
use crate::clock::SkewedClock;
use crate::courier::Courier;
use crate::disk::{Disk, SimStore};
use crate::fault::Fault;
use crate::inbox::{Session, SimInbox};
use crate::life::{Life, Stage};
use crate::log::SimLog;
use crate::models::SimModel;
use crate::tools;
use crate::world::World;

/// A life under way.
pub struct Running {
    pub life: Arc<Life>,
    pub node: Node,
    inbox: Arc<SimInbox>,
    courier: Arc<Courier>,
    task: JoinHandle<()>,
}

impl Running {
    /// Its memberships.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.inbox.sessions().clone()
    }
}

/// A process of the run.
pub struct Process {
    world: Arc<World>,
    pub name: String,
    number: usize,
    roles: Roles,
    pub disk: Arc<Disk>,
    in_hand: Arc<MemoryInHand>,
    lives: u64,
    pub running: Option<Running>,
    /// When it comes back, while it is dead.
    pub starts_ms: u64,
    /// When it goes on, while it stands still.
    pub resumes_ms: Option<u64>,
    /// When the group gives it up, while it stands still.
    pub evicted_ms: Option<u64>,
}

impl Process {
    #[must_use]
    pub fn new(world: &Arc<World>, number: usize, hosts: bool) -> Self {
        let roles = Roles { host: hosts, pools: vec!["default".into()], synthesis: true, history: None };
        Self {
            world: world.clone(),
            name: format!("p{number}"),
            number,
            roles,
            disk: Arc::default(),
            in_hand: Arc::default(),
            lives: 0,
            running: None,
            starts_ms: 0,
            resumes_ms: None,
            evicted_ms: None,
        }
    }

    #[must_use]
    pub fn hosts(&self) -> bool {
        self.roles.host
    }

    /// It lives and moves.
    #[must_use]
    pub fn active(&self) -> Option<&Running> {
        self.running.as_ref().filter(|running| running.life.is_alive() && !running.life.is_paused())
    }

    fn inner_inbox(&self) -> Arc<dyn Inbox> {
        match self.world.mix.static_members {
            true => self.world.log.inbox_of(&self.name),
            false => Arc::new(self.world.log.clone()),
        }
    }

    /// Begins another life. Must be called inside of the run's own `LocalSet`.
    pub fn start(&mut self) {
        self.lives += 1;
        let world = &self.world;
        // A life is long, and this is asked once: three times as likely as what is asked again and again.
        let dies = world.is_faulty() && world.dice().happens(3 * world.mix.rate(Fault::NodeCrashedAtCall));
        let fatal_call = dies.then(|| world.between(1, 900));
        let life = Life::new(format!("{}.{}", self.name, self.lives), fatal_call, world.deaths.clone());
        world.trace().note(world.now_ms(), format_args!("{} starts", life.name));
        let tasks = LocalSet::new();
        let inside = tasks.enter();
        let courier = Courier::start(world, &life.name);
        let inbox = Arc::new(SimInbox {
            world: world.clone(),
            life: life.clone(),
            inner: self.inner_inbox(),
            sessions: Mutex::default(),
        });
        let tools = Arc::new(tools::all(world, &life));
        let model = Arc::new(SimModel { world: world.clone(), life: life.clone(), tools: tools.clone() });
        let skew_ms = world.mix.skews_ms[self.number];
        if skew_ms != 0 {
            world.trace().fault(
                world.now_ms(),
                Fault::ClockSkewed,
                format_args!("{}: {skew_ms} ms", life.name),
            );
        }
        // Every life has ids of its own.
        let entropy = SplitMixEntropy::new(world.seed ^ ((self.number as u64) << 56) ^ (self.lives << 40));
        let ports = Ports {
            log: Arc::new(SimLog { world: world.clone(), life: life.clone(), courier: courier.clone() }),
            inbox: inbox.clone(),
            snapshots: Arc::new(SimStore {
                world: world.clone(),
                life: life.clone(),
                disk: self.disk.clone(),
            }),
            planner: model.clone(),
            synthesizer: model,
            tools,
            clock: Arc::new(SkewedClock { world: world.clock.clone(), skew_ms }),
            entropy: Arc::new(entropy),
            placement: Arc::new(OneArbiter::start()),
            blocking: Arc::new(Inline),
            in_hand: self.in_hand.clone(),
        };
        let node = callboard_actors::start(ports, self.roles.clone(), world.mix.limits.clone(), &life.name);
        if self.hosts() {
            tokio::task::spawn_local(audience::attend(world.clone(), node.clone()));
        }
        drop(inside);
        self.watch(&node, &life);
        let task = tokio::task::spawn_local(Stage { tasks, life: life.clone() });
        self.running = Some(Running { life, node, inbox, courier, task });
    }

    /// A node that cannot go on ends its process.
    fn watch(&self, node: &Node, life: &Arc<Life>) {
        let (world, node, life) = (self.world.clone(), node.clone(), life.clone());
        tokio::task::spawn_local(async move {
            let fatal = node.failed().await;
            if life.is_alive() {
                world.trace().fault(
                    world.now_ms(),
                    Fault::NodeFailed,
                    format_args!("{}: {fatal}", life.name),
                );
                life.kill();
            }
        });
    }

    /// Carries away what died. The group may take a while to notice.
    pub async fn bury(&mut self, back_in_ms: u64) {
        let Some(running) = self.running.take() else { return };
        let (world, life) = (&self.world, &running.life);
        life.kill();
        if life.died_at_a_call() {
            world.trace().fault(world.now_ms(), Fault::NodeCrashedAtCall, format_args!("{}", life.name));
        }
        // Its tasks are dropped where they stand.
        let _ = running.task.await;
        running.courier.cut();
        self.in_hand.crash();
        let sessions = std::mem::take(&mut *running.inbox.sessions());
        let (world, session_ms) = (world.clone(), world.mix.session_ms);
        tokio::task::spawn_local(async move {
            world.pass(session_ms).await;
            drop(sessions);
        });
        self.starts_ms = self.world.now_ms() + back_in_ms;
        (self.resumes_ms, self.evicted_ms) = (None, None);
    }
}
