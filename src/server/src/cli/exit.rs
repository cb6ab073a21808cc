//! How a command ends: the exit code that outsiders rely on, and one clear line.

use std::process::ExitCode;

use callboard_actors::Fatal;

/// What a command comes to: nothing more to say, or a failure.
pub type Outcome = Result<(), Failure>;

/// Why a command failed. The message is one line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The job failed.
    #[error("{0}")]
    Job(String),
    /// There is no such conversation: the job failed, unless the id came from a list that may be behind.
    #[error("{0}")]
    Unknown(String),
    /// Wrong usage, configuration, port or data folder.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Fatal(#[from] Fatal),
    /// Everything was said already; only the code is left.
    #[error("")]
    Said,
}

impl Failure {
    /// 1 the job failed, 2 wrong usage, config, port or data folder, 3 fenced, 4 wedged, 5 budget exhausted.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Job(_) | Self::Unknown(_) | Self::Said => 1,
            Self::Usage(_) => 2,
            Self::Fatal(Fatal::Fenced(_)) => 3,
            Self::Fatal(Fatal::Wedged(_)) => 4,
            Self::Fatal(Fatal::BudgetExhausted(_)) => 5,
        }
    }

    #[must_use]
    pub fn job(message: impl std::fmt::Display) -> Self {
        Self::Job(message.to_string())
    }

    #[must_use]
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Says what went wrong, and gives the code.
#[must_use]
pub fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let words = failure.to_string();
            if !words.is_empty() {
                eprintln!("callboard: {words}");
            }
            ExitCode::from(failure.code())
        }
    }
}
