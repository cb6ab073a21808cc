//! What is asked in a bench: plans of a known shape, by the built-in planner.

use clap::ValueEnum;

use super::client::Ask;

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
                Ask { message, facts: vec![(first * 2).to_string()] }
            }
            (ToolKind::Echo, _) => {
                let filling = "x".repeat(self.text_bytes.saturating_sub(8));
                let texts: Vec<String> = (0..self.steps)
                    .map(|step| format!("{:06x}{step:02}{filling}", number % 0xff_ffff))
                    .collect();
                let joint = if self.order == Order::Parallel { "; " } else { " then " };
                let steps: Vec<String> = texts.iter().map(|text| format!("echo {text}")).collect();
                Ask {
                    message: steps.join(joint),
                    facts: texts.iter().map(|text| text[..8].to_owned()).collect(),
                }
            }
        }
    }
}
