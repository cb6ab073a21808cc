//! What can be typed: the commands with their arguments, and which of them are settings. Those that run an installation are in
//! `operations`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use figment::value::Value;

use super::operations::{ActorsArgs, ApprovalsArgs, DlqCommand, EffectsCommand, RetryNowArgs, TurnsArgs};
use crate::config::{Flag, Part};

/// A durable runtime for tool-using LLM agents on Apache Kafka.
#[derive(Debug, Parser)]
#[command(name = "callboard", version, subcommand_required = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Read this file instead of ./callboard.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of log, snapshots and history
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Use Kafka at these brokers instead of the embedded log
    #[arg(long, global = true, value_name = "HOST:PORT,…")]
    pub kafka_brokers: Option<String>,
    /// The running server that commands talk to [default: the one that holds the data folder, or
    /// http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL", env = "CALLBOARD_SERVER")]
    pub server: Option<String>,
    /// Key for a server that asks for one
    #[arg(long, global = true, value_name = "KEY", env = "CALLBOARD_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Open the data folder instead of asking a server
    #[arg(long, global = true)]
    pub offline: bool,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (what `callboard` alone does)
    Serve(ServeArgs),
    /// Run one role as a process of its own (Kafka only)
    Worker(WorkerArgs),
    /// Ask one question
    Ask(AskArgs),
    /// Talk
    Chat(ChatArgs),
    /// Show a plan, live
    Inspect(InspectArgs),
    /// Show a conversation's records
    Events(EventsArgs),
    /// Fold a conversation's log again and compare with the live state
    Replay(OneConversation),
    /// Replay all conversations, or one
    Verify(VerifyArgs),
    /// What was said
    #[command(subcommand)]
    History(HistoryCommand),
    /// Show the actor tree
    Actors(ActorsArgs),
    /// Compare Kafka's topics with their declaration, or mend them
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Look at records that were given up, and append them again
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Show what is open, in doubt or old
    Turns(TurnsArgs),
    /// Steps whose outcome nobody knows
    #[command(subcommand)]
    Effects(EffectsCommand),
    /// Steps that wait for a person: list, approve, reject
    Approvals(ApprovalsArgs),
    /// Start a step that waits in back-off at once
    RetryNow(RetryNowArgs),
    /// Cancel a conversation's newest turn
    Cancel(CancelArgs),
    /// Clear the context of a conversation's later turns
    Reset(OneConversation),
    /// Kill things while a plan runs, and see that it goes on
    Demo(super::demo::DemoArgs),
    /// Ask questions from a file and score plans and answers
    Eval(super::eval::EvalArgs),
    /// Check configuration, data folder, Kafka, topics and models
    Doctor(DoctorArgs),
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Where HTTP listens
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Let /admin/v1/actors/kill kill
    #[arg(long)]
    pub allow_chaos: bool,
    /// Create missing topics
    #[arg(long)]
    pub create_topics: bool,
    /// Leave these roles to worker processes
    #[arg(long, value_name = "ROLE,…", value_delimiter = ',', value_enum)]
    pub without: Vec<Part>,
    /// Listen beyond loopback without keys
    #[arg(long)]
    pub insecure: bool,
}

#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("role").required(true).args(["pool", "synthesis", "history"])))]
pub struct WorkerArgs {
    /// Run the tools of this pool
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// Write final answers
    #[arg(long)]
    pub synthesis: bool,
    /// Keep history.json
    #[arg(long)]
    pub history: bool,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct AskArgs {
    /// The question
    pub text: String,
    /// Ask in this conversation
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "S", default_value_t = 120)]
    pub wait: u64,
    /// Print the answer as it is written, not only at a terminal
    #[arg(long)]
    pub stream: bool,
}

#[derive(Debug, Args)]
pub struct ChatArgs {
    /// Go on with this conversation
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
}

#[derive(Debug, Args)]
pub struct OneConversation {
    /// The conversation
    pub id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    Table,
    Mermaid,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The conversation
    pub id: String,
    /// Turn number or command id; the newest turn without it
    #[arg(long)]
    pub turn: Option<String>,
    /// How to draw the plan
    #[arg(long, value_enum, default_value = "table")]
    pub format: PlanFormat,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The conversation
    pub id: String,
    /// Go on as records are written
    #[arg(long)]
    pub follow: bool,
    /// Only records after this id
    #[arg(long, value_name = "ID")]
    pub after: Option<u64>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only this conversation
    pub id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Print a conversation
    Show(OneConversation),
    /// Print all conversations as JSON lines
    Export,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum TopicsCommand {
    /// Say what differs
    Diff,
    /// Create what is missing and mend what can be mended
    Apply,
}

#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The conversation
    pub id: String,
    /// Turn number or command id; the newest turn without it
    #[arg(long)]
    pub turn: Option<String>,
    /// Why
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Copy the readable part of a damaged embedded log and say what was cut
    #[arg(long)]
    pub repair_log: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every value and where it came from
    Show,
}

/// Puts `serve` where no command was typed, so that `callboard --listen …` is `callboard serve --listen …`.
#[must_use]
pub fn with_default_command(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    use clap::CommandFactory;
    let first = arguments.get(1).and_then(|a| a.to_str());
    let asks_for_itself = matches!(first, Some("-h" | "--help" | "-V" | "--version"));
    let starts_with_a_flag = first.is_none_or(|a| a.starts_with('-'));
    if starts_with_a_flag && !asks_for_itself && !has_a_word(&Cli::command(), &arguments) {
        arguments.insert(1.min(arguments.len()), "serve".into());
    }
    arguments
}

/// Whether a word was typed that is neither a flag nor a flag's value: a command, or what somebody takes for one.
/// (A folder may be called `history`.)
fn has_a_word(cli: &clap::Command, arguments: &[std::ffi::OsString]) -> bool {
    let serve = cli.find_subcommand("serve").map(clap::Command::get_arguments);
    let with_value: Vec<&str> = cli
        .get_arguments()
        .chain(serve.into_iter().flatten())
        .filter(|flag| flag.get_action().takes_values())
        .filter_map(clap::Arg::get_long)
        .collect();
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        match argument.to_str().and_then(|text| text.strip_prefix("--")) {
            Some(flag) if with_value.contains(&flag) => {
                rest.next();
            }
            Some(_) => {}
            None if argument.to_str().is_some_and(|text| text.starts_with('-')) => {}
            None => return true,
        }
    }
    false
}

impl Global {
    /// The flags that are settings.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        if let Some(dir) = &self.data_dir {
            let value = Value::from(dir.to_string_lossy().into_owned());
            flags.push(Flag { name: "--data-dir", key: "data_dir", value });
        }
        if let Some(brokers) = &self.kafka_brokers {
            flags.push(Flag {
                name: "--kafka-brokers",
                key: "kafka.brokers",
                value: Value::from(brokers.as_str()),
            });
        }
        flags
    }
}

impl ServeArgs {
    /// The flags that are settings.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        if let Some(listen) = &self.listen {
            flags.push(Flag { name: "--listen", key: "listen", value: Value::from(listen.as_str()) });
        }
        let switches = [
            (self.allow_chaos, "--allow-chaos", "allow_chaos"),
            (self.create_topics, "--create-topics", "kafka.create_topics"),
            (self.insecure, "--insecure", "insecure"),
        ];
        for (_, name, key) in switches.into_iter().filter(|(given, ..)| *given) {
            flags.push(Flag { name, key, value: Value::from(true) });
        }
        if !self.without.is_empty() {
            let word = |part: &Part| match part {
                Part::Tools => "tools",
                Part::Synthesis => "synthesis",
                Part::History => "history",
            };
            let parts: Vec<Value> = self.without.iter().map(word).map(Value::from).collect();
            flags.push(Flag { name: "--without", key: "without", value: Value::from(parts) });
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command, with_default_command};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let arguments = line.split_whitespace().map(Into::into).collect();
        Cli::try_parse_from(with_default_command(arguments))
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_is_done_without_a_command() {
        for line in ["callboard", "callboard --listen 127.0.0.1:0", "callboard --data-dir x --allow-chaos"] {
            assert!(matches!(parse(line).unwrap().command, Command::Serve(_)), "{line}");
        }
        let Command::Serve(args) = parse("callboard serve --without tools,history").unwrap().command else {
            panic!("serve was typed")
        };
        assert_eq!(args.without.len(), 2);
    }

    #[test]
    fn a_value_that_is_called_like_a_command_is_a_value() {
        let lines = ["callboard --data-dir history", "callboard --listen 127.0.0.1:0 --data-dir=ask --json"];
        for line in lines.into_iter().chain(["callboard --json --data-dir help", "callboard --without tools"])
        {
            assert!(matches!(parse(line).unwrap().command, Command::Serve(_)), "{line}");
        }
        let cli = parse("callboard --data-dir chat ask hello").unwrap();
        assert!(matches!(cli.command, Command::Ask(_)));
        let words = parse("callboard --json srve").unwrap_err().to_string();
        assert!(words.contains("serve"), "{words}");
    }

    #[test]
    fn flags_may_stand_before_the_command() {
        assert!(matches!(parse("callboard --json inspect c").unwrap().command, Command::Inspect(_)));
        assert!(parse("callboard inspect c --json").unwrap().global.json);
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in
            ["callboard srve", "callboard worker", "callboard worker --pool a --synthesis", "callboard ask"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
