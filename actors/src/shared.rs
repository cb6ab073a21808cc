//! What the actors of a node share: ports, limits, metrics, directory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

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

use crate::breaker::Breakers;
use crate::directory::Directory;
use crate::fenced::FencedSnapshots;
use crate::gauges::Gauges;
use crate::limits::Limits;
use crate::node::{Fatal, Root};
use crate::observe::Metrics;
use crate::streams::{Reader, Streams};
use crate::tenure::Tenure;

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

/// Everything that is the same for all actors of one node. A clone shares all of it.
#[derive(Clone)]
pub struct Shared {
    pub ports: Ports,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    pub directory: Arc<Directory>,
    pub breakers: Arc<Breakers>,
    pub gauges: Arc<Gauges>,
    /// Answers that are being written here, or watched.
    pub streams: Arc<Streams>,
    pub reader: Arc<Reader>,
    /// This process in events' `worker` fields.
    pub worker_name: Arc<str>,
    /// The root of the tree.
    pub root: Arc<Mutex<Root>>,
    /// Why the node cannot go on.
    pub fatal: watch::Sender<Option<Fatal>>,
    /// The membership that the lanes of a group share; nobody else has one.
    pub tenure: Option<Arc<Tenure>>,
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
    /// The same for the lanes of one membership: when it is over, nothing that they do counts any more.
    pub fn during(&self, tenure: &Arc<Tenure>) -> Arc<Self> {
        let mut during = self.clone();
        let snapshots = FencedSnapshots { store: self.ports.snapshots.clone(), tenure: tenure.clone() };
        during.ports.snapshots = Arc::new(snapshots);
        during.directory = Arc::new(self.directory.during(tenure));
        during.tenure = Some(tenure.clone());
        Arc::new(during)
    }

    pub fn root(&self) -> MutexGuard<'_, Root> {
        self.root.lock().expect("no holder of this lock panics")
    }

    /// Whether the membership that this is shared by is over: its successor does all that is left.
    pub fn is_over(&self) -> bool {
        self.tenure.as_ref().is_some_and(|tenure| tenure.is_over())
    }

    /// The node cannot go on; the first reason counts.
    pub fn fail(&self, fatal: Fatal) {
        if self.is_over() {
            // A membership that is over is fenced by its own successor.
            tracing::info!(%fatal, "not so: this part of the node has a successor");
            return;
        }
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
            )
            .into(),
            value: value.into(),
        }
    }
}
