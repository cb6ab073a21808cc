//! People who watch answers while they are being written, in every life of a process that hosts conversations. What somebody
//! has of one epoch must be the beginning of something that a model was writing: in order, no piece twice, none missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callboard_actors::Node;
use callboard_domain::audit::Violation;
use callboard_domain::id::{CommandId, ConversationId};

use crate::world::World;

/// How often somebody looks for turns to watch.
const LOOK_MS: u64 = 60;

/// What was written, and what was heard of it.
#[derive(Default)]
pub struct Audience(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    /// Everything that a model has begun to write, whole, by conversation.
    written: BTreeMap<String, Vec<String>>,
    heard: u64,
    violations: Vec<Violation>,
}

impl Audience {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A model begins to write `text`.
    pub fn writes(&self, conversation: &str, text: &str) {
        self.notes().written.entry(conversation.to_owned()).or_default().push(text.to_owned());
    }

    /// Epochs of which somebody heard something.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.notes().heard
    }

    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.notes().violations.clone()
    }

    fn judge(&self, conversation: &ConversationId, epoch: &str, text: &str) {
        let mut notes = self.notes();
        let written = notes.written.get(conversation.as_str());
        if !written.is_some_and(|written| written.iter().any(|whole| whole.starts_with(text))) {
            notes.violations.push(Violation {
                invariant: "said_as_written",
                conversation: conversation.clone(),
                detail: format!("in epoch {epoch} somebody has {text:?}, which no model wrote"),
            });
        }
    }
}

/// Watches turns for as long as the process lives.
pub async fn attend(world: Arc<World>, node: Node) {
    let mut seen = BTreeSet::new();
    loop {
        world.pass(LOOK_MS).await;
        for (conversation, command) in open_turns(&world) {
            if seen.insert((conversation.clone(), command.clone())) {
                tokio::task::spawn_local(watch(world.clone(), node.clone(), conversation, command));
            }
        }
    }
}

fn open_turns(world: &World) -> Vec<(ConversationId, CommandId)> {
    let known = world.known();
    let open = known
        .states
        .iter()
        .flat_map(|(id, state)| state.open.iter().map(move |turn| (id.clone(), turn.command.clone())));
    open.collect()
}

async fn watch(world: Arc<World>, node: Node, conversation: ConversationId, command: CommandId) {
    /// Who watches looks by himself, too: a process may stand still.
    const LOOK_AGAIN_MS: u64 = 500;
    let Ok(mut watch) = node.watch_answer(&conversation, &command).await else { return };
    let mut has: Option<(Arc<str>, String)> = None;
    loop {
        let is_open = {
            let known = world.known();
            let turns = known.states.get(&conversation).map(|state| &state.open);
            turns.is_some_and(|turns| turns.iter().any(|turn| turn.command == command))
        };
        while let Some(said) = watch.answer.since(has.as_ref().map(|(epoch, text)| (&**epoch, text.len()))) {
            match &mut has {
                Some((epoch, text)) if *epoch == said.epoch => text.push_str(&said.text),
                _ => {
                    world.audience.notes().heard += 1;
                    let words = format_args!("somebody hears {conversation} in epoch {}", said.epoch);
                    world.trace().note(world.now_ms(), words);
                    has = Some((said.epoch.clone(), said.text));
                }
            }
            if let Some((epoch, text)) = &has {
                world.audience.judge(&conversation, epoch, text);
            }
        }
        if !is_open {
            return;
        }
        tokio::select! {
            biased;
            () = watch.answer.grown() => {}
            () = world.pass(LOOK_AGAIN_MS) => {}
        }
    }
}
