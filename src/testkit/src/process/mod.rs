//! Running a binary under test: start it, read what it prints, signal it by process id, see it end.
//!
//! `launch` says what to start, `output` keeps what it prints, `orphan` ends it when this process dies first.
//! Used by [`crate::kafka`] for brokers and tools, and by end-to-end and chaos tests for `callboard` itself.

mod launch;
mod orphan;
mod output;

use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub use launch::Launch;
pub use orphan::FolderGuard;
use orphan::KillGuard;
use output::Output;
pub use output::{Line, Stream};

use crate::wait;

/// A killed process is gone in milliseconds; this long only if the kernel cannot end it (a dead disk).
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Once a process has ended, its last lines are a pipe away.
const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// What can go wrong with a process under test. Each says what it printed last.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The binary could not be started at all.
    #[error("{program} does not start: {source}")]
    NotStarted {
        /// What was to be started.
        program: String,
        /// Why it was not.
        source: std::io::Error,
    },
    /// It ran on and did not do what was waited for.
    #[error("{program}: no {what} within {after:?}; it said last:\n{tail}")]
    TimedOut {
        /// What runs.
        program: String,
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// Its last lines.
        tail: String,
    },
    /// It ended, or closed its output, before it did what was waited for.
    #[error("{program} ended before {what}; it said last:\n{tail}")]
    Ended {
        /// What ran.
        program: String,
        /// What was waited for.
        what: String,
        /// Its last lines.
        tail: String,
    },
    /// There is nobody to signal: it has ended.
    #[error("{program} has ended ({status}); it said last:\n{tail}")]
    NotRunning {
        /// What ran.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        tail: String,
    },
    /// The operating system refused.
    #[error("{program}: {what}: {source}")]
    Refused {
        /// What runs.
        program: String,
        /// What was asked.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A running process. Dropping it kills it, by process id, and takes its ending note.
#[derive(Debug)]
pub struct Process {
    program: String,
    pid: u32,
    /// One lock over "has it been reaped?" and "send a signal", so that a signal never meets a reused process
    /// id.
    child: Mutex<Child>,
    output: Output,
    /// After `child`: the guard must outlive the process that it guards.
    _guard: KillGuard,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended yet; a stopped one still runs.
    pub fn is_running(&self) -> bool {
        matches!(self.lock().try_wait(), Ok(None))
    }

    /// Kills it as a power cut would and returns when it is gone.
    pub fn sigkill(&self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::KILL)?;
        self.wait_exit(KILL_WAIT)
    }

    /// Asks it to end; [`Self::wait_exit`] says when it did.
    pub fn sigterm(&self) -> Result<(), ProcessError> {
        self.signal(Signal::TERM)
    }

    /// Freezes it, as a paused virtual machine or a sleeping laptop would.
    pub fn sigstop(&self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP)
    }

    /// Thaws it.
    pub fn sigcont(&self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT)
    }

    /// Waits until it has ended and its output is complete.
    pub fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        let ended = wait::until_some(timeout, "its end", || self.lock().try_wait().transpose());
        match ended {
            Ok(Ok(status)) => {
                self.output.wait_closed(DRAIN_WAIT);
                Ok(status)
            }
            Ok(Err(source)) => Err(self.refused("wait for its end", source)),
            Err(late) => Err(self.timed_out(&late.what, timeout)),
        }
    }

    /// The first line, of those printed so far or within `timeout`, that `matches`. `what` names it in the
    /// error.
    pub fn wait_line(
        &self,
        timeout: Duration,
        what: &str,
        matches: impl FnMut(&Line) -> bool,
    ) -> Result<String, ProcessError> {
        match self.output.wait_line(timeout, matches) {
            output::Waited::Found(text) => Ok(text),
            output::Waited::TimedOut => Err(self.timed_out(what, timeout)),
            output::Waited::Closed => Err(ProcessError::Ended {
                program: self.program.clone(),
                what: what.to_owned(),
                tail: self.tail(),
            }),
        }
    }

    /// Everything kept of both streams, in the order of arrival.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lines()
    }

    /// What was kept of its standard output.
    pub fn stdout(&self) -> String {
        self.output.text_of(Stream::Stdout)
    }

    /// What was kept of its standard error.
    pub fn stderr(&self) -> String {
        self.output.text_of(Stream::Stderr)
    }

    /// Its last lines, for an error message.
    pub fn tail(&self) -> String {
        self.output.tail()
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let mut child = self.lock();
        match child.try_wait() {
            Ok(Some(status)) => {
                let (program, tail) = (self.program.clone(), self.tail());
                Err(ProcessError::NotRunning { program, status, tail })
            }
            Ok(None) => kill_process(Pid::from_child(&child), signal)
                .map_err(|errno| self.refused("send a signal", errno.into())),
            Err(source) => Err(self.refused("see whether it runs", source)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn timed_out(&self, what: &str, after: Duration) -> ProcessError {
        let (program, what, tail) = (self.program.clone(), what.to_owned(), self.tail());
        ProcessError::TimedOut { program, what, after, tail }
    }

    fn refused(&self, what: &'static str, source: std::io::Error) -> ProcessError {
        ProcessError::Refused { program: self.program.clone(), what, source }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.lock();
        // `Child::kill` is SIGKILL by process id, and does nothing once the child has been reaped.
        let _ = child.kill();
        let _ = child.wait();
    }
}
