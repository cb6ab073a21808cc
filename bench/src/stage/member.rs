//! One process of Callboard: killed, frozen and started again under the same name, port and data folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use callboard_testkit::process::{Launch, Process};

/// Lines of output kept in memory; all of them are in the member's file.
const KEPT_LINES: usize = 200;

/// What a process does in the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Serve,
    Tools,
    Synthesis,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Tools => "tool worker",
            Self::Synthesis => "synthesis worker",
        }
    }
}

/// A process and how to start it again.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub role: Role,
    pub url: String,
    pub data: PathBuf,
    launch: Launch,
    process: Mutex<Option<Process>>,
    paused: AtomicBool,
    /// Exit codes of processes that ended without being told to.
    exits: Mutex<BTreeMap<String, u32>>,
}

impl Member {
    /// Nothing runs yet; [`Self::start`] does it.
    pub fn new(name: &str, role: Role, url: String, data: PathBuf, launch: Launch) -> Self {
        Self {
            name: name.to_owned(),
            role,
            url,
            data,
            launch: launch.keep_lines(KEPT_LINES),
            process: Mutex::new(None),
            paused: AtomicBool::new(false),
            exits: Mutex::default(),
        }
    }

    /// Starts it; whatever ran before is killed.
    pub fn start(&self) -> Result<()> {
        let mut process = self.process();
        *process = None;
        *process = Some(self.launch.clone().start()?);
        self.paused.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// SIGKILL; returns when it is gone.
    pub fn end(&self) {
        *self.process() = None;
    }

    /// SIGTERM; gives the exit code.
    pub fn stop(&self, within: Duration) -> Result<Option<i32>> {
        let taken = self.process().take();
        let Some(process) = taken else { return Ok(None) };
        process.sigterm()?;
        Ok(process.wait_exit(within)?.code())
    }

    pub fn pause(&self) -> Result<()> {
        if let Some(process) = &*self.process() {
            process.sigstop()?;
            self.paused.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    pub fn resume(&self) -> Result<()> {
        if self.paused.swap(false, Ordering::Relaxed)
            && let Some(process) = &*self.process()
        {
            process.sigcont()?;
        }
        Ok(())
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Whether it was started and not ended for good.
    pub fn is_on(&self) -> bool {
        self.process().is_some()
    }

    /// Starts it again where it ended by itself, as any service manager would; gives how it ended.
    pub fn revive(&self) -> Result<Option<String>> {
        let ended = {
            let process = self.process();
            let Some(process) = &*process else { return Ok(None) };
            if process.is_running() {
                return Ok(None);
            }
            let status = process.wait_exit(Duration::from_secs(1))?;
            status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
        };
        *self.exits.lock().unwrap_or_else(PoisonError::into_inner).entry(ended.clone()).or_default() += 1;
        self.start()?;
        Ok(Some(ended))
    }

    /// How often it ended by itself, by how.
    pub fn exits(&self) -> BTreeMap<String, u32> {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resident memory, as /proc has it.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most that it has been since the process started.
    pub fn most_resident_bytes(&self) -> Option<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, field: &str) -> Option<u64> {
        let pid = self.process().as_ref().map(Process::pid)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kb| kb << 10)
    }

    /// Processor time that it has used, milliseconds, as /proc has it.
    pub fn cpu_ms(&self) -> Option<f64> {
        /// Of a tick in /proc, on every Linux that there is.
        const TICK_MS: f64 = 10.0;
        let pid = self.process().as_ref().map(Process::pid)?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
        Some((ticks(11)? + ticks(12)?) * TICK_MS)
    }

    /// Bytes that it has had written to the disk, where the system counts them.
    pub fn written_bytes(&self) -> Option<u64> {
        let pid = self.process().as_ref().map(Process::pid)?;
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
    }

    /// Its last words.
    pub fn tail(&self) -> String {
        self.process().as_ref().map(Process::tail).unwrap_or_default()
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
