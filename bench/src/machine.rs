//! On what a figure was taken.

use serde::Serialize;

use crate::result;

/// Arguments whose value is a place on this machine.
const PLACES: [&str; 3] = ["--out", "--binary", "--keep"];

/// The machine, the build and the command, without anything that names the machine.
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
    /// What was typed behind `callboard-bench`, places on the machine left out.
    pub command: String,
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
            command: typed(std::env::args().skip(1)),
        }
    }
}

/// `arguments` as one line for a shell.
fn typed(mut arguments: impl Iterator<Item = String>) -> String {
    let mut words = Vec::new();
    while let Some(word) = arguments.next() {
        if PLACES.contains(&word.as_str()) {
            arguments.next();
        } else if PLACES.iter().all(|place| !word.starts_with(&format!("{place}="))) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/".contains(c);
            words.push(if word.chars().all(plain) { word } else { format!("'{word}'") });
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::typed;

    #[test]
    fn a_command_names_no_place_on_the_machine() {
        let words = ["turn", "--log", "kafka1", "--out", "/tmp/x", "--binary=/b", "--set", "a.b=1 2"];
        assert_eq!(typed(words.iter().map(ToString::to_string)), "turn --log kafka1 --set 'a.b=1 2'");
    }
}
