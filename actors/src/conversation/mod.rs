//! The conversation actor: a shell around a `State`. A switchboard only: records go to the domain's fold,
//! outstanding work comes from the domain's `due`, and this file carries the one to the other.
//!
//! Neighbours: `orders` (commands, one at a time), `issue` (effects become work under way) with `requests` (and records),
//! `waiting` (who wants to know), `host` (its parent, which routes records to it and keeps its timers).

mod issue;
mod orders;
mod planted;
mod requests;
mod shorten;
mod waiting;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, ResponseFuture};
use callboard_domain::conversation::{Applied, Ignored};
use callboard_domain::due::{Due, due};
use callboard_domain::event::Event;
use callboard_domain::id::CommandId;
use callboard_domain::open_turns::{OpenBrief, briefs};
use callboard_domain::planted::Defect;
use callboard_domain::wire::Readable;
use callboard_domain::{State, apply};
use callboard_ports::log::LogIdentity;
use callboard_ports::snapshot::{self, Open};

pub use issue::{AppendFailed, Planned};
pub use orders::{Order, Orders};
pub use waiting::{AwaitCommand, AwaitEnd, Busy, Came, Subscribe, Subscribed, asked_by};

use crate::crash_point::crash_point;
use crate::decode::Decoded;
use crate::host::HostContext;
use crate::limits::CONVERSATION_MAILBOX;
use crate::observe::{ActorView, Show};
use crate::supervise::{Ending, EndingCell, Kill};

/// Records of this conversation, in log order.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Events {
    pub decoded: Arc<Decoded>,
    /// Indexes into `decoded.items`.
    pub items: Vec<u32>,
}

/// Runs a look on the state.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Look(pub Box<dyn FnOnce(&State) + Send>);

/// Time has passed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Wake;

/// "Write your state down", and with `passivate`: "and go, if you have nothing to do".
#[derive(Message)]
#[rtype(result = "Snapshotted")]
pub struct TakeSnapshot {
    pub identity: LogIdentity,
    pub passivate_idle_ms: Option<u64>,
}

/// A state written down.
#[derive(Debug, actix::MessageResponse)]
pub struct Snapshotted {
    pub bytes: Vec<u8>,
    /// Records below are covered; `None`: all (a blocked conversation re-reads what follows from the log).
    pub covers: Option<u64>,
    /// What is open in it.
    pub open: Option<Open>,
    /// Whether the actor has stopped.
    pub passivated: bool,
}

/// What a conversation is at: its host asks when it has panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doing {
    #[default]
    Other,
    /// Deciding the command at this offset.
    Deciding(u64),
}

/// A conversation, live.
pub struct Conversation {
    state: State,
    host: Rc<HostContext>,
    addr: Addr<Self>,
    ending: EndingCell,
    doing: Rc<Cell<Doing>>,
    /// What the index knows to be open here; `None` until it has been told.
    open: Option<Vec<OpenBrief>>,
    orders: orders::OrderQueue,
    issued: issue::Issued,
    waiting: waiting::Waiting,
    /// Planner calls in a row that were not answered at all.
    planner_misses: u32,
    /// Trace context of the open turns' commands; volatile, for display in tracing tools only.
    traces: HashMap<CommandId, Arc<str>>,
    last_active_ms: u64,
    /// Open turns as last counted for the node.
    counted_open: i64,
}

impl Conversation {
    /// Moves a recovered state into an actor.
    pub(crate) fn new(
        state: State,
        orders: Vec<Order>,
        host: Rc<HostContext>,
        doing: Rc<Cell<Doing>>,
        addr: Addr<Self>,
        ending: EndingCell,
    ) -> Self {
        let last_active_ms = host.shared.ports.clock.monotonic_ms();
        host.shared.metrics.conversations_live.fetch_add(1, Relaxed);
        Self {
            state,
            host,
            addr,
            ending,
            doing,
            open: None,
            orders: orders::OrderQueue::with(orders),
            issued: issue::Issued::default(),
            waiting: waiting::Waiting::default(),
            planner_misses: 0,
            traces: HashMap::new(),
            last_active_ms,
            counted_open: 0,
        }
    }

    fn path(&self) -> String {
        format!("{}/{}", self.host.path, self.state.conversation)
    }

    /// Decides what can be decided, issues what is due, and says when to look again. Called after every input;
    /// recovery is the first call.
    fn step(&mut self) {
        if self.host.orders.is_revoked() && !callboard_domain::planted::is(Defect::IssueAfterRevocation) {
            // The partition is somebody else's: nothing is issued any more.
            return;
        }
        let mut out = issue::Outgoing::default();
        self.decide_next(&mut out);
        let now_ms = self.host.shared.now_ms();
        let due = due(&self.state, now_ms);
        self.issue(&due.effects, &mut out);
        self.send(out);
        let leases = self.issued.first_lapse_in_ms(self.host.shared.ports.clock.monotonic_ms());
        let deciding = self.orders.lapses_in_ms(self.host.shared.ports.clock.monotonic_ms());
        let volatile =
            leases.into_iter().chain(deciding).min().map(|in_ms| now_ms.saturating_add_unsigned(in_ms));
        self.host.wakes.set(&self.state.conversation, due.wake_at_ms.into_iter().chain(volatile).min());
        self.tell_what_is_open(now_ms);
        let open = i64::try_from(self.state.open.len()).unwrap_or(i64::MAX);
        let more = open - std::mem::replace(&mut self.counted_open, open);
        self.host.shared.metrics.turns_live.fetch_add(more, Relaxed);
    }

    fn tell_what_is_open(&mut self, now_ms: i64) {
        let open = briefs(&self.state, now_ms);
        if self.open.as_ref() != Some(&open) {
            self.host.open.set(&self.state.conversation, &open);
            self.open = Some(open);
        }
    }

    fn fold(&mut self, decoded: &Arc<Decoded>, items: &[u32]) {
        let metrics = &self.host.shared.metrics;
        for item in items.iter().map(|i| &decoded.items[*i as usize]) {
            let applied = apply(&mut self.state, &item.recorded);
            match applied {
                Applied::Changed => {
                    crash_point!("event_read_back");
                    metrics.events_applied.fetch_add(1, Relaxed);
                    if let Readable::Event(event) = &item.recorded.body {
                        count_turn(metrics, event);
                        self.host.observe(&self.state, &item.recorded, event);
                        if let (true, Some(command)) = (event.is_terminal(), &item.recorded.command) {
                            self.waiting.ended(&self.state, command.as_str());
                            self.traces.remove(command);
                        }
                    }
                }
                Applied::Ignored(Ignored::AlreadyApplied) => continue,
                Applied::Ignored(reason) => metrics.ignored(reason),
            }
            self.waiting.came(&item.recorded, applied == Applied::Changed);
            self.waiting.publish(&decoded.batch, item.at);
        }
        if let Some(blocked) = &self.state.blocked {
            tracing::error!(
                conversation = %self.state.conversation, offset = blocked.offset, kind = %blocked.kind,
                version = blocked.version, "this build cannot read a record: the conversation is held there"
            );
        }
    }

    /// Whether nothing is to be done now, and nobody waits: time and the log bring it back.
    fn is_idle(&self, idle_ms: u64, due: &Due) -> bool {
        let now = self.host.shared.ports.clock.monotonic_ms();
        due.effects.is_empty()
            && self.orders.is_empty()
            && self.waiting.is_empty()
            && now.saturating_sub(self.last_active_ms) >= idle_ms
    }

    fn touch(&mut self) {
        self.last_active_ms = self.host.shared.ports.clock.monotonic_ms();
    }
}

/// What is open in a state, and when it wants to be loaded again: at once where something is due (the oldest first), or
/// where a build that knows more may go on.
pub(crate) fn open_of(state: &State, now_ms: i64) -> Option<Open> {
    let (turns, due) = (briefs(state, now_ms), due(state, now_ms));
    let at_once = state.blocked.is_some() || !due.effects.is_empty();
    let since_ms = || state.running().map_or(state.clock_ms, |turn| turn.received_ms);
    let wake_at_ms = if at_once { Some(since_ms()) } else { due.wake_at_ms };
    (wake_at_ms.is_some() || !turns.is_empty()).then_some(Open { wake_at_ms, turns })
}

fn count_turn(metrics: &crate::observe::Metrics, event: &Event) {
    let counter = match event {
        Event::UserQueryReceived(_) => &metrics.turns_accepted,
        Event::FinalAnswerSynthesized(_) => &metrics.turns_answered,
        Event::PlanFailed(_) => &metrics.turns_failed,
        Event::PlanCancelled(_) => &metrics.turns_cancelled,
        _ => return,
    };
    counter.fetch_add(1, Relaxed);
}

impl Actor for Conversation {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if callboard_domain::planted::is(Defect::ForgetDue) && !self.state.open.is_empty() {
            return;
        }
        self.step();
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.host.shared.metrics.conversations_live.fetch_sub(1, Relaxed);
        self.host.shared.metrics.turns_live.fetch_sub(self.counted_open, Relaxed);
    }
}

impl Handler<Events> for Conversation {
    type Result = ();

    fn handle(&mut self, message: Events, _: &mut Self::Context) {
        self.touch();
        self.fold(&message.decoded, &message.items);
        self.step();
    }
}

impl Handler<Wake> for Conversation {
    type Result = ();

    fn handle(&mut self, _: Wake, _: &mut Self::Context) {
        self.step();
    }
}

impl Handler<Look> for Conversation {
    type Result = ();

    fn handle(&mut self, message: Look, _: &mut Self::Context) {
        self.touch();
        (message.0)(&self.state);
    }
}

impl Handler<TakeSnapshot> for Conversation {
    type Result = Snapshotted;

    fn handle(&mut self, message: TakeSnapshot, context: &mut Self::Context) -> Snapshotted {
        let stale = self.stale();
        let state = stale.as_ref().unwrap_or(&self.state);
        let bytes = snapshot::encode(state, self.host.partition, &message.identity);
        let now_ms = self.host.shared.now_ms();
        let due = due(&self.state, now_ms);
        let passivated = message.passivate_idle_ms.is_some_and(|idle_ms| self.is_idle(idle_ms, &due));
        if passivated {
            self.host.shared.directory.leave(&self.state.conversation, &self.addr);
            self.tell_what_is_open(now_ms);
            self.host.wakes.set(&self.state.conversation, due.wake_at_ms);
            self.ending.set(Ending::Passivated);
            context.stop();
        }
        let covers = if self.state.blocked.is_some() { None } else { Some(self.state.next_offset) };
        let open = open_of(&self.state, now_ms);
        Snapshotted { bytes, covers, open, passivated }
    }
}

impl Handler<Show> for Conversation {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let state = match (&self.state.blocked, self.state.running()) {
            (Some(_), _) => "blocked",
            (None, Some(_)) => "running",
            (None, None) => "idle",
        };
        let mut view = ActorView::new(&self.path(), "conversation", state, CONVERSATION_MAILBOX);
        view.work = serde_json::json!({
            "turns": self.state.turns,
            "open": self.state.open.len(),
            "issued": self.issued.len(),
            "commands": self.orders.len(),
            "offset": self.state.next_offset,
        });
        Box::pin(async move { view })
    }
}

impl Handler<Kill> for Conversation {
    type Result = bool;

    fn handle(&mut self, message: Kill, context: &mut Self::Context) -> bool {
        if !message.path.is_empty() {
            return false;
        }
        self.ending.die_as_told(message.how, &self.path(), context)
    }
}

crate::supervise::answers_ping!(Conversation);
