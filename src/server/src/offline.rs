//! A conversation's log without a server: opens the data folder when nobody holds it, reads, changes nothing.
//! No actor runs, so that looking at a folder never moves a turn on.

use std::sync::Arc;
use std::time::Duration;

use callboard_domain::conversation::{State, apply};
use callboard_domain::id::ConversationId;
use callboard_ports::Topic;
use callboard_ports::log::{Batch, Log, LogError};
use callboard_ports::partition::partition_of;
use callboard_ports::snapshot::{SnapshotStore, decode};
use callboard_stores::DataDir;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::sync::mpsc;

use crate::cli::{Failure, Global};
use crate::compare::{Compared, Frozen, compare};
use crate::http::HistoryDto;
use crate::wiring::Engine;
use crate::{history, records, wiring};

/// As many exchanges as HTTP gives at most.
const MAX_TURNS: usize = 1_000;

/// Nothing was written, so that there is nothing to wait for.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// An open data folder.
pub struct Offline {
    engine: Engine,
    log: Arc<dyn Log>,
    snapshots: Arc<dyn SnapshotStore>,
    /// Held until the end.
    _folder: DataDir,
}

impl Offline {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// When somebody holds the folder, or it cannot be read.
    pub async fn open(global: &Global) -> Result<Self, Failure> {
        let config = crate::settings(global, &[])?.config;
        let embedded = config.kafka.brokers.is_none();
        if embedded && !wiring::log_folder(&config).is_dir() {
            let folder = config.data_dir.display();
            return Err(Failure::usage(format!("{folder} holds no log; name the folder with --data-dir")));
        }
        let folder = wiring::data_dir(&config)?;
        let engine = wiring::engine(&config, &folder, "offline")?;
        let snapshots = wiring::snapshots(&config, &folder)?;
        Ok(Self { log: engine.log(), engine, snapshots, _folder: folder })
    }

    /// Closes the stores in order.
    pub async fn close(self) {
        self.snapshots.close().await;
        self.engine.close(CLOSED_WITHIN).await;
    }

    /// Shows every record of a conversation as one line.
    ///
    /// # Errors
    /// When the log cannot be read, or `show` wants no more.
    pub async fn each_record(
        &self,
        id: &str,
        mut show: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let id = ConversationId::new(id).map_err(Failure::usage)?;
        let mut all = self.records(&id).await?;
        while let Some(batch) = all.recv().await {
            let batch = batch.map_err(Failure::job)?;
            for record in batch.records.iter().filter(|record| record.key == id.as_str().as_bytes()) {
                show(&records::line(record))?;
            }
        }
        Ok(())
    }

    /// Compares snapshot and later records with the fold from the first record.
    ///
    /// # Errors
    /// When the log cannot be read, or has no such conversation.
    pub async fn replay(&self, id: &str) -> Result<Compared, Failure> {
        let id = ConversationId::new(id).map_err(Failure::usage)?;
        let live = self.recovered(&id).await?;
        if live.is_empty() {
            return Err(Failure::Unknown(format!("there is no conversation {id}")));
        }
        compare(id.clone(), Frozen::of(&live), self.records(&id).await?).await.map_err(Failure::job)
    }

    /// A conversation's exchanges, as `/history` gives them.
    ///
    /// # Errors
    /// When the log cannot be read, or has no such conversation.
    pub async fn history(&self, id: &str) -> Result<Value, Failure> {
        let id = ConversationId::new(id).map_err(Failure::usage)?;
        let found =
            history::from_log(&id, self.records(&id).await?, MAX_TURNS).await.map_err(Failure::job)?;
        if found.turns.is_empty() {
            return Err(Failure::Unknown(format!("there is no conversation {id}")));
        }
        serde_json::to_value(HistoryDto::from(found)).map_err(Failure::job)
    }

    /// Every conversation in the log, in order of the ids.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn conversations(&self) -> Result<Vec<String>, Failure> {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for partition in 0..self.log.partitions() {
            let mut all = self.partition(partition, None).await?;
            while let Some(batch) = all.recv().await {
                let batch = batch.map_err(Failure::job)?;
                let readable = |record: &callboard_ports::Record| {
                    let (meta, _) = callboard_domain::wire::read_event(&record.key, &record.value).ok()?;
                    Some(meta.conversation.to_string())
                };
                ids.extend(batch.records.iter().filter_map(readable));
            }
        }
        Ok(ids.into_iter().collect())
    }

    /// The state as a restart would have it.
    async fn recovered(&self, id: &ConversationId) -> Result<State, Failure> {
        let partition = partition_of(id.as_str().as_bytes(), self.log.partitions());
        let identity = self.log.identity(Topic::ConversationEvents, partition).await.map_err(Failure::job)?;
        let end = self.log.bounds(Topic::ConversationEvents, partition).await.map_err(Failure::job)?.end;
        let stored = self.snapshots.load(partition, id).await.map_err(Failure::job)?;
        let usable = stored.snapshot.and_then(|bytes| decode(&bytes, id, partition, &identity, end).ok());
        let mut state = usable.unwrap_or_else(|| State::new(id.clone()));
        let mut all = self.records(id).await?;
        while let Some(batch) = all.recv().await {
            let batch = batch.map_err(Failure::job)?;
            for record in records::recorded(&batch, id) {
                // What the snapshot covers already is skipped by the fold.
                apply(&mut state, &record);
            }
        }
        Ok(state)
    }

    async fn records(&self, id: &ConversationId) -> Result<mpsc::Receiver<Result<Batch, LogError>>, Failure> {
        let partition = partition_of(id.as_str().as_bytes(), self.log.partitions());
        self.partition(partition, Some(id.to_string())).await
    }

    async fn partition(
        &self,
        partition: u32,
        key: Option<String>,
    ) -> Result<mpsc::Receiver<Result<Batch, LogError>>, Failure> {
        let bounds = self.log.bounds(Topic::ConversationEvents, partition).await.map_err(Failure::job)?;
        #[allow(clippy::single_range_in_vec_init, reason = "the port takes ranges")]
        let whole = vec![bounds.start..bounds.end];
        Ok(self.log.replay(Topic::ConversationEvents, partition, whole, key))
    }
}
