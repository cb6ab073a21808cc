//! What a storage engine must give: an ordered map of bytes with an atomic, flushed write.

use std::path::Path;
use std::time::{Duration, Instant};

use callboard_ports::snapshot::SnapshotError;

use super::fjall_engine::FjallEngine;
use super::sled_engine::SledEngine;

/// Which engine keeps the snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    Sled,
    #[default]
    Fjall,
}

impl Engine {
    pub(super) const ALL: [Self; 2] = [Self::Sled, Self::Fjall];

    /// The folder in a data folder.
    pub(super) fn folder(self) -> String {
        format!("snapshots-{}", self.word())
    }

    /// The word of the configuration and of the folder.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
        }
    }
}

impl std::str::FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sled" => Ok(Self::Sled),
            "fjall" => Ok(Self::Fjall),
            _ => Err(format!("snapshots.engine is sled or fjall, not {text:?}")),
        }
    }
}

/// Key and new value; `None` removes.
pub(super) type Write = (Vec<u8>, Option<Vec<u8>>);

pub(super) trait Map: Send {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SnapshotError>;

    /// Gives entries from `from` on and below `to`, ascending, until `take` says `false`.
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), SnapshotError>;

    /// All of it or nothing, then flushed.
    fn write(&self, writes: Vec<Write>) -> Result<(), SnapshotError>;
}

/// Why an engine did not open.
pub(super) enum NotOpened {
    Locked,
    /// The folder could not be reached or written: another folder would not help.
    Io(std::io::Error),
    Broken(String),
}

/// Opens the map in `dir`. A store that was just closed in this process may hold its lock a moment longer.
pub(super) fn open(engine: Engine, dir: &Path) -> Result<Box<dyn Map>, NotOpened> {
    const PATIENCE: Duration = Duration::from_secs(3);
    const PAUSE: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    loop {
        let opened = match engine {
            Engine::Sled => SledEngine::open(dir).map(|map| Box::new(map) as Box<dyn Map>),
            Engine::Fjall => FjallEngine::open(dir).map(|map| Box::new(map) as Box<dyn Map>),
        };
        match opened {
            Err(NotOpened::Locked) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}
