//! What to start: program, arguments, environment, where its output goes.
//!
//! The first half of [`crate::process`]: [`Launch::start`] turns it into a [`Process`].

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;

use super::orphan::KillGuard;
use super::output::{Output, Stream};
use super::{Process, ProcessError};

/// Lines kept in memory unless told otherwise: a chatty server for some minutes, a few megabytes.
const KEPT_LINES: usize = 20_000;

/// A process to be started. The environment is inherited; its standard input is empty.
#[derive(Debug, Clone)]
pub struct Launch {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    input: Option<Vec<u8>>,
    log: Option<PathBuf>,
    kept_lines: usize,
}

impl Launch {
    /// `program` as a path, or as a name to be found in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
            input: None,
            log: None,
            kept_lines: KEPT_LINES,
        }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Keeps an environment variable of the person who runs the test from the process.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// The working folder.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// What it reads from its standard input, which then ends.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Appends both streams to this file too.
    pub fn log_to(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// How many lines stay in memory; the oldest go first.
    pub fn keep_lines(mut self, lines: usize) -> Self {
        self.kept_lines = lines;
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<Process, ProcessError> {
        let program = self.program.to_string_lossy().into_owned();
        self.spawn(&program).map_err(|source| ProcessError::NotStarted { program, source })
    }

    fn spawn(self, program: &str) -> io::Result<Process> {
        let log =
            self.log.as_ref().map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        let mut child = self.command().spawn()?;
        let pid = child.id();
        let guard = match KillGuard::over(pid) {
            Ok(guard) => guard,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let output = Output::new(self.kept_lines, log);
        output.read(Stream::Stdout, child.stdout.take().expect("standard output is piped"));
        output.read(Stream::Stderr, child.stderr.take().expect("standard error is piped"));
        if let Some(bytes) = self.input {
            feed(child.stdin.take().expect("standard input is piped"), bytes);
        }
        Ok(Process { program: program.to_owned(), pid, child: Mutex::new(child), output, _guard: guard })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

/// A pipe holds 64 KiB: writing from the caller's thread could wait for a process that waits for its reader.
fn feed(mut stdin: ChildStdin, bytes: Vec<u8>) {
    std::thread::spawn(move || {
        // A process that does not want its input closes it; what it did want shows in its exit status.
        let _ = stdin.write_all(&bytes);
    });
}
