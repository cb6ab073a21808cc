//! What the stories look at: the topics' content, the audit, and that a live state is the fold of the log.

use std::time::Duration;

use callboard_actors::{ActorView, Node};
use callboard_domain::conversation::Recorded;
use callboard_domain::{State, apply, audit, wire};
use callboard_ports::log::LogIdentity;
use callboard_ports::record::{Record, Topic};
use callboard_ports::snapshot;
use serde_json::Value;

use crate::world::{World, conversation};

pub fn envelope(record: &Record) -> Value {
    serde_json::from_slice(&record.value).unwrap()
}

impl World {
    /// Envelopes of conversation-events, by type.
    pub fn events(&self, of: &str) -> Vec<(String, Record)> {
        let records = self.log.records(Topic::ConversationEvents).into_iter();
        let named = |record: Record| {
            let envelope: Value = serde_json::from_slice(&record.value).ok()?;
            Some((envelope["type"].as_str()?.to_owned(), record))
        };
        records.filter(|record| record.key == of.as_bytes()).filter_map(named).collect()
    }

    pub fn count(&self, of: &str, kind: &str) -> usize {
        self.events(of).iter().filter(|(found, _)| found == kind).count()
    }

    /// Requests for steps of a conversation, as (effect id, attempt).
    pub fn requests(&self, of: &str) -> Vec<(String, u64)> {
        let requests = self.log.records(Topic::ToolInvocationRequests).into_iter();
        requests
            .map(|record| envelope(&record))
            .filter(|envelope| envelope["conversation_id"] == of)
            .map(|envelope| {
                let payload = &envelope["payload"];
                (payload["effect_id"].as_str().unwrap().to_owned(), payload["attempt"].as_u64().unwrap())
            })
            .collect()
    }

    /// The conversation's records as the fold reads them.
    pub fn recorded(&self, of: &str) -> Vec<Recorded> {
        self.events(of)
            .into_iter()
            .filter_map(|(_, record)| {
                let (meta, body) = wire::read_event(&record.key, &record.value).ok()?;
                Some(Recorded {
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    command: meta.command,
                    body,
                })
            })
            .collect()
    }

    /// Audits a conversation; every turn must have ended.
    pub fn audit(&self, of: &str) -> audit::Report {
        let report = audit::conversation(&conversation(of), &self.recorded(of), true);
        assert_eq!(report.violations, Vec::new());
        report
    }

    /// G3: what the node holds in memory is the fold of the log, byte for byte.
    pub async fn equals_replay(&self, node: &Node, of: &str) {
        let identity = LogIdentity("memory".into());
        let bytes = |state: &State| snapshot::encode(state, 0, &identity);
        let mut replayed = State::new(conversation(of));
        for _ in 0..1_000 {
            for record in &self.recorded(of) {
                apply(&mut replayed, record);
            }
            if let Ok(live) = node.read(&conversation(of), State::clone).await
                && live.next_offset == replayed.next_offset
            {
                assert_eq!(serde_json::to_string(&live).unwrap(), serde_json::to_string(&replayed).unwrap());
                assert_eq!(bytes(&live), bytes(&replayed));
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{of} was never read to its end");
    }

    /// Dead letters of a topic, by reason code.
    pub fn dead_letters(&self, of: Topic) -> Vec<String> {
        let letters = self.log.records(Topic::DeadLetterQueue).into_iter();
        let of_topic = letters.filter(|letter| letter.header("callboard-dlq-topic") == Some(of.name()));
        of_topic.map(|letter| letter.header("callboard-dlq-reason").unwrap().to_owned()).collect()
    }
}

/// The actor at `path`.
pub fn find<'a>(tree: &'a ActorView, path: &str) -> Option<&'a ActorView> {
    if tree.path == path {
        return Some(tree);
    }
    tree.children.iter().find_map(|child| find(child, path))
}

/// The first actor below `path` that is in `state`.
pub fn find_in<'a>(tree: &'a ActorView, path: &str, state: &str) -> Option<&'a ActorView> {
    if tree.path.starts_with(path) && tree.state == state {
        return Some(tree);
    }
    tree.children.iter().find_map(|child| find_in(child, path, state))
}

/// A node's counter of this name and label.
pub fn metric(node: &Node, name: &str, label: Option<&str>) -> f64 {
    let lines = node.metrics().snapshot().into_iter();
    let ours = |line: &callboard_actors::MetricLine| {
        line.name == name && label.is_none_or(|label| line.labels.iter().any(|(_, value)| value == label))
    };
    lines.filter(ours).map(|line| line.value).sum()
}
