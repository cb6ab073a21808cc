//! The director of a run: starts the processes, lets the adversary act between its pauses, brings back what died, and in
//! the end lets everything come to rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{ActorView, KillHow};
use callboard_domain::audit::{self, Violation};
use callboard_domain::id::{CommandId, ConversationId};

use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::inbox::Backlog;
use crate::process::{Process, Running};
use crate::workload::{self, Ask};
use crate::world::World;

/// Everybody in a run.
pub struct Director {
    pub world: Arc<World>,
    pub processes: Vec<Process>,
    gateway: Gateway,
    settled: usize,
    approved: usize,
    /// Turns that were asked for when all was at rest: nothing stands in their way.
    pub encore: Vec<(ConversationId, CommandId)>,
    /// What was not done in the end.
    pub backlogs: Vec<Backlog>,
    /// Bounds that were seen to be exceeded.
    pub overflows: Vec<Violation>,
}

/// A node that does not answer within this is busy dying.
const PATIENCE: Duration = Duration::from_millis(500);

impl Director {
    #[must_use]
    pub fn new(world: &Arc<World>, gateway: Gateway) -> Self {
        let hosts = world.mix.hosts;
        let count = hosts + usize::from(world.mix.worker);
        let processes = (0..count).map(|number| Process::new(world, number, number < hosts)).collect();
        Self {
            world: world.clone(),
            processes,
            gateway,
            settled: 0,
            approved: 0,
            encore: Vec::new(),
            backlogs: Vec::new(),
            overflows: Vec::new(),
        }
    }

    /// The part of the run in which things go wrong.
    pub async fn play(&mut self, asks: Vec<Ask>) {
        let world = self.world.clone();
        for process in &mut self.processes {
            process.start();
        }
        self.gateway.play(asks);
        let mut acts_ms = world.between(10, 1_500);
        while world.now_ms() < world.mix.faults_until_ms {
            self.wait(acts_ms.min(world.mix.faults_until_ms)).await;
            self.tend().await;
            if world.now_ms() >= acts_ms {
                self.measure().await;
                self.act().await;
                acts_ms = world.now_ms() + world.between(50, 1_500);
            }
        }
    }

    /// Until `at_ms`, somebody's death, or somebody's return.
    async fn wait(&self, at_ms: u64) {
        let world = &self.world;
        let dead = self.processes.iter().filter(|process| process.running.is_none());
        let paused = self.processes.iter().flat_map(|process| [process.resumes_ms, process.evicted_ms]);
        let until = dead.map(|process| process.starts_ms).chain(paused.flatten()).chain([at_ms]).min();
        let ms = until.unwrap_or(at_ms).saturating_sub(world.now_ms());
        tokio::select! {
            biased;
            () = world.deaths.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(ms.max(1))) => {}
        }
    }

    /// Buries the dead, brings back whoever is due, and lets go on what stands still.
    async fn tend(&mut self) {
        let world = self.world.clone();
        let now_ms = world.now_ms();
        for process in &mut self.processes {
            if process.running.as_ref().is_some_and(|running| !running.life.is_alive()) {
                let back_in_ms = world.between(20, 3_000);
                process.bury(back_in_ms).await;
            }
            if process.running.is_none() && process.starts_ms <= world.now_ms() {
                spoil(&world, process);
                process.start();
            }
            let Some(running) = &process.running else { continue };
            if process.evicted_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                process.evicted_ms = None;
                running.sessions().iter().for_each(|session| session.evict());
            }
            if process.resumes_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                process.resumes_ms = None;
                world.trace().note(now_ms, format_args!("{} goes on", running.life.name));
                running.life.pause(false);
            }
        }
    }

    /// One move of the adversary against each process, and against the log.
    async fn act(&mut self) {
        let world = self.world.clone();
        if world.mix.has(Fault::Garbage) && world.dice().happens(world.mix.rate(Fault::Garbage)) {
            self.gateway.litter();
        }
        self.settle(600);
        self.approve(400);
        for i in 0..self.processes.len() {
            self.kill_actors(i).await;
            self.harm_process(i).await;
        }
    }

    async fn kill_actors(&mut self, i: usize) {
        let world = self.world.clone();
        for (fault, how) in [
            (Fault::ActorPanicked, KillHow::Panic),
            (Fault::ActorStopped, KillHow::Stop),
            (Fault::ActorAborted, KillHow::Abort),
        ] {
            if !world.mix.has(fault) || !world.dice().happens(world.mix.rate(fault)) {
                continue;
            }
            let Some(running) = self.processes[i].active() else { return };
            let Ok(tree) = tokio::time::timeout(PATIENCE, running.node.actors()).await else { continue };
            let mut paths = Vec::new();
            flatten(&tree, &mut paths);
            let path = world.dice().pick(&paths).clone();
            world.trace().fault(world.now_ms(), fault, format_args!("{}{path}", running.life.name));
            let _ = tokio::time::timeout(PATIENCE, running.node.kill(&path, how)).await;
        }
    }

    async fn harm_process(&mut self, i: usize) {
        let world = self.world.clone();
        let process = &mut self.processes[i];
        let Some(running) = process.active() else { return };
        let (node, name) = (running.node.clone(), running.life.name.clone());
        if world.strikes(Fault::StoreCorrupted, format_args!("{name}")) {
            let at = world.between(0, 1 << 30);
            process.disk.corrupt(at);
        }
        if world.dice().happens(200) {
            process.disk.back_up();
        }
        if world.strikes(Fault::OwnerEvicted, format_args!("{name}")) {
            running.sessions().iter().for_each(|session| session.evict());
        }
        if world.strikes(Fault::NodePaused, format_args!("{name}")) {
            let (now_ms, for_ms) = (world.now_ms(), world.between(50, 12_000));
            process.resumes_ms = Some(now_ms + for_ms);
            process.evicted_ms = (for_ms > world.mix.session_ms).then_some(now_ms + world.mix.session_ms);
            if let Some(running) = &process.running {
                running.life.pause(true);
            }
        } else if world.strikes(Fault::NodeStopped, format_args!("{name}")) {
            node.stop(Duration::from_secs(10)).await;
            let back_in_ms = world.between(0, 2_000);
            process.bury(back_in_ms).await;
        } else if world.strikes(Fault::NodeCrashed, format_args!("{name}")) {
            let back_in_ms = world.between(0, 4_000);
            process.bury(back_in_ms).await;
        }
    }

    /// Lets somebody look at the steps in doubt.
    fn settle(&mut self, per_mille: u32) {
        let doubts = std::mem::take(&mut self.world.known().doubts);
        for (effect, attempt) in doubts {
            if !self.world.dice().happens(per_mille) {
                self.world.known().doubts.push((effect, attempt));
                continue;
            }
            self.settled += 1;
            self.gateway.settle(self.settled, effect, attempt);
        }
    }

    /// Lets somebody look at the steps that ask for approval: yes, yes with other arguments, no, or not a word.
    fn approve(&mut self, per_mille: u32) {
        let asked = std::mem::take(&mut self.world.known().approvals);
        for effect in asked {
            if !self.world.dice().happens(per_mille) {
                self.world.known().approvals.push(effect);
                continue;
            }
            self.approved += 1;
            self.gateway.approve(self.approved, effect);
        }
    }

    /// Looks whether queues keep their bounds.
    async fn measure(&mut self) {
        let (limits, batch) = (&self.world.mix.limits, self.world.mix.batch_records as u64);
        // A pause is felt when what is on its way has been taken: a delivery in the lane, one being handed over, one being
        // taken.
        let slack = 3 * batch;
        let partitions = u64::from(self.world.mix.partitions);
        for process in &self.processes {
            let Some(running) = process.active() else { continue };
            let Ok(tree) = tokio::time::timeout(PATIENCE, running.node.actors()).await else { continue };
            let mut all = Vec::new();
            every(&tree, &mut all);
            for view in all {
                let number = |name: &str| view.work[name].as_u64().unwrap_or(0);
                let partition = number("partition") as u32;
                let seen = match view.kind {
                    "partition_host" => audit::bounded(
                        &view.path,
                        partition,
                        number("commands"),
                        limits.commands_in_flight as u64 + slack,
                    ),
                    "tool_pool" | "synthesis_pool" => {
                        let bound = (limits.requests_in_flight as u64 + slack) * partitions;
                        audit::bounded(&view.path, 0, number("under_way"), bound)
                    }
                    _ => None,
                };
                self.overflows.extend(seen);
            }
        }
    }

    /// The part of the run in which nothing goes wrong any more: until everything has ended, a while longer, and one more
    /// question.
    pub async fn rest(&mut self) {
        /// What a whole conversation may take: its turns, each until its deadline, one after the other.
        const LONGEST_MS: u64 = 40 * 60_000;
        /// Whatever is under way or copied arrives within this.
        const QUIET_MS: u64 = 18_000;
        let world = self.world.clone();
        world.stop_faults();
        let now_ms = world.now_ms();
        for process in &mut self.processes {
            process.resumes_ms = process.resumes_ms.map(|_| now_ms);
            process.running.iter().for_each(|running| running.life.spare());
        }
        self.until_quiet(LONGEST_MS, QUIET_MS).await;
        self.measure().await;
        let encore = workload::encore(world.mix.partitions);
        self.encore = encore.iter().map(|ask| (ask.conversation.clone(), ask.id.clone())).collect();
        self.gateway.play(encore);
        world.pass(1_000).await;
        self.until_quiet(LONGEST_MS, 0).await;
        // Answers are in the log before their requests are committed.
        world.pass(5_000).await;
        self.look_for_backlogs().await;
    }

    /// At rest everything that was asked of a group is done, unless a commit got lost and nothing came after it.
    async fn look_for_backlogs(&mut self) {
        if self.world.mix.has(Fault::CommitLost) {
            return;
        }
        let sessions = self.processes.iter().filter_map(Process::active).flat_map(Running::sessions);
        let mut all = BTreeMap::new();
        for session in sessions {
            for backlog in session.backlog().await {
                all.insert((backlog.group.clone(), backlog.partition), backlog);
            }
        }
        self.backlogs = all.into_values().collect();
    }

    /// Until everything has ended and stayed so for a while, or for as long as may be.
    async fn until_quiet(&mut self, longest_ms: u64, quiet_ms: u64) {
        const STEP_MS: u64 = 2_000;
        let world = self.world.clone();
        let until_ms = world.now_ms() + longest_ms;
        let mut since_ms = world.now_ms();
        while world.now_ms() < until_ms {
            let calm = world.is_drained() && self.processes.iter().all(|process| process.active().is_some());
            if !calm {
                since_ms = world.now_ms();
            } else if world.now_ms() >= since_ms + quiet_ms {
                return;
            }
            self.wait(world.now_ms() + STEP_MS).await;
            self.tend().await;
            self.settle(1_000);
            self.approve(1_000);
        }
    }
}

/// What may have happened to a disk while nobody ran on it.
fn spoil(world: &World, process: &Process) {
    let name = &process.name;
    if world.strikes(Fault::StoreLost, format_args!("{name}")) {
        process.disk.wipe();
    } else if world.strikes(Fault::StoreStale, format_args!("{name}")) {
        process.disk.restore();
    }
}

fn flatten(view: &ActorView, paths: &mut Vec<String>) {
    paths.push(view.path.clone());
    view.children.iter().for_each(|child| flatten(child, paths));
}

fn every<'a>(view: &'a ActorView, all: &mut Vec<&'a ActorView>) {
    all.push(view);
    view.children.iter().for_each(|child| every(child, all));
}
