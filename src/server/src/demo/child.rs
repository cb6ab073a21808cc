//! The server under demonstration: this same executable as a child process, started again when it was killed.
//!
//! It ends with its [`Child`], and with the demo itself even when that is ended by SIGKILL (the testkit's processes
//! do). Everything is asked of it over HTTP, as a stranger would.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callboard_testkit::process::{Launch, Process};
use serde_json::Value;

use crate::cli::client::{Client, Miss, Request};
use crate::cli::{Failure, Global};

/// A server on this machine answers a look within this; one that is being killed never does.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at a server that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A start takes half a second; this is for a machine that does much else, and for Kafka's first assignment.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// SIGTERM ends a server within 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(11);

/// A serving child process.
pub struct Child {
    launch: Launch,
    process: Process,
    url: String,
    client: Client,
}

impl Child {
    /// Starts it; [`Self::ready`] says when it serves.
    ///
    /// # Errors
    /// When this executable cannot be started again.
    pub fn start(launch: Launch, address: SocketAddr) -> Result<Self, Failure> {
        let url = format!("http://{address}");
        let client = Client::new(&global(&url))?;
        let process = launch.clone().start().map_err(Failure::job)?;
        Ok(Self { launch, process, url, client })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it without a limit of time.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// What it said last, for the person who has to find out why it did not serve.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.process.tail()
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ending(&self) -> Option<std::process::ExitStatus> {
        self.process.wait_exit(Duration::ZERO).ok()
    }

    /// SIGKILL; returns when it is gone.
    ///
    /// # Errors
    /// When it had ended before, or does not end.
    pub fn sigkill(&self) -> Result<(), Failure> {
        self.process.sigkill().map(drop).map_err(Failure::job)
    }

    /// Starts it again, at the same address on the same folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn again(&mut self) -> Result<(), Failure> {
        self.process = self.launch.clone().start().map_err(Failure::job)?;
        Ok(())
    }

    /// Ends it in order. One that does not end in time is killed with its value.
    pub async fn stop(&self) {
        if self.process.sigterm().is_err() {
            return;
        }
        let began = Instant::now();
        while self.is_running() && began.elapsed() < STOP_WITHIN {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until a question would be served; how long that took.
    ///
    /// # Errors
    /// When it ends instead, or does not get there in time.
    pub async fn ready(&self) -> Result<Duration, Failure> {
        let began = Instant::now();
        while self.get("/readyz").await.is_err() {
            if !self.is_running() {
                return Err(Failure::job(format!("the server ended:\n{}", self.last_words())));
            }
            if began.elapsed() > READY_WITHIN {
                let tail = self.last_words();
                return Err(Failure::job(format!("the server is not ready after {READY_WITHIN:?}:\n{tail}")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(began.elapsed())
    }

    /// # Errors
    /// As [`Client::attempt`]; no answer in time is passing.
    pub async fn get(&self, path: &str) -> Result<Value, Miss> {
        self.send(Request::get(path), LOOK_TIMEOUT).await
    }

    /// # Errors
    /// As [`Client::attempt`]; no answer within `timeout` is passing.
    pub async fn send(&self, request: Request<'_>, timeout: Duration) -> Result<Value, Miss> {
        let late = || Miss::Passing(Failure::job(format!("{} did not answer in time", self.url)));
        tokio::time::timeout(timeout, self.client.attempt(request)).await.map_err(|_| late())?
    }

    /// JSON lines.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn lines(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let request = Request::get(path).accept("application/x-ndjson");
        let response = self.client.wanted(request, Some(LOOK_TIMEOUT)).await?;
        let text = response.text().await.map_err(|error| Failure::job(error.without_url()))?;
        text.lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).map_err(Failure::job))
            .collect()
    }
}

/// What the client needs to know; nothing of the surrounding configuration.
fn global(url: &str) -> Global {
    Global {
        config: None,
        data_dir: None,
        kafka_brokers: None,
        server: Some(url.to_owned()),
        api_key: None,
        offline: false,
        json: true,
    }
}
