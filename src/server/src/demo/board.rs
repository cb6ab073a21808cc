//! The demo with a page: this process starts the server again whenever it was killed, and counts outside of it. What
//! is killed is up to the person who clicks.

use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::Options;
use super::narrator::Narrator;
use super::stage::{Cast, Stage, Wanted, address_near};
use crate::cli::{Failure, Outcome};

/// Half of a deposit: slow enough that a person can click in the middle of one.
const SLOW: Duration = Duration::from_millis(900);
/// The usual port of `callboard serve`, when it is free.
const USUAL_PORT: u16 = 8080;
/// Between two looks whether the server still runs: nobody sees less than this.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A server that ended within this of its start is not started again at once…
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// …but after a pause that doubles up to this…
const MAX_PAUSE: Duration = Duration::from_secs(4);
/// …and given up after so many in a row.
const MAX_SHORT_LIVES: u32 = 8;

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// What could not be set up, or does not come back.
pub async fn run(options: &Options) -> Outcome {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::job)?;
    let mut narrator = Narrator::new(options.json);
    narrator.title("", "a plan runs, you kill, the plan goes on");
    let listen = options.listen.unwrap_or_else(|| address_near(USUAL_PORT));
    let cast = Cast::Deposits;
    let wanted = Wanted { log: options.log.clone(), listen: Some(listen), slow: SLOW, with_page: true, cast };
    let mut stage = Stage::set(&wanted, &mut narrator)?;
    let outcome = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        broken = keep(&mut stage, &mut narrator, options.open_browser) => broken,
    };
    narrator.tell("end", "the server is being stopped; its folder goes with it");
    stage.strike().await;
    outcome
}

/// Keeps a server running; returns only when that does not succeed.
async fn keep(stage: &mut Stage, narrator: &mut Narrator, open_browser: bool) -> Outcome {
    let ready = stage.child.ready().await?;
    narrator.tell("start", &format!("it is ready after {:.1} s", ready.as_secs_f64()));
    let url = format!("{}/?c={}&view=kill", stage.child.url(), callboard_testkit::unique_name("demo"));
    narrator.tell("page", &url);
    if open_browser && std::io::stdout().is_terminal() {
        show(&url);
    }
    narrator.tell("page", "kill what you like there; Ctrl-C ends it all");
    let (mut born, mut short_lives) = (Instant::now(), 0);
    loop {
        while stage.child.is_running() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let how = stage.child.ending().map_or_else(String::new, |status| format!(" ({status})"));
        narrator.tell("gone", &format!("process {} ended{how}", stage.child.pid()));
        short_lives = if born.elapsed() < SHORT_LIFE { short_lives + 1 } else { 0 };
        if short_lives > MAX_SHORT_LIVES {
            let tail = stage.child.last_words();
            return Err(Failure::job(format!("the server does not stay up; it said last:\n{tail}")));
        }
        if short_lives > 1 {
            tokio::time::sleep((Duration::from_millis(100) * (1 << short_lives)).min(MAX_PAUSE)).await;
        }
        born = Instant::now();
        stage.child.again()?;
        let began = Instant::now();
        // One that is killed again while it starts is the next round's affair.
        if stage.child.ready().await.is_ok() {
            let (pid, seconds) = (stage.child.pid(), began.elapsed().as_secs_f64());
            narrator.tell("back", &format!("process {pid} serves, {seconds:.1} s after its start"));
        }
    }
}

/// Opens a browser where there is one; the address was printed anyway.
fn show(url: &str) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if std::env::var_os("DISPLAY").is_some() || std::env::var_os("WAYLAND_DISPLAY").is_some() {
        "xdg-open"
    } else {
        return;
    };
    let started = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut browser) = started {
        // Only so that its process id is freed when it ends.
        std::thread::spawn(move || browser.wait());
    }
}
