//! What users ask in a run: a few conversations, questions whose message *is* the plan that the planner will make of it,
//! cancels, resets, and the same command twice.

use std::collections::BTreeMap;

use callboard_domain::command::{Command, HistoryReset, PlanCancelRequest, UserQuery};
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::json::RawJson;
use callboard_domain::plan::{OnFailure, Proposal, ProposedStep, Then};
use callboard_ports::partition::partition_of;
use serde_json::json;

use crate::dice::Dice;
use crate::fault::Fault;
use crate::mix::Mix;

/// A command and when it is sent.
#[derive(Debug, Clone)]
pub struct Ask {
    pub at_ms: u64,
    pub conversation: ConversationId,
    pub id: CommandId,
    pub command: Command,
    /// Sent before, with this id.
    pub repeated: bool,
}

/// The tools that questions use; what they do is in `tools`.
pub const TOOLS: [&str; 7] = ["pure", "skip", "again", "slow", "once", "probed", "asked"];
/// A tool that is used in the end only, so that nobody has reason to mistrust it.
pub const LAST_TOOL: &str = "last";

/// All commands of a run, by time.
#[must_use]
pub fn draw(dice: &mut Dice, mix: &Mix) -> Vec<Ask> {
    let mut asks = Vec::new();
    let flood = !mix.calm && dice.happens(100);
    let conversations = if flood { dice.between(1, 3) } else { dice.between(1, 6) };
    for c in 0..conversations {
        let conversation = id(&format!("c{c}"), ConversationId::new);
        let questions = if flood { dice.between(12, 30) } else { dice.between(1, 4) };
        let spread_ms = if flood { 200 } else { mix.faults_until_ms * 2 / 3 };
        let mut turns: Vec<CommandId> = Vec::new();
        for q in 0..questions {
            let turn = id(&format!("c{c}q{q}"), CommandId::new);
            turns.push(turn.clone());
            let at_ms = dice.below(spread_ms);
            let command = Command::UserQueryReceived(question(dice, flood));
            asks.push(Ask { at_ms, conversation: conversation.clone(), id: turn, command, repeated: false });
        }
        for n in 0..dice.below(3) {
            let command = if dice.happens(250) {
                Command::UserHistoryReset(HistoryReset { by: None })
            } else {
                let turn_command_id = dice.pick(&turns).clone();
                Command::PlanCancelRequested(PlanCancelRequest { turn_command_id, by: None, reason: None })
            };
            let own = id(&format!("c{c}x{n}"), CommandId::new);
            let at_ms = dice.below(mix.faults_until_ms);
            let conversation = conversation.clone();
            asks.push(Ask { at_ms, conversation, id: own, command, repeated: false });
        }
    }
    for i in 0..asks.len() {
        if dice.happens(mix.rate(Fault::CommandRepeated)) {
            let mut again = asks[i].clone();
            again.repeated = true;
            again.at_ms += dice.below(mix.faults_until_ms / 2);
            asks.push(again);
        }
    }
    if mix.calm {
        // When everybody has joined: a partition that moves takes its work along.
        asks.iter_mut().for_each(|ask| ask.at_ms += 2_000);
    }
    asks.sort_by_key(|ask| ask.at_ms);
    asks
}

/// One more question for every partition, of conversations that are new, for when everything is at rest again.
#[must_use]
pub fn encore(partitions: u32) -> Vec<Ask> {
    let name = |number: u32| format!("encore{number}");
    let mut asks: BTreeMap<u32, Ask> = BTreeMap::new();
    for number in 0.. {
        let partition = partition_of(name(number).as_bytes(), partitions);
        asks.entry(partition).or_insert_with(|| {
            let (id_text, arguments) =
                (format!("encore{number}q"), RawJson::from_value(&json!({ "n": number })));
            let step = ProposedStep {
                id: "s0".to_owned(),
                tool: LAST_TOOL.to_owned(),
                arguments,
                depends_on: Vec::new(),
                on_failure: None,
            };
            let plan = vec![Proposal { steps: vec![step], ..Proposal::default() }];
            Ask {
                at_ms: 0,
                conversation: id(&name(number), ConversationId::new),
                id: id(&id_text, CommandId::new),
                command: Command::UserQueryReceived(asking(&plan)),
                repeated: false,
            }
        });
        if asks.len() == partitions as usize {
            break;
        }
    }
    asks.into_values().collect()
}

fn asking(rounds: &[Proposal]) -> UserQuery {
    let message = serde_json::to_string(rounds).expect("a proposal can be written");
    UserQuery {
        message: message.into(),
        agent: "default".into(),
        principal: None,
        metadata: None,
        history: None,
    }
}

fn id<T, E: std::fmt::Debug>(text: &str, of: impl Fn(&str) -> Result<T, E>) -> T {
    of(text).expect("letters and digits are an id")
}

fn question(dice: &mut Dice, short: bool) -> UserQuery {
    let rounds = if short { 1 } else { dice.between(1, 3) };
    let rounds: Vec<Proposal> = (0..rounds).map(|_| round(dice, short)).collect();
    asking(&rounds)
}

fn round(dice: &mut Dice, short: bool) -> Proposal {
    let steps = if short { dice.below(2) } else { dice.below(5) };
    let mut proposal = Proposal::default();
    for s in 0..steps {
        let tool = *dice.pick(&TOOLS);
        let mut arguments = json!({ "n": dice.below(100) });
        let mut depends_on = Vec::new();
        if s > 0 && dice.happens(500) {
            let before = format!("s{}", dice.below(s));
            if dice.happens(500) {
                arguments["of"] = format!("${{{before}.n}}").into();
            } else {
                depends_on.push(before);
            }
        }
        let on_failure =
            dice.happens(500).then(|| *dice.pick(&[OnFailure::Fail, OnFailure::Skip, OnFailure::Replan]));
        let arguments = RawJson::from_value(&arguments);
        proposal.steps.push(ProposedStep {
            id: format!("s{s}"),
            tool: tool.to_owned(),
            arguments,
            depends_on,
            on_failure,
        });
    }
    if dice.happens(300) {
        proposal.then = Then::Continue;
    }
    proposal
}
