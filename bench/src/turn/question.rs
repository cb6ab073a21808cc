//! What is asked in a bench: plans of a known shape, by the built-in planner.

use clap::ValueEnum;

use super::client::Ask;
use super::model;

/// How a plan's steps hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// At once
    Parallel,
    /// Each needs the one before
    Sequential,
}

/// Which tool a plan's steps call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// Gives back what it gets
    Echo,
    /// Computes
    Math,
    /// Echo, planned and answered by a model stub instead of the built-in ones
    #[value(skip)]
    Model,
}

/// The shape of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct TurnKind {
    pub steps: usize,
    pub order: Order,
    pub tool: ToolKind,
    /// Bytes of the text that each echo step carries there and back.
    pub text_bytes: usize,
}

impl Default for TurnKind {
    /// The turn that every ratio is about.
    fn default() -> Self {
        Self { steps: 3, order: Order::Parallel, tool: ToolKind::Echo, text_bytes: 8 }
    }
}

impl std::fmt::Display for TurnKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (order, tool) = (format!("{:?}", self.order), format!("{:?}", self.tool));
        write!(f, "{} {} {} steps", self.steps, order.to_lowercase(), tool.to_lowercase())?;
        if self.text_bytes > Self::default().text_bytes {
            write!(f, " of {} bytes", self.text_bytes)
        } else {
            Ok(())
        }
    }
}

impl TurnKind {
    /// The `number`th question of this shape. Its numbers are its own, so that no cache can answer it.
    pub fn ask(&self, number: u64) -> Ask {
        match (self.tool, self.order) {
            (ToolKind::Math, Order::Parallel) => {
                let terms: Vec<(u64, u64)> =
                    (0..self.steps as u64).map(|step| (number % 100_000 + 2, step + 3)).collect();
                Ask {
                    message: terms
                        .iter()
                        .map(|(a, b)| format!("what is {a}*{b}"))
                        .collect::<Vec<_>>()
                        .join("; "),
                    facts: terms.iter().map(|(a, b)| (a * b).to_string()).collect(),
                }
            }
            (ToolKind::Math, Order::Sequential) => {
                let first = number % 10_000 + 2;
                let mut message = format!("what is {first}*2");
                for _ in 1..self.steps {
                    message.push_str(" and double it");
                }
                let facts = (1..=self.steps).map(|step| (first << step).to_string()).collect();
                Ask { message, facts }
            }
            (ToolKind::Echo | ToolKind::Model, _) => {
                let texts = self.texts(number);
                let message = if self.tool == ToolKind::Model {
                    format!("{}{}", model::ASKED, texts.join(" "))
                } else {
                    // `then` makes each step wait for the one before.
                    let joint = if self.order == Order::Parallel { "; " } else { " then " };
                    texts.iter().map(|text| format!("echo {text}")).collect::<Vec<_>>().join(joint)
                };
                Ask { message, facts: texts.iter().map(|text| text[..8].to_owned()).collect() }
            }
        }
    }

    /// What each echo step carries: eight bytes of its own, then filling.
    fn texts(&self, number: u64) -> Vec<String> {
        let filling = "x".repeat(self.text_bytes.saturating_sub(8));
        (0..self.steps).map(|step| format!("{:06x}{step:02}{filling}", number % 0xff_ffff)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, ToolKind, TurnKind};

    #[test]
    fn every_step_of_a_question_is_in_its_facts() {
        for order in [Order::Parallel, Order::Sequential] {
            for tool in [ToolKind::Echo, ToolKind::Math] {
                let ask = TurnKind { steps: 3, order, tool, text_bytes: 20 }.ask(5);
                assert_eq!(ask.facts.len(), 3, "{ask:?}");
            }
        }
        let chain = TurnKind { order: Order::Sequential, tool: ToolKind::Math, ..TurnKind::default() };
        assert_eq!(chain.ask(5).facts, ["14", "28", "56"]);
        let echo = TurnKind { steps: 2, order: Order::Sequential, ..TurnKind::default() };
        assert_eq!(echo.ask(5).message, "echo 00000500 then echo 00000501");
    }
}
