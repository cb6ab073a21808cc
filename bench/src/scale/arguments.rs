//! What can be typed after `scale`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// Cold conversations, one row each; a row with none comes by itself
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    pub conversations: Vec<usize>,
    /// Partitions, one row each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 4, 16, 64])]
    pub partitions: Vec<u32>,
    /// Turns in one conversation
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub turns: usize,
    /// How long each loop of questions is measured
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub seconds: f64,
    /// Clients that ask while the partitions change
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub clients: usize,
    /// The binary under test [default: `callboard` beside this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Where the JSON result goes [default: bench/results/scale-embedded.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the conversations in this folder, which needs about 2.5 kB for each [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}
