//! The command line: what can be typed (`arguments`), and a file per command that does it. `serve` and `worker`
//! are in `crate::serve`; the others talk to a running server through `client`, or open the data folder
//! through `crate::offline`.

mod actors;
mod approvals;
mod arguments;
mod ask;
mod chat;
pub(crate) mod client;
pub(crate) mod columns;
mod config_show;
mod conversation;
mod demo;
mod dlq;
mod doctor;
mod effects;
mod eval;
mod events;
mod exit;
mod history;
mod inspect;
mod live;
mod operations;
mod plan_table;
mod replay;
mod screen;
mod topics;
mod turns;
mod verify;

pub use arguments::{
    AskArgs, CancelArgs, ChatArgs, Cli, Command, ConfigCommand, DoctorArgs, EventsArgs, Global,
    HistoryCommand, InspectArgs, OneConversation, PlanFormat, ServeArgs, TopicsCommand, VerifyArgs,
    WorkerArgs, with_default_command,
};
pub use exit::{Failure, Outcome, finish};
pub use operations::{
    ActorOrder, ActorsArgs, ApprovalsArgs, ApprovalsCommand, DlqCommand, EffectsCommand, Letters, Rate,
    RedriveArgs, RetryNowArgs, SettleArgs, TurnsArgs, WordArgs,
};

/// Runs the command that was typed.
pub fn run(cli: &Cli, app: &crate::App) -> Outcome {
    let global = &cli.global;
    match &cli.command {
        Command::Serve(args) => crate::serve::serve(global, args, app),
        Command::Worker(args) => crate::serve::worker(global, args, app),
        Command::Ask(args) => ask::run(global, args),
        Command::Chat(args) => chat::run(global, args),
        Command::Inspect(args) => inspect::run(global, args),
        Command::Events(args) => events::run(global, args),
        Command::Replay(args) => replay::run(global, args),
        Command::Verify(args) => verify::run(global, args),
        Command::History(command) => history::run(global, command),
        Command::Actors(args) => actors::run(global, args),
        Command::Topics(command) => topics::run(global, *command),
        Command::Dlq(command) => dlq::run(global, command),
        Command::Turns(args) => turns::run(global, args),
        Command::Effects(command) => effects::run(global, command),
        Command::Approvals(args) => approvals::run(global, args),
        Command::RetryNow(args) => effects::retry_now(global, args),
        Command::Cancel(args) => conversation::cancel(global, args),
        Command::Reset(args) => conversation::reset(global, args),
        Command::Demo(args) => demo::run(global, args),
        Command::Eval(args) => eval::run(global, args),
        Command::Doctor(args) => doctor::run(global, args, app),
        Command::Config(ConfigCommand::Show) => config_show::run(global),
    }
}
