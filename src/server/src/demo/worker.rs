//! A worker process of a demo: this same executable as `callboard worker`, which listens nowhere.
//!
//! Its twin is [`super::child`], the server. It ends with its [`Worker`].

use callboard_testkit::process::{Launch, Process};

use crate::cli::Failure;

/// A running worker.
pub struct Worker {
    launch: Launch,
    process: Process,
}

impl Worker {
    /// # Errors
    /// When this executable cannot be started again.
    pub fn start(launch: Launch) -> Result<Self, Failure> {
        let process = launch.clone().start().map_err(Failure::job)?;
        Ok(Self { launch, process })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// SIGSTOP: it keeps what it has, and does nothing with it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn freeze(&self) -> Result<(), Failure> {
        self.process.sigstop().map_err(Failure::job)
    }

    /// SIGKILL; returns when it is gone.
    ///
    /// # Errors
    /// When it had ended before, or does not end.
    pub fn sigkill(&self) -> Result<(), Failure> {
        self.process.sigkill().map(drop).map_err(Failure::job)
    }

    /// Starts it again on the same folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn again(&mut self) -> Result<(), Failure> {
        self.process = self.launch.clone().start().map_err(Failure::job)?;
        Ok(())
    }

    /// Asks it to end; one that does not is killed with its value.
    pub fn stop(&self) {
        let _ = self.process.sigterm();
    }
}
