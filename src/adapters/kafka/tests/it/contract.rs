//! The contract suites of `Log` and `Inbox`, on a real broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard_kafka::probe::Probe;
use callboard_kafka::{KafkaConfig, KafkaLog};
use callboard_ports::Topic;
use callboard_ports::contract::{self, LogHarness};
use callboard_ports::inbox::Inbox;
use callboard_ports::log::Log;
use futures_util::future::BoxFuture;

use crate::stage;

struct Harness {
    config: KafkaConfig,
    log: Mutex<Arc<KafkaLog>>,
    other: Arc<KafkaLog>,
    probe: Arc<Probe>,
}

impl Harness {
    fn current(&self) -> Arc<KafkaLog> {
        self.log.lock().unwrap().clone()
    }
}

impl LogHarness for Harness {
    fn log(&self) -> Arc<dyn Log> {
        self.current()
    }

    fn inbox(&self) -> Arc<dyn Inbox> {
        self.current()
    }

    fn other_inbox(&self) -> Option<Arc<dyn Inbox>> {
        Some(self.other.clone())
    }

    fn reopen(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            self.current().flush(Duration::from_secs(10)).await.expect("everything is acknowledged");
            *self.log.lock().unwrap() = KafkaLog::connect(self.config.clone()).expect("connected again");
            true
        })
    }

    fn trim(&self, topic: Topic, partition: u32, before: u64) -> BoxFuture<'_, bool> {
        let name = self.current().topic_name(topic).to_owned();
        let probe = Arc::clone(&self.probe);
        let partition = i32::try_from(partition).unwrap();
        Box::pin(async move {
            let trimmed = tokio::task::spawn_blocking(move || probe.delete_records(&name, partition, before));
            trimmed.await.unwrap().expect("the records are deleted");
            true
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_and_the_inbox_keep_their_contract() {
    let Some((config, log, probe)) = stage::shared().await else { return };
    let other = KafkaLog::connect(stage::other_node(&config)).expect("another process");
    let harness = Harness { config, log: Mutex::new(log), other, probe: Arc::new(probe) };
    contract::log::all(&harness).await;
}
