//! Topics as they should be and as they are: `declared` reads `topics.toml`, `diff` compares, `apply` mends.
//!
//! All of it blocks, on a thread of `desk`.

mod apply;
mod declared;
mod diff;

use std::collections::BTreeMap;
use std::time::Duration;

use callboard_ports::admin::TopicDrift;
use callboard_ports::log::LogError;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::config::KafkaConfig;
use crate::context::Events;
use crate::error::unavailable;
use crate::names::Names;
use declared::Declared;

/// Administration is rare, and a controller that has just been elected is slow.
const WAIT: Duration = Duration::from_secs(15);

/// One look at, or one change of, the cluster's topics.
pub(crate) struct Admin<'a> {
    pub(crate) config: &'a KafkaConfig,
    pub(crate) names: &'a Names,
    pub(crate) asker: &'a BaseConsumer<Events>,
}

/// The cluster as it is.
#[derive(Debug, Default)]
struct Seen {
    /// Those of the declared topics that exist.
    topics: BTreeMap<String, Found>,
    brokers: usize,
}

/// A topic as it is.
#[derive(Debug)]
struct Found {
    partitions: u32,
    /// Of the partition that has the fewest.
    replicas: usize,
    settings: BTreeMap<String, Setting>,
}

#[derive(Debug, Clone)]
struct Setting {
    value: String,
    /// Set on the topic itself, not inherited.
    own: bool,
}

impl Admin<'_> {
    pub(crate) fn diff(&self) -> Result<Vec<TopicDrift>, LogError> {
        let (declared, seen) = self.look()?;
        Ok(diff::diff(&declared, &seen))
    }

    pub(crate) fn apply(&self) -> Result<Vec<String>, LogError> {
        let (declared, seen) = self.look()?;
        apply::apply(self, &declared, &seen)
    }

    pub(crate) fn create_missing(&self) -> Result<Vec<String>, LogError> {
        let (mut declared, seen) = self.look()?;
        declared.retain(|topic| !seen.topics.contains_key(&topic.name));
        apply::apply(self, &declared, &seen)
    }

    /// The declared topics that are needed now, and what there is of them.
    fn look(&self) -> Result<(Vec<Declared>, Seen), LogError> {
        let declared = declared::needed(self.config.partitions, self.names);
        // All topics at once: asking for one by name could create it on a cluster that creates by itself.
        let metadata = self
            .asker
            .fetch_metadata(None, WAIT)
            .map_err(|error| unavailable("the cluster's topics", &error))?;
        let mut found = BTreeMap::new();
        for topic in metadata.topics() {
            if topic.error().is_none() && declared.iter().any(|one| one.name == topic.name()) {
                let partitions = topic.partitions();
                let replicas = partitions.iter().map(|p| p.replicas().len()).min().unwrap_or(0);
                let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
                let one = Found { partitions: count, replicas, settings: BTreeMap::new() };
                found.insert(topic.name().to_owned(), one);
            }
        }
        self.read_settings(&mut found)?;
        Ok((declared, Seen { topics: found, brokers: metadata.brokers().len().max(1) }))
    }

    fn read_settings(&self, found: &mut BTreeMap<String, Found>) -> Result<(), LogError> {
        if found.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = found.keys().cloned().collect();
        let wanted: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let client = self.client()?;
        let described = wait_for(client.describe_configs(&wanted, &options()))?
            .map_err(|error| unavailable("the settings of the topics", &error))?;
        for (name, resource) in names.iter().zip(described) {
            let resource =
                resource.map_err(|code| LogError::Unavailable(format!("the settings of {name}: {code}")))?;
            let Some(topic) = found.get_mut(name) else { continue };
            for entry in resource.entries {
                let own = entry.source == ConfigSource::DynamicTopic;
                let value = entry.value.unwrap_or_default();
                topic.settings.insert(entry.name, Setting { value, own });
            }
        }
        Ok(())
    }

    fn client(&self) -> Result<AdminClient<DefaultClientContext>, LogError> {
        self.config.asker().create().map_err(|error| unavailable("an administration client", &error))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(WAIT)).operation_timeout(Some(WAIT))
}

/// librdkafka's own thread completes these futures; nothing of a runtime is needed but the waiting.
fn wait_for<T>(
    answer: impl Future<Output = Result<T, KafkaError>>,
) -> Result<Result<T, KafkaError>, LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime =
        runtime.map_err(|error| LogError::Unavailable(format!("waiting for an answer: {error}")))?;
    Ok(runtime.block_on(answer))
}
