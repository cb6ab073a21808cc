//! What the actors of a node share: ports, limits, metrics, directory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use actix::Addr;

use callboard_domain::event::Event;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::clock::{Clock, Entropy};
use callboard_ports::headers::{self, Family};
use callboard_ports::in_hand::InHand;
use callboard_ports::inbox::Inbox;
use callboard_ports::log::Log;
use callboard_ports::model::{Planner, Synthesizer};
use callboard_ports::placement::{Blocking, Placement};
use callboard_ports::record::{NewRecord, Topic};
use callboard_ports::snapshot::SnapshotStore;
use callboard_ports::tool::ToolRegistry;
use tokio::sync::watch;

use crate::directory::Directory;
use crate::guardian::Guardian;
use crate::limits::Limits;
use crate::node::Fatal;
use crate::observe::Metrics;

/// The world as the actors see it.
#[derive(Clone)]
pub struct Ports {
    pub log: Arc<dyn Log>,
    pub inbox: Arc<dyn Inbox>,
    pub snapshots: Arc<dyn SnapshotStore>,
    pub planner: Arc<dyn Planner>,
    pub synthesizer: Arc<dyn Synthesizer>,
    pub tools: Arc<dyn ToolRegistry>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub placement: Arc<dyn Placement>,
    pub blocking: Arc<dyn Blocking>,
    pub in_hand: Arc<dyn InHand>,
}

/// Which parts of the system this process is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// Hosts conversations (and plans for them).
    pub host: bool,
    /// Tool pools by name.
    pub pools: Vec<String>,
    pub synthesis: bool,
    /// The history projection and the file that it keeps.
    pub history: Option<PathBuf>,
}

/// Everything that is the same for all actors of one node.
pub struct Shared {
    pub ports: Ports,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    pub directory: Arc<Directory>,
    /// This process in events' `worker` fields.
    pub worker_name: Arc<str>,
    /// The root of the tree, while there is one.
    pub guardian: Mutex<Option<Addr<Guardian>>>,
    /// Why the node cannot go on.
    pub fatal: watch::Sender<Option<Fatal>>,
}

/// About whom and because of what a record is written.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    pub conversation: &'a ConversationId,
    pub command: Option<&'a CommandId>,
    pub causation_id: &'a str,
    pub traceparent: Option<&'a str>,
}

impl Shared {
    /// The node cannot go on; the first reason counts.
    pub fn fail(&self, fatal: Fatal) {
        self.fatal.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(fatal);
            }
            first
        });
    }

    pub fn now_ms(&self) -> i64 {
        self.ports.clock.now_ms()
    }

    /// An event as a record for `partition` of `conversation-events`.
    pub fn event_record(&self, about: About<'_>, partition: u32, event: &Event) -> NewRecord {
        let (id, at) = (self.ports.entropy.new_id(), rfc3339(self.now_ms()));
        let stamp = Stamp {
            id: &id,
            conversation: about.conversation,
            command: about.command,
            at: &at,
            causation_id: about.causation_id,
        };
        let value = wire::write_event(stamp, event).expect("an event built by this crate can be written");
        NewRecord {
            topic: Topic::ConversationEvents,
            partition,
            key: about.conversation.as_str().to_owned().into(),
            headers: headers::cloud_event(
                Family::Event,
                event.name(),
                event.version(),
                &id,
                about.conversation,
                &at,
                about.traceparent,
            ),
            value: value.into(),
        }
    }
}
