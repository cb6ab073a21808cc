//! What comes from outside: commands, sent until the log says that it has them; a person who settles what is in doubt
//! and decides what asks for approval; garbage.

use std::sync::Arc;

use callboard_domain::command::{ApprovalDecision, Command, InvocationSettleRequest};
use callboard_domain::event::{Approval, Settlement};
use callboard_domain::id::{CommandId, ConversationId, EffectId};
use callboard_domain::json::RawJson;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::partition::partition_of;
use callboard_ports::record::{Headers, NewRecord, Topic};
use serde_json::json;

use crate::courier::Courier;
use crate::dice::drawn;
use crate::fault::Fault;
use crate::workload::Ask;
use crate::world::World;

/// The door of the run.
pub struct Gateway {
    world: Arc<World>,
    courier: Arc<Courier>,
}

impl Gateway {
    #[must_use]
    pub fn open(world: &Arc<World>) -> Self {
        Self { world: world.clone(), courier: Courier::start(world, "gateway") }
    }

    /// Sends every command at its time.
    pub fn play(&self, asks: Vec<Ask>) {
        for ask in asks {
            let (world, courier) = (self.world.clone(), self.courier.clone());
            tokio::spawn(async move {
                world.pass(ask.at_ms).await;
                if ask.repeated {
                    let words = format_args!("{}", ask.id);
                    world.trace().fault(world.now_ms(), Fault::CommandRepeated, words);
                }
                send(world, courier, ask.conversation, ask.id, ask.command).await;
            });
        }
    }

    /// Settles a step in doubt, as somebody does who has asked the service.
    pub fn settle(&self, number: usize, effect: EffectId, attempt: u32) {
        let key = effect.to_string();
        let times = self.world.outside.done(&key);
        let settlement = if times > 0 {
            Settlement::Done(RawJson::from_value(&json!({ "n": times, "of": key })))
        } else {
            self.world.outside.forbid(&key, attempt);
            Settlement::NotDone
        };
        let conversation = effect.conversation.clone();
        let (by, why) = ("somebody".into(), None);
        let request =
            InvocationSettleRequest { effect_id: effect, attempt: Some(attempt), settlement, by, why };
        let id = CommandId::new(&format!("settle{number}")).expect("letters and digits are an id");
        let command = Command::InvocationSettleRequested(request);
        tokio::spawn(send(self.world.clone(), self.courier.clone(), conversation, id, command));
    }

    /// Says a word on a step that asks for approval, as the seed has it for this effect; sometimes none, and then its time
    /// runs out.
    pub fn approve(&self, number: usize, effect: EffectId) {
        let key = effect.to_string();
        let silent = u64::from(!self.world.mix.calm);
        let decision = match drawn(self.world.seed, &[key.as_str(), "word"], 5 + silent) {
            0..=2 => Approval::Approved,
            3 => Approval::ApprovedWith(RawJson::from_value(&json!({ "n": 7, "by": "somebody" }))),
            4 => Approval::Rejected,
            _ => return,
        };
        let conversation = effect.conversation.clone();
        let given = ApprovalDecision { effect_id: effect, decision, by: "somebody".into(), reason: None };
        let id = CommandId::new(&format!("approve{number}")).expect("letters and digits are an id");
        tokio::spawn(send(
            self.world.clone(),
            self.courier.clone(),
            conversation,
            id,
            Command::ApprovalGiven(given),
        ));
    }

    /// Writes something that nobody can read.
    pub fn litter(&self) {
        const TOPICS: [Topic; 4] = [
            Topic::UserCommands,
            Topic::ConversationEvents,
            Topic::ToolInvocationRequests,
            Topic::SynthesisRequests,
        ];
        let world = &self.world;
        let topic = *world.dice().pick(&TOPICS);
        let partition = world.between(0, u64::from(world.mix.partitions) - 1) as u32;
        let number = world.between(0, 9);
        let key = format!("c{number}");
        let value = match world.between(0, 3) {
            0 => b"what is this".to_vec(),
            1 => b"{\"id\":\"1\",\"type\":\"PlanGenerated\"}".to_vec(),
            2 => Vec::new(),
            // An envelope of another conversation, and of a payload that is none.
            _ => br#"{"id":"i","type":"UserQueryReceived","version":1,"conversation_id":"other","at":"2030-01-01T00:00:00.000Z","causation_id":"i","payload":{}}"#.to_vec(),
        };
        world.trace().fault(world.now_ms(), Fault::Garbage, format_args!("{topic}/{partition}"));
        world.land(NewRecord {
            topic,
            partition,
            key: key.into(),
            headers: Headers::default(),
            value: value.into(),
        });
    }
}

/// Sends a command until the log has it, or the sender gives up.
async fn send(
    world: Arc<World>,
    courier: Arc<Courier>,
    conversation: ConversationId,
    id: CommandId,
    command: Command,
) {
    /// A client that has no answer tries again, not for ever.
    const TRIES: u32 = 4;
    for _ in 0..TRIES {
        let stamp = Stamp {
            id: id.as_str(),
            conversation: &conversation,
            command: Some(&id),
            at: "2030-01-01T00:00:00.000Z",
            causation_id: id.as_str(),
        };
        let value = wire::write_command(stamp, &command).expect("a command can be written");
        let key = conversation.as_str().to_owned();
        let partition = partition_of(key.as_bytes(), world.mix.partitions);
        let record = NewRecord {
            topic: Topic::UserCommands,
            partition,
            key: key.into(),
            headers: Headers::default(),
            value: value.into(),
        };
        if matches!(courier.send(vec![record]).await, Ok(Ok(_))) {
            world.known().acknowledged.entry(conversation).or_default().insert(id);
            return;
        }
        let pause_ms = world.between(50, 1_000);
        world.pass(pause_ms).await;
    }
}
