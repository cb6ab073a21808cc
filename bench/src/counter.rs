//! The outside world as a process of its own: it counts what was really executed, whoever is killed meanwhile.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use callboard_testkit::process::{Launch, Process};
use callboard_testkit::stubs::Counter;
use serde::Deserialize;

use crate::arguments::CounterArgs;

const START_WAIT: Duration = Duration::from_secs(20);
const LISTENS: &str = "counter listens at ";

/// Serves until it is killed.
pub fn serve(arguments: &CounterArgs) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let counter =
        Counter::listen(address).with_context(|| format!("the counter cannot listen on {address}"))?;
    counter.delay(Duration::from_millis(arguments.delay_ms));
    counter.delay_answer(Duration::from_millis(arguments.answer_delay_ms));
    println!("{LISTENS}{}; GET /counts tells what was executed", counter.url());
    loop {
        std::thread::park();
    }
}

/// Executions per idempotency key.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Counts {
    /// Of the unsafe tool.
    pub calls: BTreeMap<String, u64>,
    /// Of the reconcilable one.
    pub deposits: BTreeMap<String, u64>,
}

impl Counts {
    pub fn of(&self, effect: &str) -> u64 {
        self.calls.get(effect).or_else(|| self.deposits.get(effect)).copied().unwrap_or_default()
    }
}

/// A running counter process.
#[derive(Debug)]
pub struct CounterProcess {
    pub url: String,
    _process: Process,
}

impl CounterProcess {
    /// Starts this binary once more, as a counter whose calls last long enough to be cut in two.
    pub fn start() -> Result<Self> {
        let this = std::env::current_exe().context("this binary does not know its own path")?;
        let slowly = ["--delay-ms", "50", "--answer-delay-ms", "150"];
        let process = Launch::new(this).args(["counter", "--port", "0"]).args(slowly).start()?;
        let line =
            process.wait_line(START_WAIT, "the counter's address", |line| line.text.starts_with(LISTENS))?;
        let said = line.trim_start_matches(LISTENS);
        let url = said.split(';').next().unwrap_or(said).to_owned();
        Ok(Self { url, _process: process })
    }

    /// What was executed so far.
    pub async fn counts(&self, http: &reqwest::Client) -> Result<Counts> {
        let answer = http.get(format!("{}/counts", self.url)).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }
}
