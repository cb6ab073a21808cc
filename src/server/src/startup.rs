//! Before a node starts on Kafka: are its topics there, and as declared? Used by `serve`.

use crate::cli::Failure;
use crate::config::Config;
use crate::wiring::Engine;

/// Looks at Kafka's topics: missing ones are created where that is allowed, drift that would break the meaning
/// of the log refuses the start, the rest is warned of. `waiting` hears why it takes longer.
///
/// # Errors
/// The difference, and the command that mends it.
#[cfg(feature = "kafka")]
pub async fn topics(config: &Config, engine: &Engine, waiting: impl Fn(&str)) -> Result<(), Failure> {
    use callboard_ports::admin::TopicAdmin;
    use std::time::Duration;

    /// As long as brokers elect controllers and leaders; meanwhile readiness says what is waited for.
    const ASK_AGAIN: Duration = Duration::from_secs(1);
    let Engine::Kafka(kafka) = engine else { return Ok(()) };
    let mut applied = false;
    loop {
        let drift = match kafka.diff().await {
            Ok(drift) => drift,
            Err(error) => {
                waiting(&format!("Kafka does not describe its topics: {error}"));
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
        };
        let missing = drift.iter().any(|one| one.what == "missing");
        if missing && kafka.may_create_topics() && !applied {
            match kafka.create_missing().await {
                Ok(done) => {
                    done.iter().for_each(|line| tracing::info!("topics: {line}"));
                    applied = true;
                }
                Err(error) => {
                    waiting(&format!("the topics cannot be created yet: {error}"));
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
            continue;
        }
        for one in drift.iter().filter(|one| !one.fatal && one.what != "missing") {
            tracing::warn!("topics: {}", drift_line(one));
        }
        let fatal: Vec<String> =
            drift.iter().filter(|one| one.fatal || one.what == "missing").map(drift_line).collect();
        if fatal.is_empty() {
            return Ok(());
        }
        let brokers = config.kafka.brokers.as_ref().map_or("", |brokers| &brokers.0);
        return Err(Failure::usage(format!(
            "the topics are not as declared: {}; `callboard topics apply --kafka-brokers {brokers}` mends what can be mended",
            fatal.join("; ")
        )));
    }
}

/// The embedded log makes its topics itself.
///
/// # Errors
/// Never.
#[cfg(not(feature = "kafka"))]
pub async fn topics(_: &Config, _: &Engine, _: impl Fn(&str)) -> Result<(), Failure> {
    Ok(())
}

/// A difference as one line.
#[cfg(feature = "kafka")]
#[must_use]
pub fn drift_line(drift: &callboard_ports::admin::TopicDrift) -> String {
    let weight = if drift.fatal { "fatal" } else { "warning" };
    format!("{weight}: {}: {} should be {}, is {}", drift.topic, drift.what, drift.wanted, drift.found)
}
