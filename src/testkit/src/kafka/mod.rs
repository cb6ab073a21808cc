//! A real Apache Kafka for tests: brokers from the published jars, in KRaft mode, without Docker.
//!
//! `jars` fetches the jars once per machine, `broker` is one broker process, `probe` asks it whether it
//! serves, `cluster` is what tests hold, `tools` runs Kafka's own command-line tools from the same jars.
//! Needs Java 17 and, for the first run, Maven; [`require`] says so loudly where they are missing.
//! Callboard's own Kafka client is not involved: what is read here is read as a stranger would.

mod broker;
mod cluster;
mod jars;
mod probe;
mod tools;

use std::process::Command;
use std::sync::OnceLock;

pub use cluster::{Cluster, ClusterOptions, StartError};
pub use jars::{JarsError, KAFKA_VERSION};
pub use tools::{ToolError, ToolOutput};

/// What Kafka 4 asks for.
const JAVA_NEEDED: u32 = 17;

static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();

/// Whether this machine can run Kafka: Java 17 or newer, and Maven unless the jars are here already.
pub fn available() -> Result<(), String> {
    AVAILABLE.get_or_init(look_around).clone()
}

/// Whether to run a test that needs Kafka. Where Kafka cannot run it says on stderr that the test is SKIPPED
/// and why; with `CI` set it panics instead, since a build server that skips its Kafka tests proves nothing.
pub fn require() -> bool {
    let Err(why) = available() else { return true };
    assert!(std::env::var_os("CI").is_none(), "Kafka tests cannot run here, and CI is set: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    crate::announce(&format!("testkit: SKIPPED {test}: no real Kafka on this machine: {why}"));
    false
}

/// The one-broker cluster that all tests of this process share, started by the first that asks. Nothing where
/// Kafka cannot run ([`require`] has said so). Use topic names of your own ([`crate::unique_name`]), and do
/// not kill it. Its broker ends with this process.
///
/// # Panics
/// When Kafka should run and does not.
pub fn shared() -> Option<&'static Cluster> {
    if !require() {
        return None;
    }
    let started = SHARED
        .get_or_init(|| Cluster::start(ClusterOptions::default()).map_err(|error| error.to_string()))
        .as_ref();
    Some(started.unwrap_or_else(|error| panic!("the shared Kafka does not start: {error}")))
}

fn look_around() -> Result<(), String> {
    let version = Command::new(jars::java()).arg("-version").output().map_err(|error| {
        format!("java does not start ({error}); install a JDK or JRE {JAVA_NEEDED} or newer")
    })?;
    let said = String::from_utf8_lossy(&version.stderr);
    match java_major(&said) {
        Some(major) if major >= JAVA_NEEDED => {}
        Some(major) => return Err(format!("java is version {major}; Kafka needs {JAVA_NEEDED} or newer")),
        None => return Err(format!("java does not say its version: {}", said.trim())),
    }
    if jars::cached() {
        return Ok(());
    }
    match Command::new("mvn").arg("-v").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("mvn -v fails: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => {
            Err(format!("mvn does not start ({error}); install Maven, it fetches Kafka's jars once"))
        }
    }
}

/// The major version in what `java -version` prints: `"17.0.15"` is 17, `"1.8.0_412"` is 8.
fn java_major(said: &str) -> Option<u32> {
    let quoted = said.split('"').nth(1)?;
    let mut numbers = quoted.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::java_major;

    #[test]
    fn reads_the_java_version_of_every_era() {
        assert_eq!(java_major("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        assert_eq!(java_major("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(java_major("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(java_major("java version \"1.8.0_412\""), Some(8));
        assert_eq!(java_major("no java here"), None);
    }
}
