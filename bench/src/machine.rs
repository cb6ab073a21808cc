//! On what a figure was taken.

use serde::Serialize;

use crate::result;

/// The machine and the build, without anything that names them.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub memory_gb: u64,
    pub processor: String,
    pub kernel: String,
    pub bench_build: &'static str,
    pub version: &'static str,
    /// Of the checkout that the bench runs in; null outside of one.
    pub commit: Option<String>,
}

impl Machine {
    pub fn look() -> Self {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let kb = field("/proc/meminfo", "MemTotal");
        let kb: u64 = kb.trim_end_matches(" kB").trim().parse().unwrap_or_default();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let git = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
        let commit = git.ok().filter(|git| git.status.success());
        Self {
            cores: result::cores(),
            memory_gb: kb >> 20,
            processor: field("/proc/cpuinfo", "model name"),
            kernel: kernel.trim().to_owned(),
            bench_build: result::build(),
            version: env!("CARGO_PKG_VERSION"),
            commit: commit.map(|git| String::from_utf8_lossy(&git.stdout).trim().to_owned()),
        }
    }
}
