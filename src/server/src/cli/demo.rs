//! `callboard demo`: which demo, on which log. `crate::demo` plays it.

use std::net::SocketAddr;

use clap::Args;

use super::client::block_on;
use super::{Failure, Global, Outcome};
use crate::demo::{self, DemoTool, LogChoice, Options, Scene};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// What is killed; without it a page opens where you kill by clicking
    #[arg(value_enum)]
    pub scene: Option<Scene>,
    /// On a Kafka broker of the demo's own (needs Java 17; Maven fetches the broker once) instead of the embedded log
    #[arg(long)]
    pub kafka: bool,
    /// With worker-crash: kill the worker process of this tool, on Kafka (two processes cannot share the embedded log)
    #[arg(long, value_enum, requires = "scene")]
    pub tool: Option<DemoTool>,
    /// Where the page is served [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "ADDR", conflicts_with = "scene")]
    pub listen: Option<SocketAddr>,
    /// Print the page's address, and leave the browser alone
    #[arg(long, conflicts_with = "scene")]
    pub no_open: bool,
}

pub fn run(global: &Global, args: &DemoArgs) -> Outcome {
    let log = log(global, args)?;
    if global.data_dir.is_some() || global.offline || global.config.is_some() {
        return Err(Failure::usage(
            "a demo starts a server of its own in a temporary folder; leave out --data-dir, --config and \
             --offline",
        ));
    }
    let open_browser = !args.no_open && !global.json;
    let options = Options { tool: args.tool, log, json: global.json, listen: args.listen, open_browser };
    block_on(async {
        match args.scene {
            Some(scene) => demo::scene(scene, &options).await,
            None => demo::page(&options).await,
        }
    })
}

fn log(global: &Global, args: &DemoArgs) -> Result<LogChoice, Failure> {
    let kills_the_broker = args.scene == Some(Scene::BrokerCrash);
    if args.tool.is_some() && args.scene != Some(Scene::WorkerCrash) {
        return Err(Failure::usage(
            "--tool says whose worker is killed: it belongs to `callboard demo worker-crash`",
        ));
    }
    let needs_kafka = kills_the_broker || args.kafka || args.tool.is_some();
    match &global.kafka_brokers {
        Some(_) if kills_the_broker => Err(Failure::usage(
            "broker-crash kills its broker, so it starts one of its own; leave out --kafka-brokers",
        )),
        Some(_) if args.kafka => Err(Failure::usage(
            "--kafka starts a broker and --kafka-brokers names one; leave out one of them",
        )),
        named if (needs_kafka || named.is_some()) && !cfg!(feature = "kafka") => {
            Err(Failure::usage("this build has no Kafka; the other demos run on the embedded log"))
        }
        Some(brokers) => Ok(LogChoice::Brokers(brokers.clone())),
        None if needs_kafka => Ok(LogChoice::OwnKafka),
        None => Ok(LogChoice::Embedded),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command, Failure};
    use crate::demo::LogChoice;

    fn parsed(line: &str) -> Result<LogChoice, Failure> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(Failure::usage)?;
        let Command::Demo(args) = &cli.command else { panic!("demo was typed") };
        super::log(&cli.global, args)
    }

    #[test]
    fn the_log_is_the_embedded_one_unless_said_otherwise() {
        assert_eq!(parsed("callboard demo"), Ok(LogChoice::Embedded));
        assert_eq!(parsed("callboard demo process-crash"), Ok(LogChoice::Embedded));
        #[cfg(feature = "kafka")]
        let named = parsed("callboard demo duplicates --kafka-brokers h:1,h:2");
        #[cfg(feature = "kafka")]
        assert_eq!(named, Ok(LogChoice::Brokers("h:1,h:2".into())));
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn a_killed_broker_is_one_of_its_own() {
        for line in [
            "callboard demo broker-crash",
            "callboard demo worker-crash --kafka",
            "callboard demo worker-crash --tool knowledge",
        ] {
            assert_eq!(parsed(line), Ok(LogChoice::OwnKafka), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "callboard demo broker-crash --kafka-brokers h:1",
            "callboard demo worker-crash --kafka --kafka-brokers h:1",
            "callboard demo everything",
            "callboard demo process-crash --tool knowledge",
            "callboard demo worker-crash --tool weather",
            "callboard demo worker-crash --no-open",
            "callboard demo worker-crash --listen 127.0.0.1:1",
        ] {
            assert_eq!(parsed(line).map_err(|failure| failure.code()), Err(2), "{line}");
        }
    }
}
