//! `topics.toml`, built in: what each topic should be and why.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::names::Names;

const TOPICS: &str = include_str!("../../../../../topics.toml");

/// A topic as it should be, under its full name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) partitions: u32,
    pub(super) replication: usize,
    min_insync_replicas: usize,
    config: BTreeMap<String, String>,
    /// The truth itself: losing records of it is fatal.
    pub(super) kept_for_ever: bool,
}

impl Declared {
    /// How many replicas a cluster of so many brokers can have.
    pub(super) fn replicas(&self, brokers: usize) -> usize {
        self.replication.min(brokers).max(1)
    }

    /// Settings for a topic with so many replicas: insisting on two copies where there is one would stop every append.
    pub(super) fn settings(&self, replicas: usize) -> BTreeMap<String, String> {
        let enough = if replicas >= self.replication { self.min_insync_replicas } else { 1 };
        let mut settings = self.config.clone();
        settings.entry("min.insync.replicas".to_owned()).or_insert_with(|| enough.to_string());
        settings
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    defaults: Defaults,
    topics: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    /// What a fresh installation uses; `kafka.partitions` is what counts here.
    #[serde(rename = "partitions")]
    _partitions: u32,
    replication: usize,
    min_insync_replicas: usize,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "key")]
    _key: String,
    #[serde(rename = "why")]
    _why: String,
    #[serde(default)]
    later: bool,
    partitions: Option<u32>,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

/// The topics that are needed now.
pub(super) fn needed(partitions: u32, names: &Names) -> Vec<Declared> {
    let file: File = toml::from_str(TOPICS).expect("topics.toml is built in and a test reads it");
    let needed = file.topics.into_iter().filter(|(_, entry)| !entry.later);
    needed
        .map(|(name, entry)| {
            let mut config = file.defaults.config.clone();
            config.extend(entry.config);
            Declared {
                kept_for_ever: name == callboard_ports::Topic::ConversationEvents.name(),
                name: names.prefixed(&name),
                partitions: entry.partitions.unwrap_or(partitions),
                replication: file.defaults.replication,
                min_insync_replicas: file.defaults.min_insync_replicas,
                config,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::needed;
    use crate::names::Names;
    use callboard_ports::Topic;

    #[test]
    fn every_topic_of_this_build_is_declared_and_none_that_comes_later() {
        let declared = needed(4, &Names::new("p."));
        let mut names: Vec<_> = declared.iter().map(|topic| topic.name.as_str()).collect();
        let mut wanted: Vec<_> = Topic::ALL.iter().map(|topic| format!("p.{topic}")).collect();
        names.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        assert!(declared.iter().all(|topic| topic.partitions == 4));
    }

    #[test]
    fn one_broker_has_one_replica_and_insists_on_no_more() {
        let declared = needed(8, &Names::new(""));
        let events = declared.iter().find(|topic| topic.kept_for_ever).expect("conversation-events");
        assert_eq!((events.replicas(1), events.replicas(5)), (1, 3));
        assert_eq!(events.settings(1)["min.insync.replicas"], "1");
        assert_eq!(events.settings(3)["min.insync.replicas"], "2");
        assert_eq!(events.settings(3)["retention.ms"], "-1");
    }
}
