//! The toolbox of simulated worlds: `echo` takes any arguments, `strict` only objects with a `text`.

use callboard_domain::RawJson;
use callboard_domain::event::{Author, TurnLimits};
use callboard_domain::plan::{Backoff, EffectClass, OnFailure, StepPolicy, ToolRefusal, Toolbox};

pub struct Tools {
    pub limits: TurnLimits,
    pub token_budget: Option<u64>,
}

impl Default for Tools {
    fn default() -> Self {
        Self { limits: limits(), token_budget: None }
    }
}

pub fn limits() -> TurnLimits {
    TurnLimits {
        planning_timeout_ms: 5_000,
        synthesis_timeout_ms: 5_000,
        turn_timeout_ms: 600_000,
        max_rounds: 4,
    }
}

pub fn policy() -> StepPolicy {
    StepPolicy {
        effect: EffectClass::Pure,
        pool: "default".into(),
        timeout_ms: 2_000,
        deadline_ms: 8_000,
        max_attempts: 3,
        backoff: Backoff { initial_ms: 100, max_ms: 1_000 },
        on_failure: OnFailure::Fail,
        needs_approval: false,
    }
}

pub fn author() -> Author {
    Author { provider: "builtin".into(), model: None, input_tokens: None, output_tokens: None }
}

impl Toolbox for Tools {
    fn check(&self, tool: &str, arguments: &RawJson) -> Result<StepPolicy, ToolRefusal> {
        match tool {
            "echo" => Ok(policy()),
            "strict" if arguments.to_value().get("text").is_some() => Ok(policy()),
            "strict" => {
                let problem = "\"text\" is required".to_owned();
                Err(ToolRefusal::Arguments { tool: tool.to_owned(), problem })
            }
            _ => Err(ToolRefusal::Unknown { name: tool.to_owned(), known: "echo, strict".to_owned() }),
        }
    }

    fn turn_limits(&self, _agent: &str) -> TurnLimits {
        self.limits
    }

    fn token_budget(&self, _agent: &str) -> Option<u64> {
        self.token_budget
    }
}
