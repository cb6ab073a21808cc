//! Kafka's jars: fetched once per machine with Maven, then shared by every test process.
//!
//! The cache is the testkit's ([`crate::cache`]), the folder below it `kafka-VERSION`. It appears by one rename, so it
//! is either whole or absent. Neighbours: [`super::broker`] and [`super::tools`] put the jars on a class path.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache;
use crate::process::{Launch, ProcessError};

/// The Kafka that tests run against.
pub const KAFKA_VERSION: &str = "4.1.0";
/// What to fetch. `kafka_2.13` is the broker; the console tools are an artifact of their own, and without a
/// binding for slf4j a broker that fails says nothing. The last two bring nothing along: what they need comes
/// with the broker.
const POM: &str = include_str!("kafka-jars.pom.xml");
/// Some 45 MB through a slow mirror.
const FETCH_WAIT: Duration = Duration::from_secs(600);

/// Why there are no jars.
#[derive(Debug, thiserror::Error)]
pub enum JarsError {
    /// No variable says where a cache may be.
    #[error("no folder for the Kafka jars: {0}")]
    NoFolder(#[from] cache::NoFolder),
    /// The cache cannot be read or written.
    #[error("the Kafka jars' folder {}: {source}", .folder.display())]
    Io {
        /// Which folder.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Maven did not bring them.
    #[error("Maven does not fetch the Kafka jars: {0}")]
    Fetch(#[from] ProcessError),
    /// Maven ended badly.
    #[error("Maven does not fetch the Kafka jars; it said last:\n{0}")]
    Maven(String),
}

/// The `java` of `JAVA_HOME`, as Maven would take it, or the one in `PATH`.
pub(super) fn java() -> PathBuf {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    home.filter(|java| java.is_file()).unwrap_or_else(|| PathBuf::from("java"))
}

/// Whether the jars are here, so that Maven is not needed.
pub(super) fn cached() -> bool {
    folder().is_ok_and(|folder| is_current(&folder))
}

/// The folder with the jars; fetches them when they are missing. Other processes that ask meanwhile wait.
pub(super) fn ensure() -> Result<PathBuf, JarsError> {
    let folder = folder()?;
    if !is_current(&folder) {
        let parent = folder.parent().expect("the folder has a parent: it was joined from one").to_owned();
        let at = |source| JarsError::Io { folder: parent.clone(), source };
        std::fs::create_dir_all(&parent).map_err(at)?;
        let lock = File::create(parent.join(format!("kafka-{KAFKA_VERSION}.lock"))).map_err(at)?;
        lock.lock().map_err(at)?;
        // Somebody may have fetched them while this process waited for the lock.
        if !is_current(&folder) {
            fetch(&folder, &parent)?;
        }
    }
    Ok(folder.join("lib"))
}

fn fetch(folder: &Path, parent: &Path) -> Result<(), JarsError> {
    let at = |source| JarsError::Io { folder: folder.to_owned(), source };
    crate::announce(&format!("testkit: fetching the jars of Kafka {KAFKA_VERSION} with Maven, once"));
    let fresh = tempfile::Builder::new().prefix("kafka-fetching-").tempdir_in(parent).map_err(at)?;
    std::fs::write(fresh.path().join("pom.xml"), POM).map_err(at)?;
    let maven = Launch::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"])
        .folder(fresh.path())
        .start()?;
    if !maven.wait_exit(FETCH_WAIT)?.success() {
        return Err(JarsError::Maven(maven.tail()));
    }
    if folder.exists() {
        // Of an older testkit that asked for other jars. Brokers that run from it have their files open.
        std::fs::remove_dir_all(folder).map_err(at)?;
    }
    std::fs::rename(fresh.keep(), folder).map_err(at)
}

/// The pom is what was asked for, so a cache with another pom is another cache.
fn is_current(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("pom.xml")).is_ok_and(|pom| pom == POM)
}

fn folder() -> Result<PathBuf, cache::NoFolder> {
    Ok(cache::folder()?.join(format!("kafka-{KAFKA_VERSION}")))
}
