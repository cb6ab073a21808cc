//! A few threads for librdkafka's blocking questions (watermarks, metadata, administration), behind a bounded queue.

use std::future::Future;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use callboard_ports::log::LogError;
use tokio::sync::oneshot;

/// Questions are a round trip each, and a slow administration must not hold up a bounds query.
const THREADS: usize = 3;
/// More than all partitions ask at once at a takeover.
const QUEUE: usize = 4_096;

type Job = Box<dyn FnOnce() + Send>;

/// See the module. Its threads end when it is dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    jobs: SyncSender<Job>,
}

impl Desk {
    pub(crate) fn open() -> io::Result<Self> {
        let (jobs, taken) = sync_channel::<Job>(QUEUE);
        let taken = Arc::new(Mutex::new(taken));
        for index in 0..THREADS {
            let taken = Arc::clone(&taken);
            thread::Builder::new().name(format!("kafka-ask-{index}")).spawn(move || serve(&taken))?;
        }
        Ok(Self { jobs })
    }

    /// Runs `question` on one of the threads, whether the answer is awaited or not.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce() -> Result<T, LogError> + Send + 'static,
    ) -> impl Future<Output = Result<T, LogError>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.try_send(Box::new(move || {
            let _ = answer.send(question());
        }));
        async move {
            match sent {
                Ok(()) => {
                    answered.await.unwrap_or_else(|_| Err(LogError::Closed("it is shutting down".into())))
                }
                Err(TrySendError::Full(_)) => {
                    Err(LogError::Unavailable(format!("{QUEUE} questions are waiting for Kafka already")))
                }
                Err(TrySendError::Disconnected(_)) => Err(LogError::Closed("its threads are gone".into())),
            }
        }
    }
}

fn serve(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}
