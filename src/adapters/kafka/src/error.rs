//! Errors, in sentences that never contain a secret.

use callboard_ports::log::LogError;
use rdkafka::error::KafkaError;

use crate::config::is_secret;

/// Why there is no [`crate::KafkaLog`]. None of these is about a broker that is away: that is waited for.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("kafka.brokers is empty; give at least one HOST:PORT, separated by commas")]
    NoBrokers,
    #[error("kafka.partitions is {0}; it must be from 1 to 1024")]
    Partitions(u32),
    #[error(
        "kafka.topic_prefix {0:?} cannot begin a topic's name; use at most 64 letters, digits, '.', '_' or '-'"
    )]
    Prefix(String),
    #[error("kafka.properties.{name:?} cannot be set: {why}")]
    Reserved { name: String, why: &'static str },
    #[error("librdkafka does not take the configuration: {0}")]
    Client(String),
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// What librdkafka says, without values of secret properties.
pub(crate) fn sentence(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) if is_secret(name) => {
            format!("the value of property {name} is not accepted (it is secret and not shown)")
        }
        KafkaError::ClientConfig(_, why, name, _) => format!("property {name}: {why}"),
        other => other.to_string(),
    }
}

/// The same as a failed read that may succeed later.
pub(crate) fn unavailable(what: &str, error: &KafkaError) -> LogError {
    LogError::Unavailable(format!("{what}: {}", sentence(error)))
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use rdkafka::ClientConfig;

    #[test]
    fn a_refused_secret_is_not_shown() {
        let mut config = ClientConfig::new();
        config.set("ssl.key.password", "hunter2").set("sasl.oauthbearer.client.secret", "hunter2");
        config.set("ssl_key", "hunter2");
        let error = config.create_native_config().err().expect("no such property as a string");
        assert!(!sentence(&error).contains("hunter2"), "{}", sentence(&error));
    }
}
