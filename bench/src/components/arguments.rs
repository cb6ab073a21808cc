//! What can be typed after `components`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub struct ComponentsArgs {
    /// Records that each service finds in its topic
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub count: usize,
    /// Of those asked one at a time, for the mean delay
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub alone: usize,
    /// How long gateway and planner are measured
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    pub seconds: f64,
    /// The binary whose gateway is asked [default: `callboard` beside this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Where the JSON result goes [default: bench/results/components-embedded.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
