//! A process's log: everything goes through its life, appends through its courier, reads through the shuffle.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use callboard_ports::log::{AppendError, Batch, Bounds, Log, LogError, LogIdentity, Receipt, Tail};
use callboard_ports::record::{NewRecord, Topic};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::courier::Courier;
use crate::fault::Fault;
use crate::life::Life;
use crate::shuffle;
use crate::world::World;

/// The log as one life of a process sees it.
pub struct SimLog {
    pub world: Arc<World>,
    pub life: Arc<Life>,
    pub courier: Arc<Courier>,
}

impl SimLog {
    fn away(&self, what: &str) -> Result<(), LogError> {
        if !self.life.call() {
            return Err(LogError::Closed("the process is dead".into()));
        }
        if self.world.strikes(Fault::LogAway, format_args!("{}, {what}", self.life.name)) {
            return Err(LogError::Unavailable("no broker answers".into()));
        }
        Ok(())
    }

    fn refusal(&self, batch: &[NewRecord]) -> Option<String> {
        let partitions = self.world.mix.partitions;
        batch.iter().find_map(|record| match record.partition < partitions {
            true => record.oversize(),
            false => Some(format!("there is no partition {}", record.partition)),
        })
    }
}

impl Log for SimLog {
    fn append(&self, batch: Vec<NewRecord>) -> Result<Receipt, AppendError> {
        if !self.life.call() {
            return Err(AppendError::Closed("the process is dead".into()));
        }
        if let Some(why) = self.refusal(&batch) {
            return Err(AppendError::Refused(why));
        }
        let now_ms = self.world.now_ms();
        for record in &batch {
            self.world.ownership().appends(&self.life.name, record, now_ms);
        }
        if self.world.strikes(Fault::AppendFull, format_args!("{}", self.life.name)) {
            return Err(AppendError::Full);
        }
        Ok(self.courier.send(batch))
    }

    fn partitions(&self) -> u32 {
        self.world.mix.partitions
    }

    fn bounds(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        let away = self.away("bounds");
        Box::pin(async move {
            away?;
            self.world.log.bounds(topic, partition).await
        })
    }

    fn identity(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<LogIdentity, LogError>> {
        let away = self.away("identity");
        Box::pin(async move {
            away?;
            self.world.log.identity(topic, partition).await
        })
    }

    fn replay(
        &self,
        topic: Topic,
        partition: u32,
        ranges: Vec<Range<u64>>,
        key: Option<String>,
    ) -> mpsc::Receiver<Result<Batch, LogError>> {
        let (to, receiver) = mpsc::channel(4);
        let (world, life) = (self.world.clone(), self.life.clone());
        if let Err(error) = self.away("replay") {
            // There is room: the channel is new.
            let _ = to.try_send(Err(error));
            return receiver;
        }
        let mut from = self.world.log.replay(topic, partition, ranges, key);
        tokio::task::spawn_local(async move {
            while let Some(batch) = from.recv().await {
                world.pass(shuffle::delay_ms(&world, &life, partition)).await;
                let cut = world.strikes(Fault::LogAway, format_args!("{}, in a replay", life.name));
                let batch = if cut { Err(LogError::Unavailable("the broker is gone".into())) } else { batch };
                let failed = batch.is_err();
                if !life.call() || to.send(batch).await.is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }

    fn tail(&self, topic: Topic, lanes: usize) -> Result<Tail, LogError> {
        let tail = self.world.log.tail(topic, lanes)?;
        let passed_on = tail.lanes.into_iter().map(|from| {
            let (to, receiver) = mpsc::channel(2);
            tokio::task::spawn_local(shuffle::tail(self.world.clone(), self.life.clone(), from, to));
            receiver
        });
        Ok(Tail { lanes: passed_on.collect(), control: tail.control })
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        self.world.log.flush(timeout)
    }
}
