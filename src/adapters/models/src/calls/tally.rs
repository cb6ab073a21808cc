//! What all calls for one plan or answer cost together, as its event will say: tokens as the servers count them, never
//! estimated, and their price by the table of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use callboard_domain::event::{FailedCall, ModelCalls};
use callboard_domain::limits::MAX_FAILED_CALLS;

use super::line::{Completion, Silence};
use crate::config::Price;

/// `models.prices`, by model or PROVIDER/MODEL.
pub(crate) type Prices = Arc<BTreeMap<String, Price>>;

pub(crate) struct Tally {
    prices: Prices,
    calls: ModelCalls,
    /// A call had no price, or no count of tokens.
    unpriced: bool,
}

impl Tally {
    pub fn new(prices: Prices, prompt_hash: Option<Arc<str>>) -> Self {
        Self { prices, calls: ModelCalls { prompt_hash, ..ModelCalls::default() }, unpriced: false }
    }

    pub fn answered(&mut self, completion: &Completion) {
        let calls = &mut self.calls;
        calls.calls = calls.calls.saturating_add(1);
        calls.latency_ms = calls.latency_ms.saturating_add(completion.latency_ms);
        let (input, output) = (completion.author.input_tokens, completion.author.output_tokens);
        calls.input_tokens = calls.input_tokens.saturating_add(input.unwrap_or_default());
        calls.output_tokens = calls.output_tokens.saturating_add(output.unwrap_or_default());
        let cost = price(&self.prices, completion)
            .zip(input.zip(output))
            .map(|(price, (input, output))| nano_usd(price, input, output));
        match cost {
            Some(cost) => {
                calls.cost_nano_usd = Some(calls.cost_nano_usd.unwrap_or_default().saturating_add(cost));
            }
            None => self.unpriced = true,
        }
    }

    pub fn silent(&mut self, provider: &'static str, silence: &Silence) {
        self.calls.latency_ms = self.calls.latency_ms.saturating_add(silence.latency_ms);
        self.failed(provider, silence.model.clone(), silence.error.kind, silence.latency_ms);
    }

    /// What was answered was no plan.
    pub fn refused(&mut self, provider: &'static str, last: &Completion) {
        self.failed(provider, last.author.model.clone(), "plan_refused", last.latency_ms);
    }

    fn failed(&mut self, provider: &'static str, model: Option<Arc<str>>, kind: &str, latency_ms: u64) {
        if self.calls.failed.len() < MAX_FAILED_CALLS {
            let (provider, kind) = (Arc::from(provider), Arc::from(kind));
            self.calls.failed.push(FailedCall { provider, model, kind, latency_ms });
        }
    }

    /// `openai: timeout, ollama: unavailable`, for people; empty when nothing failed.
    pub fn failures(&self) -> String {
        let one = |call: &FailedCall| format!("{}: {}", call.provider, call.kind);
        self.calls.failed.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// `None` when no model was asked.
    pub fn sum(self) -> Option<ModelCalls> {
        let mut calls = self.calls;
        if calls.calls == 0 && calls.failed.is_empty() {
            return None;
        }
        // Half a sum would look like a whole one.
        if self.unpriced {
            calls.cost_nano_usd = None;
        }
        Some(calls)
    }
}

/// By the name that the server gives, by the one that was asked for (a server may add a date), or with the provider.
fn price<'p>(prices: &'p BTreeMap<String, Price>, completion: &Completion) -> Option<&'p Price> {
    let answered = completion.author.model.as_deref().unwrap_or_default();
    [answered, &completion.asked_model].into_iter().find_map(|model| {
        prices.get(model).or_else(|| prices.get(&format!("{}/{model}", completion.author.provider)))
    })
}

/// A dollar per million tokens is a thousand billionths of a dollar per token.
fn nano_usd(price: &Price, input_tokens: u64, output_tokens: u64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let cost = |tokens: u64, per_million: f64| (tokens as f64 * per_million * 1_000.0).round() as u64;
    cost(input_tokens, price.input_per_million_usd)
        .saturating_add(cost(output_tokens, price.output_per_million_usd))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use callboard_domain::event::Author;

    use super::{Completion, Tally};
    use crate::config::Price;

    fn said(model: &str, asked: &str, tokens: Option<(u64, u64)>) -> Completion {
        Completion {
            text: String::new(),
            cut: false,
            author: Author {
                provider: "openai".into(),
                model: Some(model.into()),
                input_tokens: tokens.map(|(input, _)| input),
                output_tokens: tokens.map(|(_, output)| output),
            },
            asked_model: asked.into(),
            latency_ms: 7,
        }
    }

    #[test]
    fn a_cost_is_the_sum_of_all_calls_or_nothing() {
        let price = |input, output| Price { input_per_million_usd: input, output_per_million_usd: output };
        let prices = BTreeMap::from([
            ("gpt-4o-mini".to_owned(), price(0.15, 0.6)),
            ("openai/local".to_owned(), price(0.0, 0.0)),
        ]);
        let prices = Arc::new(prices);
        let dated = said("gpt-4o-mini-2024-07-18", "gpt-4o-mini", Some((1_000, 100)));
        let sum = |said: &[Completion]| {
            let mut tally = Tally::new(prices.clone(), None);
            said.iter().for_each(|one| tally.answered(one));
            tally.sum()
        };
        let two = sum(&[dated.clone(), dated.clone()]).unwrap();
        assert_eq!((two.calls, two.input_tokens, two.output_tokens, two.latency_ms), (2, 2_000, 200, 14));
        assert_eq!(two.cost_nano_usd, Some(2 * (150_000 + 60_000)));
        assert_eq!(sum(&[said("local", "local", Some((9, 9)))]).unwrap().cost_nano_usd, Some(0));
        assert_eq!(
            sum(&[dated.clone(), said("llama3", "llama3", Some((9, 9)))]).unwrap().cost_nano_usd,
            None
        );
        assert_eq!(sum(&[said("gpt-4o-mini", "gpt-4o-mini", None)]).unwrap().cost_nano_usd, None);
        assert_eq!(sum(&[]), None);
    }
}
