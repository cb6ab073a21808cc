//! Who is where: the registry id → address, and nothing else. HTTP threads look conversations up here; the
//! partition hosts write it.

use std::collections::BTreeMap;
use std::sync::RwLock;

use actix::{Addr, Recipient};
use callboard_domain::id::ConversationId;
use dashmap::DashMap;

use crate::conversation::Conversation;
use crate::history::Observed;
use crate::host::Host;

/// Addresses of live actors.
#[derive(Default)]
pub struct Directory {
    conversations: DashMap<ConversationId, Addr<Conversation>>,
    hosts: RwLock<BTreeMap<u32, HostEntry>>,
    history: RwLock<Option<Recipient<Observed>>>,
}

#[derive(Clone)]
struct HostEntry {
    addr: Addr<Host>,
    state: &'static str,
}

impl Directory {
    /// The address of a live conversation. Clones it: no guard survives the call.
    pub fn conversation(&self, id: &ConversationId) -> Option<Addr<Conversation>> {
        self.conversations.get(id).map(|entry| entry.value().clone())
    }

    pub fn enter(&self, id: ConversationId, addr: Addr<Conversation>) {
        self.conversations.insert(id, addr);
    }

    pub fn leave(&self, id: &ConversationId) {
        self.conversations.remove(id);
    }

    pub fn host(&self, partition: u32) -> Option<Addr<Host>> {
        self.hosts
            .read()
            .expect("no holder of this lock panics")
            .get(&partition)
            .map(|entry| entry.addr.clone())
    }

    /// All hosts in partition order.
    pub fn hosts(&self) -> Vec<Addr<Host>> {
        self.hosts
            .read()
            .expect("no holder of this lock panics")
            .values()
            .map(|entry| entry.addr.clone())
            .collect()
    }

    pub fn enter_host(&self, partition: u32, addr: Addr<Host>, state: &'static str) {
        let mut hosts = self.hosts.write().expect("no holder of this lock panics");
        hosts.insert(partition, HostEntry { addr, state });
    }

    pub fn leave_host(&self, partition: u32) {
        self.hosts.write().expect("no holder of this lock panics").remove(&partition);
    }

    /// Every known partition and how far its host has come.
    pub fn host_states(&self) -> BTreeMap<u32, &'static str> {
        let hosts = self.hosts.read().expect("no holder of this lock panics");
        hosts.iter().map(|(partition, entry)| (*partition, entry.state)).collect()
    }

    pub fn set_history(&self, history: Option<Recipient<Observed>>) {
        *self.history.write().expect("no holder of this lock panics") = history;
    }

    pub fn history(&self) -> Option<Recipient<Observed>> {
        self.history.read().expect("no holder of this lock panics").clone()
    }
}
