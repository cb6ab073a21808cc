//! What stories about effects share: a world with a deed, what its ledger says, other people's words in the log, and the points
//! around a call at which a process may die.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callboard_actors::{Node, Roles};
use callboard_domain::event::{Event, InvocationSettled, Settlement};
use callboard_domain::ledger::{EffectReserved, Entry};
use callboard_domain::plan::EffectClass;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::fakes::Gate;
use callboard_ports::partition::partition_of;
use callboard_ports::record::{Headers, Record, Topic};
use callboard_ports::tool::Tool;

use crate::check::envelope;
use crate::deeds::Deed;
use crate::world::{Cast, PARTITIONS, World, command, conversation, pass, until};

pub const EFFECT: &str = "c1:k1:1:s0";

pub fn world_with(effect: EffectClass) -> (World, Arc<Deed>) {
    let deed = Deed::new("deed", effect);
    (World::with(Cast { others: vec![deed.clone() as Arc<dyn Tool>], ..Cast::default() }), deed)
}

fn stamped(write: impl FnOnce(Stamp<'_>) -> Vec<u8>) -> Vec<u8> {
    let (of, by) = (conversation("c1"), command("k1"));
    let at = "2026-01-01T00:00:00.000Z";
    write(Stamp { id: "told", conversation: &of, command: Some(&by), at, causation_id: "told" })
}

impl World {
    /// Entries of the ledger, as (type, attempt, what was committed).
    pub fn entries(&self) -> Vec<(String, u64, String)> {
        let read = |record: Record| {
            let envelope = envelope(&record);
            let payload = &envelope["payload"];
            let outcome = &payload["outcome"];
            let outcome =
                outcome["error"]["kind"].as_str().unwrap_or(if outcome.is_object() { "ok" } else { "" });
            let kind = envelope["type"].as_str().unwrap().trim_start_matches("Effect").to_owned();
            (kind, payload["attempt"].as_u64().unwrap(), outcome.to_owned())
        };
        self.log.records(Topic::ToolEffects).into_iter().map(read).collect()
    }

    pub async fn told(&self, event: Event) {
        let value = stamped(|stamp| wire::write_event(stamp, &event).unwrap());
        self.raw(Topic::ConversationEvents, "c1", value).await;
    }

    /// A person's word.
    pub async fn settled(&self, attempt: u32, settlement: Settlement) {
        let step = "s0".parse().unwrap();
        let (by, why, settle_command) = ("a person".into(), None, None);
        self.told(Event::InvocationSettled(InvocationSettled {
            version: 1,
            step,
            attempt,
            settlement,
            by,
            why,
            settle_command,
        }))
        .await;
    }

    /// Somebody else's entry.
    pub async fn entered(&self, entry: &Entry) {
        let value = stamped(|stamp| wire::write_ledger(stamp, entry).unwrap());
        let partition = partition_of(EFFECT.as_bytes(), PARTITIONS);
        self.foreign(Topic::ToolEffects, partition, &entry.key(), Headers::default(), value).await;
    }

    pub async fn doubted(&self) {
        until("it is in doubt", || self.count("c1", "ToolInvocationInDoubt") == 1).await;
    }

    pub async fn whole(&self, node: &Node) {
        self.answered(node, "c1", "k1").await;
        assert_eq!(self.audit("c1").answered, 1);
        self.equals_replay(node, "c1").await;
    }
}

pub fn entry(kind: &str, attempt: u64, outcome: &str) -> (String, u64, String) {
    (kind.to_owned(), attempt, outcome.to_owned())
}

pub fn ghost() -> Entry {
    Entry::EffectReserved(EffectReserved {
        effect_id: EFFECT.parse().unwrap(),
        attempt: 1,
        tool: "deed".into(),
        effect: EffectClass::Unsafe,
        owner: "ghost".into(),
        claim_ms: 10_000,
        timeout_ms: 20_000,
    })
}

pub fn worker() -> Roles {
    Roles { pools: vec!["default".into()], ..Roles::default() }
}

pub fn no_pool() -> Roles {
    Roles { pools: Vec::new(), ..World::roles() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Reserved,
    Called,
    Done,
    BeforeCommitted,
    BeforeResult,
    BeforeCommit,
}

impl Point {
    /// Brings a world to this point and kills it there.
    pub async fn crash(self, world: &World, deed: &Deed) {
        let refuse = |topic| world.refusing.lock().unwrap().insert(topic);
        match self {
            Self::Reserved => world.ledger.close(),
            Self::Called => deed.before.close(),
            Self::BeforeCommit => world.forgetting.store(true, Ordering::SeqCst),
            _ => deed.after.close(),
        }
        let _running = world.start();
        world.say("c1", "k1", "deed pay").await;
        match self {
            Self::Reserved => until("it is reserved", || world.entries().len() == 1).await,
            Self::Called => until("it is called", || deed.begun() == 1).await,
            Self::BeforeCommit => {
                until("it is told", || world.count("c1", "ToolInvocationResulted") == 1).await;
            }
            _ => until("it is done", || deed.done() == 1).await,
        }
        if self == Self::BeforeCommitted {
            refuse(Topic::ToolEffects);
            deed.after.open();
            pass(1).await;
        }
        if self == Self::BeforeResult {
            refuse(Topic::ConversationEvents);
            deed.after.open();
            until("it is committed", || world.entries().len() == 2).await;
            pass(1).await;
        }
        world.crash().await;
        world.refusing.lock().unwrap().clear();
        world.forgetting.store(false, Ordering::SeqCst);
        [&deed.before, &deed.after, &world.ledger].into_iter().for_each(Gate::open);
    }
}
