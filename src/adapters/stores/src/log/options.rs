//! How an embedded log is opened, and why it is not.

use std::path::PathBuf;

/// When an append counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// Every append has an fsync of its own.
    Always,
    /// Appends that wait together share one. The receipt still comes after it.
    #[default]
    Group,
    /// After the write to the operating system: survives the death of the process, not of the machine.
    Never,
}

impl Fsync {
    /// The word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Group => "group",
            Self::Never => "never",
        }
    }
}

impl std::str::FromStr for Fsync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Always, Self::Group, Self::Never]
            .into_iter()
            .find(|mode| mode.word() == text)
            .ok_or_else(|| format!("log.fsync is always, group or never, not {text:?}"))
    }
}

/// How long records are kept, milliseconds; `conversation-events` are kept for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub user_commands_ms: i64,
    pub requests_ms: i64,
    pub dead_letters_ms: i64,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Default for Retention {
    /// As `topics.toml` has it for Kafka.
    fn default() -> Self {
        Self { user_commands_ms: 30 * DAY_MS, requests_ms: 7 * DAY_MS, dead_letters_ms: 30 * DAY_MS }
    }
}

/// Options of an embedded log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Of every topic; fixed when the log is made.
    pub partitions: u32,
    pub fsync: Fsync,
    pub retention: Retention,
    /// Appends that wait for the writer: about a second of its work…
    pub queue_records: usize,
    /// …and no more memory than this.
    pub queue_bytes: usize,
    /// The newest records, for readers close to the end.
    pub ring_bytes: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            partitions: 8,
            fsync: Fsync::default(),
            retention: Retention::default(),
            queue_records: 64 * 1024,
            queue_bytes: 64 * 1024 * 1024,
            ring_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Why the log cannot be opened; one line each.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the log in {path} is in use by another process", path = path.display())]
    Locked { path: PathBuf },
    #[error("the log in {path} cannot be opened: {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "the log in {path} is damaged: {what}; `callboard doctor --repair-log` saves what can be read",
        path = path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error("the log in {path} has format {found}, this build knows {known}; use a newer build", path = path.display())]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error(
        "the log in {path} has {found} partitions and {wanted} were asked for; their number is fixed for ever",
        path = path.display()
    )]
    Partitions { path: PathBuf, found: u32, wanted: u32 },
    #[error("a log has 1 to 1,024 partitions, not {wanted}")]
    PartitionsOutOfRange { wanted: u32 },
}
