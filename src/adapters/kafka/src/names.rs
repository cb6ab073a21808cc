//! Names on the wire: everything that Callboard owns in a cluster carries the configured prefix.

use std::sync::Arc;

use callboard_ports::Topic;

/// Topics and groups with their prefix.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: Arc<str>,
    topics: [Arc<str>; Topic::ALL.len()],
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: Arc::from(prefix), topics: Topic::ALL.map(|topic| format!("{prefix}{topic}").into()) }
    }

    pub(crate) fn topic(&self, topic: Topic) -> &Arc<str> {
        let index = Topic::ALL.iter().position(|other| *other == topic);
        &self.topics[index.expect("Topic::ALL lists every topic")]
    }

    /// A name of any kind, prefixed.
    pub(crate) fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use callboard_ports::Topic;

    #[test]
    fn everything_carries_the_prefix() {
        let names = Names::new("eu.");
        assert_eq!(&**names.topic(Topic::UserCommands), "eu.user-commands");
        assert_eq!(names.prefixed("callboard-host"), "eu.callboard-host");
        assert_eq!(&**Names::new("").topic(Topic::DeadLetterQueue), "dead-letter-queue");
    }
}
