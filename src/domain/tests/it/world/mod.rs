//! A world with virtual time around the pure core: a log, commands, hosts that read it, and a scripted
//! outside (planner, tools, synthesizer). Deterministic: one script gives one log.

mod essence;
pub mod hand;
mod host;
mod outside;
pub mod script;
pub mod tools;

use std::collections::BTreeMap;

use callboard_domain::command::{
    ApprovalDecision, Asked, Command, HistoryReset, InvocationSettleRequest, PlanCancelRequest,
    RetryNowRequest, UserQuery, default_agent,
};
use callboard_domain::decide::{Decision, decide};
use callboard_domain::event::{Approval, Event, Settlement};
use callboard_domain::time::Millis;
use callboard_domain::wire::Readable;
use callboard_domain::{CommandId, ConversationId, EffectId, RawJson, Recorded, State, StepId, audit};

pub use essence::{bytes, ended, essence, gist, replay};
pub use host::Host;
pub use outside::{APPROVAL_MS, proposal};
use script::{Act, Script};
use tools::Tools;

/// When every world begins; far from zero, as real logs are.
pub const START_MS: Millis = 1_700_000_000_000;

pub fn conversation() -> ConversationId {
    ConversationId::new("c1").unwrap()
}

/// The command id of the question with this index.
pub fn turn_id(index: usize) -> CommandId {
    CommandId::new(&format!("turn-{index}")).unwrap()
}

pub fn query(text: &str) -> UserQuery {
    UserQuery { message: text.into(), agent: default_agent(), principal: None, metadata: None, history: None }
}

/// The event that accepts question 0.
pub fn received(tools: &Tools) -> Event {
    let asked = Asked { id: turn_id(0), command: Command::UserQueryReceived(query("question 0")) };
    match decide(&State::new(conversation()), &asked, tools, 0) {
        Decision::Append { event, .. } => event,
        Decision::Known => unreachable!("nothing is known yet"),
    }
}

/// A record as it would be read back.
pub fn recorded(offset: u64, timestamp_ms: Millis, command: Option<&CommandId>, event: Event) -> Recorded {
    Recorded { offset, timestamp_ms, command: command.cloned(), body: Readable::Event(event) }
}

pub struct World {
    pub log: Vec<Recorded>,
    pub now: Millis,
    pub hosts: Vec<Host>,
    script: Script,
    tools: Tools,
    /// Not yet asked, in order of time.
    coming: Vec<(Millis, Asked)>,
    asked: Vec<Asked>,
    /// What the outside will say, by time and order of asking.
    flights: BTreeMap<(Millis, u64), (CommandId, Event)>,
    flown: u64,
}

impl World {
    /// One host per lag.
    pub fn new(script: Script, lags_ms: &[Millis]) -> Self {
        let mut tools = Tools::default();
        tools.limits.turn_timeout_ms = script.turn_timeout_ms;
        tools.limits.max_rounds = script.max_rounds;
        tools.token_budget = script.token_budget;
        let hosts = lags_ms.iter().map(|lag| Host::from(State::new(conversation()), *lag)).collect();
        let coming = commands(&script);
        Self {
            log: Vec::new(),
            now: START_MS,
            hosts,
            script,
            tools,
            coming,
            asked: Vec::new(),
            flights: BTreeMap::new(),
            flown: 0,
        }
    }

    /// A world that has run until nothing is left to do.
    pub fn ran(script: Script, lags_ms: &[Millis]) -> Self {
        let mut world = Self::new(script, lags_ms);
        world.run();
        world
    }

    pub fn run(&mut self) {
        let mut instants = 0;
        while self.instant() {
            instants += 1;
            assert!(instants < 20_000, "the world does not come to rest: {:?}", self.script);
        }
    }

    /// Plays everything that happens now, then moves the clock on; `false` when nothing is left.
    pub fn instant(&mut self) -> bool {
        while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (command, event) = entry.remove();
            self.append(Some(&command), event);
        }
        while self.coming.first().is_some_and(|(at, _)| *at <= self.now) {
            self.asked.push(self.coming.remove(0).1);
        }
        // Until nobody says anything more at this instant.
        let mut said = usize::MAX;
        while said != self.log.len() {
            said = self.log.len();
            (0..self.hosts.len()).for_each(|i| self.host_acts(i));
        }
        let next = self.hosts.iter().filter_map(|host| host.wake_at(&self.log, self.asked.len(), self.now));
        let outside = self.flights.keys().map(|(at, _)| *at).chain(self.coming.iter().map(|(at, _)| *at));
        match next.chain(outside).min() {
            Some(at) => {
                self.now = at.max(self.now);
                true
            }
            None => false,
        }
    }

    /// Host `i` reads, decides and issues once.
    fn host_acts(&mut self, i: usize) {
        self.hosts[i].read(&self.log, self.now);
        if let Some((command, event)) = self.hosts[i].decide(&self.asked, self.now, &self.tools) {
            self.append(Some(&command), event);
        }
        for effect in self.hosts[i].issue(self.now) {
            let state = &self.hosts[i].state;
            let said = outside::answer(&effect, state, &self.script, &self.tools, self.now);
            for (after_ms, command, event) in said {
                if after_ms == 0 {
                    self.append(Some(&command), event);
                } else {
                    self.flown += 1;
                    let at = self.now.saturating_add_unsigned(after_ms);
                    self.flights.insert((at, self.flown), (command, event));
                }
            }
        }
    }

    pub fn append(&mut self, command: Option<&CommandId>, event: Event) {
        let offset = u64::try_from(self.log.len()).unwrap();
        self.log.push(recorded(offset, self.now, command, event));
    }

    /// The host dies and another takes over from `snapshot`; its planner calls and the like die with it if
    /// `losing` says so.
    pub fn take_over(&mut self, snapshot: State, losing: bool) {
        self.hosts = vec![Host::from(snapshot, 0)];
        if losing {
            // What people have to say does not die with a host.
            self.flights.retain(|_, (_, event)| matches!(event, Event::ApprovalRecorded(_)));
        }
    }

    /// The first host's state.
    pub fn state(&self) -> &State {
        &self.hosts[0].state
    }

    /// What the audit finds in a world at rest.
    pub fn audit(&self) -> audit::Report {
        audit::conversation(&conversation(), &self.log, true)
    }
}

/// A step of the first plan of a question, by their indexes.
fn effect(turn: usize, step: usize) -> EffectId {
    let step = StepId::new(&format!("s{step}")).unwrap();
    EffectId { conversation: conversation(), command: turn_id(turn), version: 1, step }
}

fn commands(script: &Script) -> Vec<(Millis, Asked)> {
    let mut at = START_MS;
    let (mut coming, mut turns) = (Vec::new(), 0_usize);
    for (i, (gap, act)) in script.acts.iter().enumerate() {
        at = at.saturating_add_unsigned(*gap);
        let own = CommandId::new(&format!("act-{i}")).unwrap();
        let ask =
            |turn: usize| (turn_id(turn), Command::UserQueryReceived(query(&format!("question {turn}"))));
        let (id, command) = match act {
            Act::Ask(_) => {
                turns += 1;
                ask(turns - 1)
            }
            Act::AskAgain(turn) => ask(turn % turns),
            Act::Cancel(turn) => {
                let (turn_command_id, by) = (turn_id(*turn), Some("tester".into()));
                (own, Command::PlanCancelRequested(PlanCancelRequest { turn_command_id, by, reason: None }))
            }
            Act::Reset => (own, Command::UserHistoryReset(HistoryReset { by: None })),
            Act::Settle { turn, step, done } => {
                let settlement = match done {
                    true => Settlement::Done(RawJson::parse(r#"{"of":"a person's word"}"#).unwrap()),
                    false => Settlement::NotDone,
                };
                let (effect_id, by) = (effect(*turn, *step), "tester".into());
                let request = InvocationSettleRequest { effect_id, attempt: None, settlement, by, why: None };
                (own, Command::InvocationSettleRequested(request))
            }
            Act::RetryNow { turn, step } => {
                let request = RetryNowRequest { effect_id: effect(*turn, *step), by: None };
                (own, Command::RetryNowRequested(request))
            }
            Act::Decide { turn, step, word } => {
                let decision = outside::decision(*word).unwrap_or(Approval::Approved);
                let (effect_id, by) = (effect(*turn, *step), "tester".into());
                (own, Command::ApprovalGiven(ApprovalDecision { effect_id, decision, by, reason: None }))
            }
        };
        coming.push((at, Asked { id, command }));
    }
    coming
}
