//! `callboard topics`: Kafka's topics against their declaration.

use super::{Failure, Global, Outcome, TopicsCommand};

/// Without Kafka there is nothing to declare.
#[cfg(not(feature = "kafka"))]
pub fn run(_: &Global, _: TopicsCommand) -> Outcome {
    Err(Failure::usage("this build has no Kafka"))
}

#[cfg(feature = "kafka")]
pub fn run(global: &Global, command: TopicsCommand) -> Outcome {
    use callboard_ports::admin::TopicAdmin;
    use std::time::Duration;

    use super::client::{block_on, say, say_json};

    /// A broker that is up answers within this, its first connection included.
    const REACHED_WITHIN: Duration = Duration::from_secs(10);
    let config = crate::settings(global, &[])?.config;
    let brokers = config.kafka.brokers.clone().ok_or_else(|| {
        Failure::usage("no brokers are configured; name them with --kafka-brokers HOST:PORT")
    })?;
    let kafka = crate::wiring::kafka_log(&config, &brokers, "topics", "topics")?;
    block_on(async {
        kafka.reachable(REACHED_WITHIN).await.map_err(Failure::job)?;
        if command == TopicsCommand::Apply {
            let done = kafka.apply().await.map_err(Failure::job)?;
            if global.json {
                return say_json(&serde_json::json!({ "done": done }));
            }
            done.iter().try_for_each(|line| say(line))?;
            return if done.is_empty() { say("all topics are as declared") } else { Ok(()) };
        }
        let drift = kafka.diff().await.map_err(Failure::job)?;
        if global.json {
            say_json(&serde_json::to_value(&drift).unwrap_or_default())?;
        } else {
            drift.iter().try_for_each(|one| say(&crate::startup::drift_line(one)))?;
        }
        match drift.len() {
            0 if global.json => Ok(()),
            0 => say("all topics are as declared"),
            _ => Err(Failure::Said),
        }
    })
}
