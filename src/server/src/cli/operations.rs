//! What can be typed to run an installation: actors, open turns, effects, dead letters. The rest is in `arguments`.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub struct ActorsArgs {
    /// Draw it again every second
    #[arg(long)]
    pub watch: bool,
    /// In which order; anything but the tree is one list, the most telling first
    #[arg(long, value_enum, default_value = "tree")]
    pub sort: ActorOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActorOrder {
    /// Parents above their children
    Tree,
    /// By path
    Path,
    /// By restarts
    Restarts,
    /// By messages that wait
    Mailbox,
    /// By kind, then path
    Kind,
}

#[derive(Debug, Args)]
pub struct TurnsArgs {
    /// Only those that are queued, planning, running, backing_off, awaiting_approval, in_doubt, synthesizing or ending
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only those received this long ago, 5m for example
    #[arg(long, value_name = "TIME")]
    pub older_than: Option<String>,
    /// Only those with an unended step of this tool
    #[arg(long, value_name = "TOOL")]
    pub tool: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
    /// Draw it again every second
    #[arg(long)]
    pub watch: bool,
}

#[derive(Debug, Subcommand)]
pub enum EffectsCommand {
    /// Steps whose outcome nobody knows
    List,
    /// Say what came of one of them
    Settle(SettleArgs),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("outcome").required(true).args(["done", "not_done"])))]
pub struct SettleArgs {
    /// CONVERSATION:COMMAND:VERSION:STEP, as `effects list` shows it
    pub effect: String,
    /// It took effect, and this is its result
    #[arg(long, value_name = "JSON")]
    pub done: Option<String>,
    /// It did not, and may be run again
    #[arg(long)]
    pub not_done: bool,
    /// The attempt that you looked at, as `effects list` shows it: a later one is not settled by it
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Who says so; needed where the server asks for no key
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// How it is known
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
}

#[derive(Debug, Args)]
pub struct ApprovalsArgs {
    #[command(subcommand)]
    pub command: Option<ApprovalsCommand>,
}

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// What waits; also without a command
    List,
    /// Let a step run
    Approve {
        #[command(flatten)]
        word: WordArgs,
        /// With these arguments instead of the planned ones
        #[arg(long, value_name = "JSON")]
        arguments: Option<String>,
    },
    /// Turn a step away: it fails, by its failure policy
    Reject {
        #[command(flatten)]
        word: WordArgs,
    },
}

#[derive(Debug, Args)]
pub struct WordArgs {
    /// CONVERSATION:COMMAND:VERSION:STEP, as `approvals` shows it
    pub effect: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Whose word it is; the owner of the key without it
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
}

#[derive(Debug, Args)]
pub struct RetryNowArgs {
    /// CONVERSATION:COMMAND:VERSION:STEP of a step in back-off
    pub effect: String,
    /// Who asks for it
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// One line each
    List {
        #[command(flatten)]
        which: Letters,
        /// At most this many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// One dead letter whole
    Show {
        /// TOPIC:PARTITION:OFFSET of the original
        id: String,
    },
    /// Append dead letters to their topics again
    Redrive(RedriveArgs),
}

/// Which dead letters; nothing set means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Letters {
    /// Given up for this reason, unknown_type for example
    #[arg(long, value_name = "CODE")]
    pub reason: Option<String>,
    /// Whose original lay in this topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Written since then: 2026-11-23T01:42:39Z, or how long ago: 2h
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Written before then
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Of this conversation
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
}

impl Letters {
    /// Name and value of what is set.
    pub fn set(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("reason", &self.reason),
            ("topic", &self.topic),
            ("since", &self.since),
            ("until", &self.until),
            ("conversation", &self.conversation),
        ];
        all.into_iter().filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
    }
}

#[derive(Debug, Args)]
pub struct RedriveArgs {
    /// TOPIC:PARTITION:OFFSET of each, as `dlq list` shows them
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub which: Letters,
    /// Every letter that may be redriven
    #[arg(long)]
    pub all: bool,
    /// How many in a second at most
    #[arg(long, value_name = "N/s", default_value = "50/s")]
    pub rate: Rate,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Who redrives; the owner of the key without it
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
}

/// So many in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u32);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix("/s").unwrap_or(text);
        match number.parse::<u32>() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(format!("{text:?} is no rate; write 10/s, for example")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn a_rate_is_so_many_a_second() {
        assert_eq!("10/s".parse(), Ok(Rate(10)));
        assert_eq!("10".parse(), Ok(Rate(10)));
        for wrong in ["0/s", "fast", "10/m", "-1/s", ""] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
