//! The guardian: root of the tree. It joins the groups, and runs one actor per lane for each of them on the lanes'
//! arbiters: bridges, tool pools, synthesis pools, the history projection.
//!
//! The lanes of one group share a membership, so they are one-for-all: when one ends, all of them are dropped, the
//! membership ends with them, and the group joins again.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use callboard_ports::inbox::{InboxControl, Joining};
use callboard_ports::log::LogError;
use callboard_ports::record::Topic;
use futures_util::future::LocalBoxFuture;

use crate::bridge::{Bridge, BridgeFeed};
use crate::history::Projection;
use crate::limits::{BATCH_MAILBOX, HOST_MAILBOX, SHOW_TIMEOUT};
use crate::node::Fatal;
use crate::observe::{ActorView, KillHow, Show};
use crate::pool::{Kind, Pool, PoolFeed};
use crate::shared::{Roles, Shared};
use crate::supervise::{Budget, Drain, Ending, EndingCell, Kill, Refs, Restart, Started, kind_of, remote, show_child};

/// A running group: its lanes and what leads out of it in order.
struct Running {
    lanes: Vec<(String, Started)>,
    inbox: Option<Arc<dyn InboxControl>>,
}

struct Group {
    running: Option<Running>,
    generation: u64,
    restarts: u32,
    endings: BTreeMap<String, u32>,
    budget: Budget,
}

/// What a group does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Bridge,
    Pool(String),
    Synthesis,
    History,
}

impl Role {
    fn name(&self) -> String {
        match self {
            Self::Bridge => "bridge".to_owned(),
            Self::Pool(name) => format!("pool-{name}"),
            Self::Synthesis => "synthesis".to_owned(),
            Self::History => "history".to_owned(),
        }
    }
}

/// The root supervisor.
pub struct Guardian {
    shared: Arc<Shared>,
    roles: Roles,
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

impl Guardian {
    pub fn new(shared: Arc<Shared>, roles: Roles, addr: Addr<Self>, ending: EndingCell) -> Self {
        Self { shared, roles, addr, ending, groups: BTreeMap::new(), stopping: false }
    }

    fn wanted(&self) -> Vec<Role> {
        let mut wanted = Vec::new();
        // History first: the hosts tell it of their batches from the start.
        if self.roles.history.is_some() {
            wanted.push(Role::History);
        }
        if self.roles.host {
            wanted.push(Role::Bridge);
        }
        wanted.extend(self.roles.pools.iter().cloned().map(Role::Pool));
        if self.roles.synthesis {
            wanted.push(Role::Synthesis);
        }
        wanted
    }

    fn start(&mut self, role: &Role) {
        let started = match role {
            Role::Bridge => self.start_bridges(),
            Role::Pool(name) => {
                self.start_pools(role, &format!("callboard-pool-{name}"), Topic::ToolInvocationRequests)
            }
            Role::Synthesis => self.start_pools(role, "callboard-synthesis", Topic::SynthesisRequests),
            Role::History => self.start_history(),
        };
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

    fn start_bridges(&self) -> Result<Running, LogError> {
        let (ports, lanes) = (&self.shared.ports, self.shared.ports.placement.arbiters());
        let joining = Joining { group: "callboard-host".into(), topic: Topic::UserCommands, lanes };
        let tail = ports.log.tail(Topic::ConversationEvents, lanes)?;
        let membership = ports.inbox.join(joining)?;
        let mut running = Running { lanes: Vec::new(), inbox: Some(membership.control.clone()) };
        for (lane, (commands, events)) in membership.lanes.into_iter().zip(tail.lanes).enumerate() {
            let feed = BridgeFeed {
                commands,
                events,
                inbox: membership.control.clone(),
                tail: tail.control.clone(),
            };
            let (name, shared) = (format!("bridge-{lane}"), self.shared.clone());
            let path = format!("/{name}");
            let started = remote(&*ports.placement, lane, BATCH_MAILBOX, move |addr, ending| {
                Bridge::new(path, shared, feed, addr, ending)
            });
            running.lanes.push((name, started));
        }
        Ok(running)
    }

    fn start_pools(&self, role: &Role, group: &str, topic: Topic) -> Result<Running, LogError> {
        let ports = &self.shared.ports;
        let joining = Joining { group: group.into(), topic, lanes: ports.placement.arbiters() };
        let membership = ports.inbox.join(joining)?;
        let mut running = Running { lanes: Vec::new(), inbox: Some(membership.control.clone()) };
        for (lane, records) in membership.lanes.into_iter().enumerate() {
            let feed = PoolFeed { records, inbox: membership.control.clone(), topic };
            let (name, shared) = (format!("{}-{lane}", role.name()), self.shared.clone());
            let path = format!("/{name}");
            let kind = match role {
                Role::Pool(pool) => Kind::Tools(pool.as_str().into()),
                _ => Kind::Synthesis,
            };
            let started = remote(&*ports.placement, lane, HOST_MAILBOX, move |addr, ending| {
                Pool::new(path, kind, shared, feed, addr, ending)
            });
            running.lanes.push((name, started));
        }
        Ok(running)
    }

    fn start_history(&self) -> Result<Running, LogError> {
        let ports = &self.shared.ports;
        let Some(file) = self.roles.history.clone() else {
            return Ok(Running { lanes: Vec::new(), inbox: None });
        };
        // Beside a host it is told of the host's batches; alone it is a group of its own.
        let membership = if self.roles.host {
            None
        } else {
            let joining =
                Joining { group: "callboard-history".into(), topic: Topic::ConversationEvents, lanes: 1 };
            Some(ports.inbox.join(joining)?)
        };
        let inbox = membership.as_ref().map(|membership| membership.control.clone());
        let shared = self.shared.clone();
        let started = remote(&*ports.placement, 0, BATCH_MAILBOX, move |addr, ending| {
            Projection::new("/history".into(), shared, file, membership, addr, ending)
        });
        Ok(Running { lanes: vec![("history".to_owned(), started)], inbox })
    }

    fn each_lane(&self) -> impl Iterator<Item = (&Role, &Group, &String, &Started)> {
        self.groups.iter().flat_map(|(role, group)| {
            let lanes = group.running.iter().flat_map(|running| &running.lanes);
            lanes.map(move |(name, started)| (role, group, name, started))
        })
    }
}

impl Actor for Guardian {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        for role in self.wanted() {
            let group = Group {
                running: None,
                generation: 0,
                restarts: 0,
                endings: BTreeMap::new(),
                budget: Budget::default(),
            };
            self.groups.insert(role.clone(), group);
            self.start(&role);
        }
    }
}

impl Handler<LaneEnded> for Guardian {
    type Result = ();

    fn handle(&mut self, message: LaneEnded, _: &mut Self::Context) {
        let Some(group) = self.groups.get_mut(&message.role) else { return };
        if group.generation != message.generation || self.stopping {
            return;
        }
        // A new generation: the other lanes' endings are stale from here on.
        group.generation += 1;
        group.running = None;
        *group.endings.entry(message.ending.as_str().to_owned()).or_default() += 1;
        self.shared.metrics.ending(kind_of(&message.lane), message.ending);
        tracing::warn!(
            actor = message.lane,
            ending = message.ending.as_str(),
            "actor ended; its group starts again"
        );
        let ports = &self.shared.ports;
        match group.budget.spend(ports.clock.monotonic_ms(), ports.entropy.next_u64()) {
            Restart::After(pause) => {
                let (addr, sleep) = (self.addr.clone(), ports.clock.sleep(pause));
                let again = StartAgain(message.role, group.generation);
                actix::spawn(async move {
                    sleep.await;
                    let _ = addr.send(again).await;
                });
            }
            Restart::Exhausted => self.shared.fail(Fatal::BudgetExhausted(message.role.name())),
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
            let inbox = running.inbox.clone();
            let lanes = running.lanes.iter().filter_map(|(_, started)| started.refs.lock().ok()?.clone());
            let lanes: Vec<_> = lanes.collect();
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
        let asked: Vec<_> = self
            .each_lane()
            .map(|(_, group, name, started)| {
                let refs = started.refs.lock().ok().and_then(|refs| refs.clone());
                let timeout = self.shared.ports.clock.sleep(SHOW_TIMEOUT * 2);
                show_child(format!("/{name}"), refs, group.restarts, group.endings.clone(), timeout)
            })
            .collect();
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
        let refs = started.refs.lock().ok().and_then(|refs| refs.clone());
        Box::pin(async move {
            match refs {
                Some(refs) => refs.kill.send(message).await.unwrap_or(true),
                None => false,
            }
        })
    }
}
