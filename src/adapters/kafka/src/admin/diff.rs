//! What differs between `topics.toml` and the cluster, and how bad that is.

use callboard_ports::admin::TopicDrift;

use super::declared::Declared;
use super::{Found, Seen};

/// Differences in the order of declaration; empty when all is as declared.
pub(super) fn diff(declared: &[Declared], seen: &Seen) -> Vec<TopicDrift> {
    let mut drifts = Vec::new();
    for topic in declared {
        match seen.topics.get(&topic.name) {
            None => drifts.push(TopicDrift {
                topic: topic.name.clone(),
                what: "missing".to_owned(),
                wanted: format!("{} partitions", topic.partitions),
                found: "no such topic".to_owned(),
                fatal: true,
                mendable: true,
            }),
            Some(found) => one(topic, found, seen.brokers, &mut drifts),
        }
    }
    drifts
}

fn one(topic: &Declared, found: &Found, brokers: usize, drifts: &mut Vec<TopicDrift>) {
    let mut drift = |what: &str, wanted: String, found: String, fatal: bool, mendable: bool| {
        drifts.push(TopicDrift {
            topic: topic.name.clone(),
            what: what.to_owned(),
            wanted,
            found,
            fatal,
            mendable,
        });
    };
    if found.partitions != topic.partitions {
        // Never mended: with another count a key's records would go on elsewhere, without their past.
        drift("partitions", topic.partitions.to_string(), found.partitions.to_string(), true, false);
    }
    let replicas = topic.replicas(brokers);
    if found.replicas < replicas {
        drift("replication", replicas.to_string(), found.replicas.to_string(), false, false);
    }
    for (name, wanted) in topic.settings(found.replicas) {
        let is = found.settings.get(&name).map_or("", |setting| &setting.value);
        if is != wanted {
            let fatal = topic.kept_for_ever && loses_records(&name, is);
            drift(&name, wanted, is.to_owned(), fatal, true);
        }
    }
}

/// Whether records would be deleted or thinned out by this setting.
fn loses_records(name: &str, value: &str) -> bool {
    match name {
        "retention.ms" | "retention.bytes" => value != "-1",
        "cleanup.policy" => value.split(',').any(|policy| policy.trim() == "compact"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Found, Seen, Setting};
    use super::diff;
    use crate::admin::declared::needed;
    use crate::names::Names;
    use std::collections::BTreeMap;

    #[test]
    fn losing_events_is_fatal_and_mendable_other_counts_are_fatal_and_not() {
        let declared = needed(8, &Names::new(""));
        assert!(
            diff(&declared, &Seen::default()).iter().all(|d| d.what == "missing" && d.fatal && d.mendable)
        );
        let found: BTreeMap<String, Found> = declared
            .iter()
            .map(|topic| {
                let settings = topic.settings(1).into_iter();
                let settings = settings.map(|(name, value)| (name, Setting { value, own: true })).collect();
                (topic.name.clone(), Found { partitions: 8, replicas: 1, settings })
            })
            .collect();
        let mut seen = Seen { topics: found, brokers: 1 };
        assert!(diff(&declared, &seen).is_empty());

        let set = |seen: &mut Seen, topic: &str, name: &str, value: &str| {
            let setting = Setting { value: value.to_owned(), own: true };
            seen.topics.get_mut(topic).expect("found").settings.insert(name.to_owned(), setting);
        };
        set(&mut seen, "conversation-events", "cleanup.policy", "compact,delete");
        set(&mut seen, "conversation-events", "retention.ms", "1000");
        set(&mut seen, "user-commands", "retention.ms", "1000");
        seen.topics.get_mut("synthesis-requests").expect("found").partitions = 9;
        let drifts = diff(&declared, &seen);
        let said: Vec<_> = drifts.iter().map(|d| (&*d.topic, &*d.what, d.fatal, d.mendable)).collect();
        assert_eq!(
            said,
            [
                ("conversation-events", "cleanup.policy", true, true),
                ("conversation-events", "retention.ms", true, true),
                ("synthesis-requests", "partitions", true, false),
                ("user-commands", "retention.ms", false, true),
            ]
        );
        seen.brokers = 3;
        assert!(diff(&declared, &seen).iter().any(|d| d.what == "replication" && !d.fatal));
    }
}
