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
    use callboard_ports::placement::Placement;
    use std::time::Duration;

    /// Well below the 5 s after which memberships give their partitions back.
    const EVERY: Duration = Duration::from_millis(500);
    loop {
        for index in 0..arbiters.arbiters() {
            let (answer, answered) = tokio::sync::oneshot::channel();
            let job = Box::new(move || -> futures_util::future::LocalBoxFuture<'static, ()> {
                Box::pin(async move {
                    let _ = answer.send(());
                })
            });
            if !arbiters.spawn_on(index, job) || answered.await.is_err() {
                return;
            }
        }
        heart.beat();
        tokio::time::sleep(EVERY).await;
    }
}
