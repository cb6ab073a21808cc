//! The official server that has a tool of every kind, over streamable HTTP at [`HttpServer::url`]; it can be killed and
//! started again at the same address, where nobody knows its old sessions.

use std::process::ExitStatus;
use std::time::Duration;

use super::{NODE, Packages, PackagesError};
use crate::ports::free_port;
use crate::process::{Launch, Process, ProcessError};

/// A second on an idle machine; this long beside builds and brokers.
const START_WAIT: Duration = Duration::from_secs(60);

/// Why no server runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its package is not here.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// It does not start.
    #[error("the MCP server: {0}")]
    Process(#[from] ProcessError),
}

/// A running server. Dropping it kills it, by process id.
#[derive(Debug)]
pub struct HttpServer {
    launch: Launch,
    port: u16,
    process: Process,
}

impl HttpServer {
    /// Starts one on a free port and waits until it listens.
    ///
    /// # Errors
    /// What is missing, or what the server said last.
    pub fn start() -> Result<Self, StartError> {
        let port = free_port();
        let launch = Launch::new(NODE)
            .arg(Packages::ensure()?.everything())
            .arg("streamableHttp")
            .env("PORT", port.to_string());
        let process = started(&launch)?;
        Ok(Self { launch, port, process })
    }

    /// Where it takes messages.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    /// Kills it as a power cut would.
    ///
    /// # Errors
    /// When it had ended before, or does not end.
    pub fn kill(&self) -> Result<ExitStatus, ProcessError> {
        self.process.sigkill()
    }

    /// Starts it again at the same address after its end.
    ///
    /// # Errors
    /// What it said last.
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.process = started(&self.launch)?;
        Ok(())
    }
}

fn started(launch: &Launch) -> Result<Process, StartError> {
    let process = launch.clone().start()?;
    process
        .wait_line(START_WAIT, "the port it listens on", |line| line.text.contains("listening on port"))?;
    Ok(process)
}
