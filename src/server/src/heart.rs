//! The heartbeat that Kafka memberships watch: it stops when an arbiter does. Used by `serve`.

use std::sync::Arc;

use callboard_actors::Arbiters;

use crate::wiring::Engine;

/// Beats Kafka's heart while every arbiter answers: a wedged process must not keep its partitions. Ends when the
/// value is dropped.
#[must_use]
pub fn beat(engine: &Engine, arbiters: Arc<Arbiters>) -> Heart {
    #[cfg(feature = "kafka")]
    if let Engine::Kafka(kafka) = engine {
        return Heart(Some(tokio::spawn(beats(kafka.heartbeat(), arbiters))));
    }
    let _ = (engine, arbiters);
    Heart(None)
}

/// See [`beat`].
pub struct Heart(Option<tokio::task::JoinHandle<()>>);

impl Drop for Heart {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

#[cfg(feature = "kafka")]
async fn beats(heart: Arc<callboard_kafka::Heartbeat>, arbiters: Arc<Arbiters>) {
    use std::time::Duration;

    /// Well below the 5 s after which memberships give their partitions back.
    const EVERY: Duration = Duration::from_millis(500);
    /// An arbiter that is silent for longer does not live for now. It is abandoned after 4 s; its successor answers at
    /// once, and memberships of groups that do not need it stay.
    const SILENT: Duration = Duration::from_secs(1);
    loop {
        if arbiters.silence() < SILENT {
            heart.beat();
        }
        tokio::time::sleep(EVERY).await;
    }
}
