//! `callboard demo`: kills things while a plan runs, and shows that the plan goes on.
//!
//! `stage` sets up what a demo runs on (the server is a `child` of this process, and so is a `worker`), `play` is one run with its eyes and
//! hands, `scenes` says what is killed when (found in the `tree`), `narrator` tells it, `verdict` judges it. `board` is the demo with a page
//! to click on. Nothing here knows the inside of the server: it is asked over HTTP, and the effects are counted by a
//! service outside (`callboard_testkit::stubs::Counter`).

mod board;
pub(crate) mod child;
mod citations;
#[cfg(feature = "kafka")]
mod foreign;
mod narrator;
mod play;
mod scenes;
pub(crate) mod stage;
mod tree;
mod verdict;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

use narrator::Narrator;
use play::Play;
pub use stage::LogChoice;
use stage::{Cast, Stage, Wanted};

use crate::cli::{Failure, Outcome};

/// Half of a deposit: five of them are a few seconds, each with room for a blow before and after the effect.
const SLOW: Duration = Duration::from_millis(600);

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scene {
    WorkerCrash,
    SupervisorCrash,
    ProcessCrash,
    BrokerCrash,
    Duplicates,
}

impl Scene {
    fn name(self) -> &'static str {
        match self {
            Self::WorkerCrash => "worker-crash",
            Self::SupervisorCrash => "supervisor-crash",
            Self::ProcessCrash => "process-crash",
            Self::BrokerCrash => "broker-crash",
            Self::Duplicates => "duplicates",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::WorkerCrash => "the worker that makes a call is killed, before and after the effect",
            Self::SupervisorCrash => "supervisors are killed with everything below them",
            Self::ProcessCrash => "the whole process is killed with SIGKILL, before and after an effect",
            Self::BrokerCrash => "the Kafka broker is killed with SIGKILL and started again",
            Self::Duplicates => "questions, requests and records come twice",
        }
    }
}

/// Whose worker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoTool {
    /// It has a pool of its own (`rag`), here in a process of its own
    Knowledge,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    pub tool: Option<DemoTool>,
    pub log: LogChoice,
    pub json: bool,
    /// Where the page is served.
    pub listen: Option<SocketAddr>,
    pub open_browser: bool,
}

/// Plays one scene to its verdict.
///
/// # Errors
/// [`Failure::Said`] after a bad verdict; otherwise what could not be set up.
pub async fn scene(scene: Scene, options: &Options) -> Outcome {
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(Failure::job("interrupted; everything that the demo started has ended")),
        outcome = play(scene, options) => outcome,
    }
}

async fn play(scene: Scene, options: &Options) -> Outcome {
    let mut narrator = Narrator::new(options.json);
    let (cast, title) = match options.tool {
        Some(DemoTool::Knowledge) => {
            (Cast::LookUps, "the process that looks things up is killed, before and after it is asked")
        }
        None => (Cast::Deposits, scene.title()),
    };
    narrator.title(scene.name(), title);
    let wanted = Wanted { log: options.log.clone(), listen: None, slow: SLOW, with_page: false, cast };
    let stage = Stage::set(&wanted, &mut narrator)?;
    let ready = stage.child.ready().await?;
    narrator.tell("start", &format!("it is ready after {:.1} s", ready.as_secs_f64()));
    let mut play = Play::new(stage, narrator);
    let blows = match scene {
        Scene::WorkerCrash if cast == Cast::LookUps => scenes::librarian_crash(&mut play).await,
        Scene::WorkerCrash => scenes::worker_crash(&mut play).await,
        Scene::SupervisorCrash => scenes::supervisor_crash(&mut play).await,
        Scene::ProcessCrash => scenes::process_crash(&mut play).await,
        Scene::BrokerCrash => scenes::broker_crash(&mut play).await,
        Scene::Duplicates => scenes::duplicates(&mut play).await,
    };
    let to_the_end = match blows {
        Ok(blows) => play.until("the turn ends", Play::turn_ended).await.map(|_| blows),
        Err(failure) => Err(failure),
    };
    let (blows, broken) = match to_the_end {
        Ok(blows) => (blows, None),
        Err(Failure::Usage(words)) => return Err(Failure::Usage(words)),
        Err(failure) => (0, Some(failure.to_string())),
    };
    let mut verdict = verdict::judge(play.facts(blows).await);
    verdict.faults.extend(broken);
    play.narrator.verdict(&verdict);
    let good = verdict.good();
    play.stage.strike().await;
    if good { Ok(()) } else { Err(Failure::Said) }
}

/// Runs the page until somebody ends it.
///
/// # Errors
/// What could not be set up, or does not come back.
pub async fn page(options: &Options) -> Outcome {
    board::run(options).await
}
