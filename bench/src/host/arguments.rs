//! What can be typed after `host`.

use clap::Args;

use crate::arguments::StageArgs;

#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// How long each rate is measured
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    pub seconds: f64,
    /// Events of the conversations that are brought back, one row each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [10, 100, 10_000])]
    pub events: Vec<usize>,
    /// Conversations, of one turn each, in the partition that is caught up with
    #[arg(long, value_name = "N", default_value_t = 150_000)]
    pub conversations: usize,
    /// Snapshots that are written and read
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub snapshots: usize,
}
