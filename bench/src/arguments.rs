//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::turn::{Order, ToolKind, TurnKind};

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
    /// Ask for a hundred times what the workers can do, and watch memory
    Flood(FloodArgs),
    /// Kill with much on disk and measure the way back
    Recover(RecoverArgs),
    /// What Kafka itself costs here, through plain rdkafka
    Floor(FloorArgs),
    /// The whole system over HTTP, beside the floor of the same run
    Turn(TurnArgs),
    /// Where the time of one turn goes, hop by hop
    Budget(crate::budget::BudgetArgs),
    /// Every job in its smallest form: that it works, never how fast
    Smoke(SmokeArgs),
    /// What moved beyond noise between two results or two folders of them
    Compare(CompareArgs),
    /// Write BENCHMARK.md and its plots from the results
    Report(ReportArgs),
    /// The parts of a conversation host one by one
    Host(crate::host::arguments::HostArgs),
    /// More conversations, partitions and turns
    Scale(crate::scale::arguments::ScaleArgs),
    /// What the process costs to have, and what a turn costs it
    Footprint(crate::footprint::arguments::FootprintArgs),
    /// Each service by itself
    Components(crate::components::arguments::ComponentsArgs),
    /// Count effects by idempotency key, for others to call
    Counter(CounterArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Folder of the results
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    pub results: PathBuf,
    /// The page
    #[arg(long, value_name = "FILE", default_value = "BENCHMARK.md")]
    pub out: PathBuf,
    /// Folder of the plots
    #[arg(long, value_name = "DIR", default_value = "bench/plots")]
    pub plots: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// A result, or a folder of results
    pub a: PathBuf,
    /// Another one: a file where the first is a file, a folder where it is a folder
    pub b: PathBuf,
    /// What differs by less is noise, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub noise: f64,
}

#[derive(Debug, Clone, Args)]
pub struct SmokeArgs {
    /// The binary under test [default: `callboard` beside this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Only jobs whose command line holds this
    #[arg(long, value_name = "WORD")]
    pub only: Option<String>,
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

/// What chaos may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Breakable {
    /// SIGKILL of the serving process
    Serve,
    /// SIGKILL of a tool worker process
    Tools,
    /// SIGKILL of the synthesis worker process
    Synthesis,
    /// Any actor, through the endpoint
    Actor,
    /// SIGKILL of a broker
    Broker,
    /// SIGSTOP of any process for 20 s
    Freeze,
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
    /// Break only these [default: everything that there is]
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',', value_enum)]
    pub only: Vec<Breakable>,
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
    /// Milliseconds from a call's arrival to its effect
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay_ms: u64,
    /// Milliseconds from an effect to the answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub answer_delay_ms: u64,
}

/// What is measured, and where the figures go.
#[derive(Debug, Clone, Args)]
pub struct StageArgs {
    /// What carries the topics
    #[arg(long, value_enum, default_value = "embedded")]
    pub log: LogKind,
    /// The binary under test [default: `callboard` beside this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Where the JSON result goes [default: bench/results/JOB-LOG.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep the processes' output and data in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct FloodArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Tool workers of the pool, each busy 100 ms with a step
    #[arg(long, default_value_t = 2)]
    pub workers: usize,
    /// Times what they can do
    #[arg(long, default_value_t = 100.0)]
    pub factor: f64,
    /// How long
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub seconds: u64,
    /// Conversations that are flooded; 0 makes every question a conversation of its own
    #[arg(long, default_value_t = 0)]
    pub conversations: usize,
    /// Seconds that what was accepted may take to be answered
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub drain: u64,
}

#[derive(Debug, Clone, Args)]
pub struct RecoverArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Conversations on disk
    #[arg(long, default_value_t = 100_000)]
    pub conversations: usize,
    /// Of those, with open turns when the process is killed
    #[arg(long, default_value_t = 100)]
    pub open: usize,
    /// Actors of each kind that are killed under load; of partition hosts at most one for each partition
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub kills: usize,
}

#[derive(Debug, Clone, Args)]
pub struct FloorArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Hops of a chain
    #[arg(long, default_value_t = 6)]
    pub hops: u32,
    /// Chains and turns at once, one run each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub in_flight: Vec<usize>,
    /// How long each run takes, about
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    pub seconds: f64,
}

#[derive(Debug, Clone, Args)]
pub struct TurnArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Clients of the closed loops, one run each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 16, 64, 256, 1024])]
    pub clients: Vec<usize>,
    /// Shares of the best closed loop's rate for the open loops, percent
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_values_t = [25.0, 50.0, 75.0, 90.0])]
    pub open: Vec<f64>,
    /// How long each run is measured
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub seconds: f64,
    /// Steps of a plan
    #[arg(long, default_value_t = 3)]
    pub steps: usize,
    /// How the steps hang together
    #[arg(long, value_enum, default_value = "parallel")]
    pub order: Order,
    /// What the steps call
    #[arg(long, value_enum, default_value = "echo")]
    pub tool: ToolKind,
    /// Bytes that each echo step carries there and back
    #[arg(long, value_name = "BYTES", default_value_t = 8)]
    pub text_bytes: usize,
    /// A setting of the server under test, `log.fsync=never` for example
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Do not measure what the same records cost through plain rdkafka
    #[arg(long)]
    pub without_floor: bool,
    /// Then other turns, a row each: fewer and more steps, one after the other, longer texts, `math`, a model stub
    #[arg(long)]
    pub matrix: bool,
}

impl TurnArgs {
    pub fn kind(&self) -> TurnKind {
        TurnKind { steps: self.steps, order: self.order, tool: self.tool, text_bytes: self.text_bytes }
    }
}
