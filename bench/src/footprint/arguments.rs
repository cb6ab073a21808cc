//! What can be typed after `footprint`.

use clap::Args;

use crate::arguments::StageArgs;

#[derive(Debug, Clone, Args)]
pub struct FootprintArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Starts with an empty folder, of which the median counts
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub starts: usize,
    /// How long nothing is asked
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    pub idle_seconds: f64,
    /// How long turns are asked for processor time and disk
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub seconds: f64,
    /// Clients that ask them
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub clients: usize,
    /// Turns of the shorter of two runs under valgrind; the longer has twice as many. 0: none
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub counted_turns: u64,
}
