//! Callboard with a tool of its own: the whole program, in one file. `cargo run -p own-tool`, then
//! `cargo run -p own-tool -- ask 'dice {"sides": 20, "count": 3}'`.

use std::process::ExitCode;

use callboard::{App, Attempt, EffectClass, Tool, ToolError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Throws dice.
struct Dice;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Sides of each die, from 2.
    #[schemars(range(min = 2, max = 1_000))]
    sides: u64,
    /// How many dice; 1 when left out.
    #[schemars(range(min = 1, max = 100))]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Thrown {
    dice: Vec<u64>,
    sum: u64,
}

impl Tool for Dice {
    type Arguments = Arguments;
    type Output = Thrown;
    const NAME: &'static str = "dice";
    const DESCRIPTION: &'static str =
        "Throws `count` dice with `sides` sides. The result has `dice` and their `sum`.";
    // The same key throws the same dice, so a repeated attempt changes nothing.
    const EFFECT: EffectClass = EffectClass::Idempotent;

    async fn run(&self, arguments: Arguments, call: Attempt) -> Result<Thrown, ToolError> {
        let Arguments { sides, count } = arguments;
        if sides == 13 {
            return Err(ToolError::new("refused", "dice of 13 sides bring bad luck", false));
        }
        let throw = |at: u64| {
            // FNV-1a over the effect's own name and the die's number.
            let bytes = call.idempotency_key.bytes().chain(at.to_le_bytes());
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            hash % sides + 1
        };
        let dice: Vec<u64> = (0..count.unwrap_or(1)).map(throw).collect();
        Ok(Thrown { sum: dice.iter().sum(), dice })
    }
}

fn main() -> ExitCode {
    App::new().tool(Dice).run()
}
