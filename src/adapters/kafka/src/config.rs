//! Where and as whom to connect, and the librdkafka settings of each kind of client with their reasons.
//!
//! Three layers, the later wins: defaults for everybody, defaults of the role, `properties` of the user. What the
//! adapter's correctness rests on cannot be set ([`RESERVED`]).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::error::ConnectError;

/// How members of a group agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// Cooperative-sticky by the members, session timeout by the client. Static members come back in 0.1 s.
    #[default]
    Classic,
    /// KIP-848: the broker assigns. Dynamic members only: a static one that was killed is refused
    /// (UNRELEASED_INSTANCE_ID) until the broker's session timeout is over.
    Consumer,
}

/// Where and as whom to connect.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `HOST:PORT`, separated by commas.
    pub brokers: String,
    /// Begins every topic, group and client id.
    pub topic_prefix: String,
    /// Stable name of this node (of its data folder); with `client_role` it is the static member's identity.
    pub node_id: String,
    /// `serve`, `worker-default`, …: tells processes on one data folder apart, in identities and client ids.
    pub client_role: String,
    pub static_membership: bool,
    pub group_protocol: GroupProtocol,
    /// Declared partition count of the conversation topics.
    pub partitions: u32,
    /// Any librdkafka property; wins over the defaults.
    pub properties: BTreeMap<String, String>,
    /// Whether missing topics may be created without being asked again.
    pub create_topics: bool,
}

impl KafkaConfig {
    /// Defaults for these brokers: static members, classic protocol, 8 partitions, no prefix.
    #[must_use]
    pub fn new(brokers: impl Into<String>, node_id: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic_prefix: String::new(),
            node_id: node_id.into(),
            client_role: "serve".to_owned(),
            static_membership: true,
            group_protocol: GroupProtocol::Classic,
            partitions: 8,
            properties: BTreeMap::new(),
            create_topics: false,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConnectError> {
        if self.brokers.split(',').all(|broker| broker.trim().is_empty()) {
            return Err(ConnectError::NoBrokers);
        }
        // Kafka copes with more; partitions of conversations are owners at most, and 1,024 owners are plenty.
        if !(1..=1024).contains(&self.partitions) {
            return Err(ConnectError::Partitions(self.partitions));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.topic_prefix.len() > 64 || !self.topic_prefix.chars().all(plain) {
            return Err(ConnectError::Prefix(self.topic_prefix.clone()));
        }
        for name in self.properties.keys() {
            if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                return Err(ConnectError::Reserved { name: name.clone(), why });
            }
        }
        Ok(())
    }

    /// Static members are a matter of the classic protocol.
    pub(crate) fn instance_id(&self) -> Option<String> {
        let stable = self.static_membership && self.group_protocol == GroupProtocol::Classic;
        stable.then(|| format!("{}-{}", self.node_id, self.client_role))
    }

    /// For metadata, watermarks and administration.
    pub(crate) fn asker(&self) -> ClientConfig {
        self.with(&[("isolation.level", "read_uncommitted")])
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        self.with(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // A turn is a chain of hops: each waits for its append, so nothing is gained by lingering.
            ("linger.ms", "0"),
            // How long an append may be in doubt; the host decides the same command again after it.
            ("message.timeout.ms", "30000"),
            ("compression.type", "none"),
            // Dead letters are the largest records: 2 MiB with their headers.
            ("message.max.bytes", "2097152"),
            // Above our own bounds (`open_batches`), so that a batch is enqueued whole or not at all.
            ("queue.buffering.max.messages", "200000"),
            ("queue.buffering.max.kbytes", "262144"),
        ])
    }

    pub(crate) fn tail(&self, group: &str) -> ClientConfig {
        self.reader(&[
            ("group.id", group),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_uncommitted"),
            // Delays no new data: a fetch that waits is answered as soon as there is some.
            ("fetch.wait.max.ms", "100"),
            ("queued.max.messages.kbytes", "16384"),
        ])
    }

    pub(crate) fn replayer(&self, group: &str) -> ClientConfig {
        self.reader(&[
            ("group.id", group),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_uncommitted"),
            ("enable.partition.eof", "true"),
            // The end of a range is often the end of the log: a short wait tells it soon.
            ("fetch.wait.max.ms", "10"),
            // Catching up is throughput: four replayers hold 256 MiB at the very most.
            ("queued.max.messages.kbytes", "65536"),
        ])
    }

    pub(crate) fn member(&self, group: &str) -> ClientConfig {
        let instance = self.instance_id();
        let mut settings = vec![
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("fetch.wait.max.ms", "100"),
            ("queued.max.messages.kbytes", "16384"),
            // A commit or position query to a silent broker must not hold a revocation for a minute.
            ("socket.timeout.ms", "10000"),
        ];
        match self.group_protocol {
            GroupProtocol::Classic => settings.extend([
                ("group.protocol", "classic"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                // The broker's lowest: a killed member's partitions move after this long.
                ("session.timeout.ms", "6000"),
                // A member learns of a rebalance with its heartbeat, so this is how fast partitions change hands.
                ("heartbeat.interval.ms", "500"),
            ]),
            GroupProtocol::Consumer => settings.push(("group.protocol", "consumer")),
        }
        if let Some(instance) = &instance {
            settings.push(("group.instance.id", instance));
        }
        self.reader(&settings)
    }

    fn reader(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut all = vec![
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("allow.auto.create.topics", "false"),
            // Its default of 1 s stalls a reader whose queue was full.
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.error.backoff.ms", "100"),
        ];
        all.extend_from_slice(settings);
        self.with(&all)
    }

    fn with(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", format!("{}callboard-{}", self.topic_prefix, self.client_role));
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("socket.keepalive.enable", "true");
        config.set("socket.nagle.disable", "true");
        // A broker that has just started may tell of fewer partitions than there are: not believed for five minutes.
        config.set("topic.metadata.refresh.interval.ms", "10000");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        // Connection failures come at `error`, each of them; `reach` says them once, in its own words.
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

/// Properties that belong to the adapter.
const RESERVED: [(&str, &str); 12] = [
    ("bootstrap.servers", "that is kafka.brokers"),
    ("metadata.broker.list", "that is kafka.brokers"),
    ("group.id", "groups have fixed names; use kafka.topic_prefix to tell installations apart"),
    ("group.instance.id", "it is the node's id and role"),
    ("group.protocol", "use kafka.group_protocol, which adjusts what goes with it"),
    ("enable.auto.commit", "a position is committed when its work is done, never by a timer"),
    ("enable.auto.offset.store", "a position is committed when its work is done, never by a timer"),
    ("auto.offset.reset", "what was not read must be noticed, never skipped"),
    ("enable.partition.eof", "replays end by it"),
    ("enable.idempotence", "accepted means durable, once and in order"),
    ("acks", "accepted means durable: all in-sync replicas have it"),
    ("request.required.acks", "accepted means durable: all in-sync replicas have it"),
];

/// Whether a property's value must never be shown.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "password",
        "secret",
        "token",
        "key.pem",
        "ssl.key",
        "ssl_key",
        "jaas",
        "oauthbearer.config",
        "assertion",
    ]
    .iter()
    .any(|part| name.contains(part))
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(name, value)| (&**name, if is_secret(name) { "***" } else { &**value }))
            .collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("node_id", &self.node_id)
            .field("client_role", &self.client_role)
            .field("static_membership", &self.static_membership)
            .field("group_protocol", &self.group_protocol)
            .field("partitions", &self.partitions)
            .field("properties", &shown)
            .field("create_topics", &self.create_topics)
            .finish()
    }
}

/// Whether every broker in `HOST:PORT,…` is this very machine.
#[must_use]
pub fn all_loopback(brokers: &str) -> bool {
    let mut hosts = brokers.split(',').map(str::trim).filter(|broker| !broker.is_empty()).peekable();
    hosts.peek().is_some() && hosts.all(is_loopback)
}

fn is_loopback(broker: &str) -> bool {
    let broker = broker.rsplit("://").next().unwrap_or(broker);
    let host = match broker.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if broker.matches(':').count() > 1 => broker,
        None => broker.split(':').next().unwrap_or(broker),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{KafkaConfig, all_loopback};
    use crate::error::ConnectError;

    #[test]
    fn knows_this_machine() {
        for here in ["localhost", "127.0.0.1:9092", "localhost:1, 127.8.8.8:2", "[::1]:9092", "::1"] {
            assert!(all_loopback(here), "{here}");
        }
        for elsewhere in
            ["", ",", "kafka:9092", "localhost:1,10.0.0.1:2", "[fe80::1]:9092", "localhost.example.org"]
        {
            assert!(!all_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = KafkaConfig::new("b:9092", "node");
        for name in ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret", "ssl.key.pem"] {
            config.properties.insert(name.to_owned(), "hunter2".to_owned());
        }
        config.properties.insert("sasl.username".to_owned(), "ann".to_owned());
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && shown.contains("ann"), "{shown}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        let good = KafkaConfig::new("b:9092", "node");
        assert!(good.validate().is_ok());
        let bad = KafkaConfig { brokers: " , ".to_owned(), ..good.clone() };
        assert!(matches!(bad.validate(), Err(ConnectError::NoBrokers)));
        let bad = KafkaConfig { partitions: 0, ..good.clone() };
        assert!(matches!(bad.validate(), Err(ConnectError::Partitions(0))));
        let bad = KafkaConfig { topic_prefix: "a b".to_owned(), ..good.clone() };
        assert!(matches!(bad.validate(), Err(ConnectError::Prefix(_))));
        let mut bad = good;
        bad.properties.insert("acks".to_owned(), "1".to_owned());
        let said = bad.validate().expect_err("reserved").to_string();
        assert!(said.contains("acks") && said.contains("durable"), "{said}");
    }

    #[test]
    fn properties_win_over_defaults() {
        let mut config = KafkaConfig::new("b:9092", "node");
        config.properties.insert("linger.ms".to_owned(), "7".to_owned());
        config.topic_prefix = "x-".to_owned();
        let producer = config.producer();
        assert_eq!(producer.get("linger.ms"), Some("7"));
        assert_eq!(producer.get("client.id"), Some("x-callboard-serve"));
        assert_eq!(config.member("g").get("group.instance.id"), Some("node-serve"));
        config.static_membership = false;
        assert_eq!(config.member("g").get("group.instance.id"), None);
    }
}
