//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures Callboard from outside.
#[derive(Debug, Parser)]
#[command(name = "callboard-bench", version)]
pub struct Bench {
    #[command(subcommand)]
    pub job: Job,
}

#[derive(Debug, Subcommand)]
pub enum Job {
    /// Kill anything at random under load, then judge what the log holds
    Chaos(ChaosArgs),
    /// Count effects by idempotency key, for others to call
    Counter(CounterArgs),
}

/// What carries the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogKind {
    /// The log in Callboard's own data folder
    Embedded,
    /// One broker
    Kafka1,
    /// Three brokers, replication 3, min.insync.replicas 2
    Kafka3,
}

impl LogKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka1 => "kafka1",
            Self::Kafka3 => "kafka3",
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct ChaosArgs {
    /// What carries the topics
    #[arg(long, value_enum, default_value = "embedded")]
    pub log: LogKind,
    /// Break things for this long [default: 5, when --kills is not given]
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// Stop after this many kills
    #[arg(long, value_name = "N")]
    pub kills: Option<usize>,
    /// Chooses what is broken and when; the clock chooses the rest
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Questions asked a second
    #[arg(long, value_name = "R", default_value_t = 10.0)]
    pub rate: f64,
    /// Mean seconds between two faults
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    pub pace: f64,
    /// Seconds that everything may take to come to rest after the last fault
    #[arg(long, value_name = "S", default_value_t = 180)]
    pub drain: u64,
    /// All three logs, about a minute each: what every build runs
    #[arg(long, conflicts_with_all = ["minutes", "kills", "log"])]
    pub short: bool,
    /// Steps with effects outside: `webhook` (unsafe) and `deposit` (reconcilable)
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    pub effects: bool,
    /// The binary under test [default: `callboard` beside this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Where the JSON result goes [default: bench/results/chaos-LOG.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep the processes' output and data in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct CounterArgs {
    /// Loopback port to listen on; 0 takes any
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}
