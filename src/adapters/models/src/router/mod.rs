//! Who is asked: the providers in their order, each with its share of the time. `planner`, `synthesizer` and `completer`
//! implement the ports; `budget` shares out the time. [`crate::assembly`] makes them from one [`Shared`].

mod budget;
mod completer;
mod planner;
mod synthesizer;

use std::sync::Arc;

pub(crate) use self::completer::CompleterRouter;
pub(crate) use self::planner::PlannerRouter;
pub(crate) use self::synthesizer::SynthesizerRouter;

use crate::agents::Agent;
use crate::calls::line::Line;
use crate::calls::tally::Prices;
use crate::config::ProviderName;

/// One that may be asked.
#[derive(Clone)]
pub(crate) enum Provider {
    Model(Line),
    Builtin,
}

/// A provider in the order of one request, with the model that is asked there.
#[derive(Clone)]
struct Choice {
    provider: Provider,
    /// `None`: the provider's own.
    model: Option<Arc<str>>,
}

/// What all routers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub providers: Arc<[Provider]>,
    pub prices: Prices,
    /// Of earlier exchanges in a prompt.
    pub history_bytes: usize,
}

impl Shared {
    /// Whom to ask for `agent`: what it wishes for, then the others in their order. An agent of the built-in planner
    /// asks nobody else.
    fn choices(&self, agent: &Agent) -> Vec<Choice> {
        let mut choices: Vec<Choice> = self
            .providers
            .iter()
            .map(|provider| Choice { provider: provider.clone(), model: None })
            .collect();
        let Some(wish) = &agent.wish else { return choices };
        if wish.provider == ProviderName::Builtin {
            return Vec::new();
        }
        let wished = |choice: &Choice| match &choice.provider {
            Provider::Model(line) => line.provider() == wish.provider.as_str(),
            Provider::Builtin => false,
        };
        if let Some(at) = choices.iter().position(wished) {
            let mut first = choices.remove(at);
            first.model = Some(wish.model.clone());
            choices.insert(0, first);
        }
        choices
    }
}

/// How many of `choices` are models: those that take time.
fn models(choices: &[Choice]) -> usize {
    choices.iter().filter(|choice| matches!(choice.provider, Provider::Model(_))).count()
}
