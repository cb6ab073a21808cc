//! A server as a process: started with a small environment in a process group of its own, read through
//! [`crate::stdout`] and [`crate::stderr`], ended with its whole group and always reaped.
//!
//! [`crate::life`] starts one for every life of a server. No one else signals it.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::task::AbortOnDropHandle;

use crate::INHERITED;
use crate::settings::{Reach, Settings};
use crate::stderr::{LastWords, pump};
use crate::stdout::{Notes, Watched};

/// A server whose input has ended usually ends by itself…
const END_WITHIN: Duration = Duration::from_millis(500);
/// …and when told to, at the latest.
const TERM_WITHIN: Duration = Duration::from_millis(500);
/// The last line of standard error is a pipe away once the process has ended.
const WORDS_WITHIN: Duration = Duration::from_millis(200);

/// The running process.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    /// The process is the leader of its group.
    group: Option<Pid>,
    pub notes: Notes,
    last: LastWords,
    stderr: AbortOnDropHandle<()>,
}

/// Its standard streams.
pub(crate) type Pipes = (Watched<ChildStdout>, ChildStdin);

impl ServerProcess {
    /// Starts the process of a server that is reached by its standard streams.
    ///
    /// # Errors
    /// Why it does not start, in a sentence.
    pub fn start(settings: &Settings) -> Result<(Self, Pipes), String> {
        let Reach::Stdio { command, args, env, cwd } = &settings.reach else {
            return Err("it is not started here".to_owned());
        };
        let mut builder = Command::new(command);
        builder.args(args).env_clear();
        builder.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        builder.envs(env.iter().map(|(name, value)| (name, value.expose())));
        if let Some(cwd) = cwd {
            builder.current_dir(cwd);
        }
        builder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = builder.process_group(0).kill_on_drop(true).spawn().map_err(|error| {
            let place = cwd.as_ref().filter(|cwd| !cwd.is_dir());
            match place {
                Some(cwd) => format!("its cwd {} is no folder", cwd.display()),
                None => format!("{command:?} does not start: {error}"),
            }
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let (notes, last) = (Notes::default(), LastWords::default());
        let stdout = child.stdout.take().expect("standard output is piped");
        let stdin = child.stdin.take().expect("standard input is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let stderr = pump(settings.name.clone(), stderr, settings.masks.clone(), last.clone());
        let stderr = AbortOnDropHandle::new(tokio::spawn(stderr));
        let stdout = Watched::new(stdout, notes.clone());
        Ok((Self { child, group, notes, last, stderr }, (stdout, stdin)))
    }

    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process has ended, and says how. What it has left of its group is killed: it would hold our pipes
    /// open for nobody.
    pub async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.signal(Signal::KILL);
        let how = match status {
            Ok(status) => ending(status),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        // Its last words may still be in the pipe.
        if !self.stderr.is_finished() {
            let _ = tokio::time::timeout(WORDS_WITHIN, &mut self.stderr).await;
        }
        match self.last.get() {
            Some(words) => format!("its process {how}; it said last: {words}"),
            None => format!("its process {how}"),
        }
    }

    /// Kills it and its group as a crash would.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Ends it: its input has been closed, then it is asked, then killed; with its group, and reaped.
    pub async fn end(mut self) {
        if tokio::time::timeout(END_WITHIN, self.child.wait()).await.is_err() {
            self.signal(Signal::TERM);
            let _ = tokio::time::timeout(TERM_WITHIN, self.child.wait()).await;
        }
        self.signal(Signal::KILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a process of an MCP server could not be waited for");
        }
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone has nobody to signal.
        let _ = self.group.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Whoever drops it without ending it has no time; the runtime reaps its leader.
        if self.child.id().is_some() {
            self.signal(Signal::KILL);
        }
    }
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
