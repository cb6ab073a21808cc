//! The guardian: root of the tree. It joins the groups, and runs one actor per lane for each of them on the lanes'
//! arbiters: bridges, tool pools, synthesis pools, the history projection.
//!
//! The lanes of one group share a membership, so they are one-for-all: when one ends, all of them are dropped, the
//! membership ends with them, and the group joins again. Neighbours: `groups` (how each of them is started), `node::root`
//! (its own supervisor).

mod groups;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use callboard_ports::inbox::InboxControl;
use futures_util::future::LocalBoxFuture;

use crate::limits::{BATCH_MAILBOX, SHOW_TIMEOUT};
use crate::node::{Fatal, Lost};
use crate::observe::{ActorView, KillHow, Show};
use crate::shared::{Roles, Shared};
use crate::supervise::{Budget, Drain, Ending, EndingCell, Kill, Life, Refs, Restart, kind_of, show_child};
use groups::{Role, Running};

/// A group over its restarts.
#[derive(Default)]
struct Group {
    running: Option<Running>,
    generation: u64,
    restarts: u32,
    endings: BTreeMap<String, u32>,
    budget: Budget,
    lost: Option<Lost>,
}

/// The root supervisor.
pub struct Guardian {
    shared: Arc<Shared>,
    roles: Roles,
    life: Arc<Life>,
    addr: Addr<Self>,
    ending: EndingCell,
    groups: BTreeMap<Role, Group>,
    stopping: bool,
}

#[derive(Message)]
#[rtype(result = "()")]
struct LaneEnded {
    role: Role,
    generation: u64,
    lane: String,
    ending: Ending,
}

#[derive(Message)]
#[rtype(result = "()")]
struct StartAgain(Role, u64);

/// An arbiter stopped and has a successor: whoever was on it is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ArbiterReplaced(pub usize);

impl Guardian {
    pub fn new(
        shared: Arc<Shared>,
        roles: Roles,
        life: Arc<Life>,
        addr: Addr<Self>,
        ending: EndingCell,
    ) -> Self {
        Self { shared, roles, life, addr, ending, groups: BTreeMap::new(), stopping: false }
    }

    fn start(&mut self, role: &Role) {
        let started = self.start_group(role);
        let (addr, role) = (self.addr.clone(), role.clone());
        let Some(group) = self.groups.get_mut(&role) else { return };
        group.generation += 1;
        let generation = group.generation;
        match started {
            Ok(mut running) => {
                for (lane, started) in &mut running.lanes {
                    let watch = std::mem::replace(&mut started.ended, Box::pin(std::future::pending()));
                    let (addr, role, lane) = (addr.clone(), role.clone(), lane.clone());
                    actix::spawn(async move {
                        let ending = watch.await;
                        let _ = addr.send(LaneEnded { role, generation, lane, ending }).await;
                    });
                }
                if let Some(lost) = group.lost.take() {
                    running.recovers(&self.shared, kind_of(&role.name()), lost);
                }
                group.running = Some(running);
            }
            Err(error) => {
                tracing::error!(group = role.name(), %error, "cannot be started");
                let lane = role.name();
                actix::spawn(async move {
                    let _ = addr.send(LaneEnded { role, generation, lane, ending: Ending::Failed }).await;
                });
            }
        }
    }

    /// A lane is gone: so is its group, which starts again after a pause.
    fn ended(&mut self, role: Role, lane: &str, ending: Ending) {
        let Some(group) = self.groups.get_mut(&role) else { return };
        // A new generation: the other lanes' endings are stale from here on.
        group.generation += 1;
        group.running = None;
        *group.endings.entry(ending.as_str().to_owned()).or_default() += 1;
        self.shared.metrics.ending(kind_of(lane), ending);
        tracing::warn!(actor = lane, ending = ending.as_str(), "actor ended; its group starts again");
        let ports = &self.shared.ports;
        let now_ms = ports.clock.monotonic_ms();
        let hosts =
            if role == Role::Bridge { self.shared.directory.take_assigned() } else { Default::default() };
        match &mut group.lost {
            // It ended again before it was back.
            Some(lost) => lost.hosts.extend(hosts),
            lost => *lost = Some(Lost { since_ms: now_ms, hosts }),
        }
        match group.budget.spend_for(ending, now_ms, ports.entropy.next_u64()) {
            Restart::After(pause) => {
                let (addr, sleep) = (self.addr.clone(), ports.clock.sleep(pause));
                let again = StartAgain(role, group.generation);
                actix::spawn(async move {
                    sleep.await;
                    let _ = addr.send(again).await;
                });
            }
            Restart::Exhausted => self.shared.fail(Fatal::BudgetExhausted(role.name())),
        }
    }
}

impl Actor for Guardian {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        for role in Role::wanted(&self.roles) {
            self.groups.insert(role.clone(), Group::default());
            self.start(&role);
        }
    }
}

impl Handler<LaneEnded> for Guardian {
    type Result = ();

    fn handle(&mut self, message: LaneEnded, _: &mut Self::Context) {
        let current = self.groups.get(&message.role).map(|group| group.generation);
        if current == Some(message.generation) && !self.stopping {
            self.ended(message.role, &message.lane, message.ending);
        }
    }
}

impl Handler<ArbiterReplaced> for Guardian {
    type Result = ();

    fn handle(&mut self, message: ArbiterReplaced, _: &mut Self::Context) {
        if self.stopping {
            return;
        }
        let lane_of = |(role, group): (&Role, &Group)| {
            let (lane, _) = group.running.as_ref()?.lanes.get(message.0)?;
            Some((role.clone(), lane.clone()))
        };
        let hit: Vec<(Role, String)> = self.groups.iter().filter_map(lane_of).collect();
        for (role, lane) in hit {
            self.ended(role, &lane, Ending::Wedged);
        }
    }
}

impl Handler<StartAgain> for Guardian {
    type Result = ();

    fn handle(&mut self, message: StartAgain, _: &mut Self::Context) {
        match self.groups.get_mut(&message.0) {
            Some(group) if group.generation == message.1 && !self.stopping => group.restarts += 1,
            _ => return,
        }
        self.start(&message.0);
    }
}

impl Handler<Drain> for Guardian {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        let mut stops: Vec<LocalBoxFuture<'static, ()>> = Vec::new();
        let directory = self.shared.directory.clone();
        for group in self.groups.values() {
            let Some(running) = &group.running else { continue };
            let inbox = running.tenure.clone();
            let lanes: Vec<Refs> = running.lanes.iter().filter_map(|(_, started)| started.refs()).collect();
            stops.push(Box::pin(async move {
                let tell = |refs: Refs| async move {
                    if let Some(drain) = refs.drain {
                        let _ = drain.send(Drain).await;
                    }
                };
                futures_util::future::join_all(lanes.into_iter().map(tell)).await;
                if let Some(inbox) = inbox {
                    inbox.leave().await;
                }
            }));
        }
        Box::pin(async move {
            futures_util::future::join_all(stops).await;
            directory.set_history(None);
        })
    }
}

impl Handler<Show> for Guardian {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let state = if self.stopping { "stopping" } else { "running" };
        let mut view = ActorView::new("/", "guardian", state, BATCH_MAILBOX);
        {
            let root = self.shared.root();
            view.restarts = root.restarts;
            view.endings = root.endings.clone();
            view.work = serde_json::json!({ "wedged_arbiters": root.wedged });
        }
        let mut asked: Vec<LocalBoxFuture<'static, ActorView>> = Vec::new();
        for (role, group) in &self.groups {
            let (restarts, endings) = (group.restarts, group.endings.clone());
            let Some(running) = &group.running else {
                let mut view = ActorView::restarting(&format!("/{}", role.lane(0)));
                (view.restarts, view.endings) = (restarts, endings);
                asked.push(Box::pin(async move { view }));
                continue;
            };
            for (name, started) in &running.lanes {
                let timeout = self.shared.ports.clock.sleep(SHOW_TIMEOUT * 2);
                let (path, refs) = (format!("/{name}"), started.refs());
                asked.push(Box::pin(show_child(path, refs, restarts, endings.clone(), timeout)));
            }
        }
        Box::pin(async move {
            view.children = futures_util::future::join_all(asked).await;
            view
        })
    }
}

impl Handler<Kill> for Guardian {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, mut message: Kill, context: &mut Self::Context) -> Self::Result {
        if message.path.is_empty() {
            let told = self.ending.die_as_told(message.how, "/", context);
            return Box::pin(async move { told });
        }
        let name = message.path.remove(0);
        let lanes = self.groups.values_mut().flat_map(|group| group.running.iter_mut());
        let Some((_, started)) = lanes.flat_map(|running| &mut running.lanes).find(|(lane, _)| *lane == name)
        else {
            return Box::pin(async { false });
        };
        if message.path.is_empty() && message.how == KillHow::Abort {
            started.guard.abort();
            return Box::pin(async { true });
        }
        let refs = started.refs();
        Box::pin(async move {
            match refs {
                Some(refs) => refs.kill.send(message).await.unwrap_or(true),
                None => false,
            }
        })
    }
}

crate::supervise::answers_ping!(Guardian);
