//! Creates the topics that are missing and mends settings.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use callboard_ports::log::LogError;
use rdkafka::admin::{AdminClient, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use super::declared::Declared;
use super::{Admin, Found, Seen, WAIT, options, wait_for};
use crate::error::unavailable;

/// Does it and says what was done, a line each.
pub(super) fn apply(admin: &Admin<'_>, declared: &[Declared], seen: &Seen) -> Result<Vec<String>, LogError> {
    let client = admin.client()?;
    let mut done = Vec::new();
    for topic in declared {
        match seen.topics.get(&topic.name) {
            None => done.push(create(&client, topic, seen.brokers)?),
            Some(found) => mend(&client, topic, found, &mut done)?,
        }
    }
    wait_until_known(admin, declared)?;
    Ok(done)
}

fn create(
    client: &AdminClient<DefaultClientContext>,
    topic: &Declared,
    brokers: usize,
) -> Result<String, LogError> {
    let replicas = topic.replicas(brokers);
    let settings = topic.settings(replicas);
    let replication = TopicReplication::Fixed(i32::try_from(replicas).unwrap_or(i32::MAX));
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    let mut new = NewTopic::new(&topic.name, partitions, replication);
    for (name, value) in &settings {
        new = new.set(name, value);
    }
    let what = format!("creating {}", topic.name);
    let results =
        wait_for(client.create_topics([&new], &options()))?.map_err(|error| unavailable(&what, &error))?;
    for result in results {
        match result {
            // Another node was faster, with the same declaration.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(LogError::Unavailable(format!("{what}: {code}"))),
        }
    }
    Ok(format!("created {}: {} partitions, {replicas} replica(s)", topic.name, topic.partitions))
}

fn mend(
    client: &AdminClient<DefaultClientContext>,
    topic: &Declared,
    found: &Found,
    done: &mut Vec<String>,
) -> Result<(), LogError> {
    if found.partitions != topic.partitions {
        done.push(format!(
            "left {} as it is: it has {} partitions instead of {}, and a partition count is never changed",
            topic.name, found.partitions, topic.partitions
        ));
    }
    let wanted = topic.settings(found.replicas);
    let is = |name: &str| found.settings.get(name).map_or("", |setting| &*setting.value);
    let wrong: Vec<_> = wanted.iter().filter(|(name, value)| is(name) != **value).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    // This request replaces all of a topic's own settings, so those that are set beyond ours go along.
    let own = found.settings.iter().filter(|(_, setting)| setting.own);
    let mut all: BTreeMap<&str, &str> = own.map(|(name, setting)| (&**name, &*setting.value)).collect();
    all.extend(wanted.iter().map(|(name, value)| (&**name, &**value)));
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(&topic.name));
    for (name, value) in all {
        change = change.set(name, value);
    }
    let what = format!("changing the settings of {}", topic.name);
    let results =
        wait_for(client.alter_configs([&change], &options()))?.map_err(|error| unavailable(&what, &error))?;
    if let Some(Err((_, code))) = results.into_iter().find(Result::is_err) {
        return Err(LogError::Unavailable(format!("{what}: {code}")));
    }
    for (name, value) in wrong {
        done.push(format!("set {name} of {} to {value}; it was {:?}", topic.name, is(name)));
    }
    Ok(())
}

/// The controller knows a topic before every broker does.
fn wait_until_known(admin: &Admin<'_>, declared: &[Declared]) -> Result<(), LogError> {
    const LOOK: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + WAIT;
    loop {
        let metadata = admin.asker.fetch_metadata(None, WAIT);
        let metadata = metadata.map_err(|error| unavailable("the cluster's topics", &error))?;
        let led = |name: &str| {
            let mut topics = metadata.topics().iter();
            topics.any(|topic| {
                topic.name() == name
                    && topic.error().is_none()
                    && topic.partitions().iter().all(|partition| partition.leader() >= 0)
            })
        };
        let Some(missing) = declared.iter().find(|topic| !led(&topic.name)) else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(LogError::Unavailable(format!("{} has no leaders after {WAIT:?}", missing.name)));
        }
        std::thread::sleep(LOOK);
    }
}
