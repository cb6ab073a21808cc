//! Nothing outlives the process that started it: not when that is ended by SIGKILL, and not for being a
//! `static`.
//!
//! A guard is a small shell that waits on a pipe whose other end only this process holds. When this process
//! ends, in whatever way, the kernel closes the pipe and the shell does its one job. `PR_SET_PDEATHSIG` would
//! not do: it fires when the *thread* that started the child ends, and every test runs in a thread of its
//! own. Used by [`super::launch`] for each process and by [`crate::kafka`] for a cluster's folder.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A line means that the job is no longer needed; the end of the pipe means that its owner is gone.
const KILL: &str = r#"read -r _ || kill -KILL "$1""#;
/// Killed brokers may still be writing for an instant, so one attempt is not enough.
const REMOVE: &str = r#"read -r _ || for _ in 1 2 3 4 5; do rm -rf "$1" && break; sleep 1; done"#;

/// Kills a process when this one ends first. Drop it after the process that it guards has been reaped: a
/// process id is not reused before that.
#[derive(Debug)]
pub(crate) struct KillGuard {
    _shell: Shell,
}

impl KillGuard {
    pub(crate) fn over(pid: u32) -> io::Result<Self> {
        Ok(Self { _shell: Shell::start(KILL, OsStr::new(&pid.to_string()))? })
    }
}

/// Removes a folder when this process ends without having done so.
#[derive(Debug)]
pub struct FolderGuard {
    _shell: Shell,
}

impl FolderGuard {
    /// Guards `folder` until dropped.
    pub fn over(folder: &Path) -> io::Result<Self> {
        Ok(Self { _shell: Shell::start(REMOVE, folder.as_os_str())? })
    }
}

#[derive(Debug)]
struct Shell(Child);

impl Shell {
    fn start(script: &str, subject: &OsStr) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", script, "testkit-guard"]).arg(subject);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C goes to the whole foreground group; the guard is needed most right then.
        command.process_group(0);
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // A guard that is already gone has nothing left to be told.
            let _ = pipe.write_all(b"\n");
        }
        let _ = self.0.wait();
    }
}
