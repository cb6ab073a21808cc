//! Who is where: the registry id → address, and nothing else. HTTP threads look conversations up here; the
//! partition hosts write it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};

use actix::{Addr, Recipient};
use callboard_domain::id::ConversationId;
use dashmap::DashMap;
use tokio::sync::{Notify, watch};

use crate::conversation::Conversation;
use crate::history::Observed;
use crate::host::Host;
use crate::tenure::Tenure;

/// Addresses of live actors, as one tenure or everybody sees them.
#[derive(Default)]
pub struct Directory {
    tables: Arc<Tables>,
    /// Whoever writes through this does so only for as long as it lasts.
    tenure: Option<Arc<Tenure>>,
}

#[derive(Default)]
struct Tables {
    conversations: DashMap<ConversationId, ConversationEntry>,
    hosts: RwLock<BTreeMap<u32, HostEntry>>,
    history: RwLock<Option<Recipient<Observed>>>,
    /// Partitions that are assigned, whether or not their hosts run.
    assigned: RwLock<BTreeSet<u32>>,
    /// Counts changes of hosts.
    changes: watch::Sender<u64>,
}

struct ConversationEntry {
    addr: Addr<Conversation>,
    rung: Arc<Notify>,
}

#[derive(Clone)]
struct HostEntry {
    addr: Addr<Host>,
    state: &'static str,
}

/// State of a host that takes and answers.
pub const RUNNING: &str = "running";

impl Directory {
    /// The same directory for those who write during `tenure`.
    pub fn during(&self, tenure: &Arc<Tenure>) -> Self {
        Self { tables: self.tables.clone(), tenure: Some(tenure.clone()) }
    }

    fn is_over(&self) -> bool {
        self.tenure.as_ref().is_some_and(|tenure| tenure.is_over())
    }

    fn hosts_table(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, HostEntry>> {
        self.tables.hosts.read().expect("no holder of this lock panics")
    }

    /// The address of a live conversation, which is going to be sent something. Clones it: no guard survives the call.
    pub fn conversation(&self, id: &ConversationId) -> Option<Addr<Conversation>> {
        let entry = self.tables.conversations.get(id)?;
        entry.rung.notify_one();
        Some(entry.addr.clone())
    }

    /// Whether `addr` is still that of the conversation.
    pub fn is_current(&self, id: &ConversationId, addr: &Addr<Conversation>) -> bool {
        self.tables.conversations.get(id).is_some_and(|entry| entry.addr == *addr)
    }

    /// `rung` is rung whenever something is about to be sent to it.
    pub fn enter(&self, id: ConversationId, addr: Addr<Conversation>, rung: Arc<Notify>) {
        if !self.is_over() {
            self.tables.conversations.insert(id, ConversationEntry { addr, rung });
        }
    }

    /// Takes a conversation out, unless it has a successor already.
    pub fn leave(&self, id: &ConversationId, addr: &Addr<Conversation>) {
        self.tables.conversations.remove_if(id, |_, entry| entry.addr == *addr);
    }

    pub fn host(&self, partition: u32) -> Option<Addr<Host>> {
        self.hosts_table().get(&partition).map(|entry| entry.addr.clone())
    }

    pub fn enter_host(&self, partition: u32, addr: Addr<Host>, state: &'static str) {
        if self.is_over() {
            return;
        }
        let mut hosts = self.tables.hosts.write().expect("no holder of this lock panics");
        hosts.insert(partition, HostEntry { addr, state });
        drop(hosts);
        self.changed();
    }

    /// Takes a host out, unless it has a successor already.
    pub fn leave_host(&self, partition: u32, addr: &Addr<Host>) {
        let mut hosts = self.tables.hosts.write().expect("no holder of this lock panics");
        if hosts.get(&partition).is_some_and(|entry| entry.addr == *addr) {
            hosts.remove(&partition);
        }
        drop(hosts);
        self.changed();
    }

    /// Takes everybody out who was on an arbiter that stopped: nobody there can do it.
    pub fn forget(&self, of: impl Fn(u32) -> bool, partition_of: impl Fn(&ConversationId) -> u32) {
        self.tables.hosts.write().expect("no holder of this lock panics").retain(|p, _| !of(*p));
        self.tables.conversations.retain(|id, _| !of(partition_of(id)));
        self.changed();
    }

    /// Every known partition and how far its host has come.
    pub fn host_states(&self) -> BTreeMap<u32, &'static str> {
        self.hosts_table().iter().map(|(partition, entry)| (*partition, entry.state)).collect()
    }

    /// Notes that a partition was assigned or taken away. What a restart has to bring back is known by this.
    pub fn assign(&self, partition: u32, assigned: bool) {
        if self.is_over() {
            return;
        }
        let mut all = self.tables.assigned.write().expect("no holder of this lock panics");
        let _ = if assigned { all.insert(partition) } else { all.remove(&partition) };
    }

    /// The partitions that were assigned; from here on they are assigned anew.
    pub fn take_assigned(&self) -> BTreeSet<u32> {
        std::mem::take(&mut *self.tables.assigned.write().expect("no holder of this lock panics"))
    }

    /// Resolves when the hosts' states satisfy `wanted`.
    pub async fn until(&self, wanted: impl Fn(&BTreeMap<u32, &'static str>) -> bool) {
        let mut changes = self.tables.changes.subscribe();
        while !wanted(&self.host_states()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn changed(&self) {
        self.tables.changes.send_modify(|changes| *changes += 1);
    }

    pub fn set_history(&self, history: Option<Recipient<Observed>>) {
        *self.tables.history.write().expect("no holder of this lock panics") = history;
    }

    pub fn history(&self) -> Option<Recipient<Observed>> {
        self.tables.history.read().expect("no holder of this lock panics").clone()
    }
}
