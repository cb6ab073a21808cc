//! The groups of a node: which there are, and how the lanes of each are started. Neighbour: `guardian`, which keeps them
//! running.

use std::sync::Arc;

use callboard_ports::inbox::{InboxControl, Joining};
use callboard_ports::log::{LogError, TailControl};
use callboard_ports::record::Topic;

use super::Guardian;
use crate::bridge::{Bridge, BridgeFeed};
use crate::directory::RUNNING;
use crate::history::Projection;
use crate::limits::{BATCH_MAILBOX, HOST_MAILBOX};
use crate::node::Lost;
use crate::pool::{Kind, Pool, PoolFeed};
use crate::shared::{Roles, Shared};
use crate::supervise::{Guard, Started, remote};
use crate::tenure::Tenure;

/// What a group does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Bridge,
    Pool(String),
    Synthesis,
    History,
}

impl Role {
    pub fn name(&self) -> String {
        match self {
            Self::Bridge => "bridge".to_owned(),
            Self::Pool(name) => format!("pool-{name}"),
            Self::Synthesis => "synthesis".to_owned(),
            Self::History => "history".to_owned(),
        }
    }

    /// The name of the actor of a lane.
    pub fn lane(&self, lane: usize) -> String {
        match self {
            Self::History => self.name(),
            _ => format!("{}-{lane}", self.name()),
        }
    }

    pub fn wanted(roles: &Roles) -> Vec<Self> {
        let mut wanted = Vec::new();
        // First: the hosts tell it of their batches from the start.
        if roles.history.is_some() {
            wanted.push(Self::History);
        }
        if roles.host {
            wanted.push(Self::Bridge);
        }
        wanted.extend(roles.pools.iter().cloned().map(Self::Pool));
        if roles.synthesis {
            wanted.push(Self::Synthesis);
        }
        wanted
    }
}

/// A running group. Dropping it takes its lanes down and ends what they may do.
pub(super) struct Running {
    /// By arbiter.
    pub lanes: Vec<(String, Started)>,
    /// What leads out of the membership in order.
    pub tenure: Option<Arc<Tenure>>,
    recovery: Option<Guard>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(tenure) = &self.tenure {
            tenure.end();
        }
    }
}

impl Running {
    fn new(tenure: Option<Arc<Tenure>>) -> Self {
        Self { lanes: Vec::new(), tenure, recovery: None }
    }

    /// Tells the metrics when the group is ready again: all lanes run, and all hosts that were lost.
    pub fn recovers(&mut self, shared: &Arc<Shared>, kind: &'static str, lost: Lost) {
        let ups = self
            .lanes
            .iter_mut()
            .map(|(_, started)| std::mem::replace(&mut started.up, Box::pin(std::future::ready(()))));
        let (all, shared) = (futures_util::future::join_all(ups), shared.clone());
        let recovery = actix::spawn(async move {
            all.await;
            lost.recovered(&shared, kind).await;
        });
        self.recovery = Some(Guard::Task(recovery.abort_handle()));
    }
}

impl Lost {
    /// Waits until what was lost is back, and counts it.
    pub async fn recovered(self, shared: &Shared, kind: &'static str) {
        let back = |states: &std::collections::BTreeMap<u32, &'static str>| {
            self.hosts.iter().all(|partition| states.get(partition) == Some(&RUNNING))
        };
        shared.directory.until(back).await;
        let took_ms = shared.ports.clock.monotonic_ms().saturating_sub(self.since_ms);
        shared.metrics.recovered(kind, took_ms as f64 / 1_000.0);
    }
}

impl Guardian {
    pub(super) fn start_group(&self, role: &Role) -> Result<Running, LogError> {
        match role {
            Role::Bridge => self.start_bridges(role),
            Role::Pool(name) => {
                self.start_pools(role, &format!("callboard-pool-{name}"), Topic::ToolInvocationRequests)
            }
            Role::Synthesis => self.start_pools(role, "callboard-synthesis", Topic::SynthesisRequests),
            Role::History => self.start_history(role),
        }
    }

    /// A membership and what its lanes share for as long as it lasts.
    fn tenure(
        &self,
        control: Arc<dyn InboxControl>,
        tail: Option<Arc<dyn TailControl>>,
        lanes: usize,
    ) -> (Arc<Tenure>, Arc<Shared>) {
        let partitions = self.shared.ports.log.partitions();
        let tenure = Tenure::begin(control, tail, (partitions, lanes), &self.life);
        let shared = self.shared.during(&tenure);
        (tenure, shared)
    }

    fn start_bridges(&self, role: &Role) -> Result<Running, LogError> {
        let (ports, lanes) = (&self.shared.ports, self.shared.ports.placement.arbiters());
        let joining = Joining { group: "callboard-host".into(), topic: Topic::UserCommands, lanes };
        let tail = ports.log.tail(Topic::ConversationEvents, lanes)?;
        let membership = ports.inbox.join(joining)?;
        let (tenure, shared) = self.tenure(membership.control, Some(tail.control.clone()), lanes);
        let mut running = Running::new(Some(tenure.clone()));
        for (lane, (commands, events)) in membership.lanes.into_iter().zip(tail.lanes).enumerate() {
            let feed = BridgeFeed { commands, events, inbox: tenure.clone(), tail: tail.control.clone() };
            let (name, shared) = (role.lane(lane), shared.clone());
            let path = format!("/{name}");
            let build = move |addr, ending| Bridge::new(path, shared, feed, addr, ending);
            running.lanes.push((name, remote(&self.shared, &self.life, lane, BATCH_MAILBOX, build)));
        }
        Ok(running)
    }

    fn start_pools(&self, role: &Role, group: &str, topic: Topic) -> Result<Running, LogError> {
        let ports = &self.shared.ports;
        let lanes = ports.placement.arbiters();
        let membership = ports.inbox.join(Joining { group: group.into(), topic, lanes })?;
        let (tenure, shared) = self.tenure(membership.control, None, lanes);
        let mut running = Running::new(Some(tenure.clone()));
        for (lane, records) in membership.lanes.into_iter().enumerate() {
            let feed = PoolFeed { records, inbox: tenure.clone(), topic };
            let (name, shared) = (role.lane(lane), shared.clone());
            let path = format!("/{name}");
            let kind = match role {
                Role::Pool(pool) => Kind::Tools(pool.as_str().into()),
                _ => Kind::Synthesis,
            };
            let build = move |addr, ending| Pool::new(path, kind, shared, feed, addr, ending);
            running.lanes.push((name, remote(&self.shared, &self.life, lane, HOST_MAILBOX, build)));
        }
        Ok(running)
    }

    fn start_history(&self, role: &Role) -> Result<Running, LogError> {
        let ports = &self.shared.ports;
        let Some(file) = self.roles.history.clone() else { return Ok(Running::new(None)) };
        // Beside a host it is told of the host's batches; alone it is a group of its own.
        let mut membership = None;
        if !self.roles.host {
            let topic = Topic::ConversationEvents;
            membership =
                Some(ports.inbox.join(Joining { group: "callboard-history".into(), topic, lanes: 1 })?);
        }
        let (mut tenure, mut shared) = (None, self.shared.clone());
        if let Some(membership) = &mut membership {
            let (begun, during) = self.tenure(membership.control.clone(), None, 1);
            membership.control = begun.clone();
            (tenure, shared) = (Some(begun), during);
        }
        let mut running = Running::new(tenure);
        let build =
            move |addr, ending| Projection::new("/history".into(), shared, file, membership, addr, ending);
        running.lanes.push((role.lane(0), remote(&self.shared, &self.life, 0, BATCH_MAILBOX, build)));
        Ok(running)
    }
}
