//! Plain Kafka, as a stranger speaks it: raw records in and out, topics, and what a hop costs. For tests and benches.
//!
//! Everything here blocks.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use serde::Serialize;

use crate::error::sentence;

const WAIT: Duration = Duration::from_secs(20);

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{what}: {why}")]
    Kafka { what: &'static str, why: String },
    #[error("{got} of {wanted} records came within {waited:?}")]
    TooFew { got: usize, wanted: usize, waited: Duration },
}

fn failed(what: &'static str) -> impl Fn(KafkaError) -> ProbeError {
    move |error| ProbeError::Kafka { what, why: sentence(&error) }
}

/// A record as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    pub partition: i32,
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What is produced.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw<'a> {
    /// None: by the key, as librdkafka partitions.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// How long records took from `produce` to `consume`, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hops {
    pub count: usize,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

struct Reports;

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "probe: {reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Option<SyncSender<Result<i64, KafkaError>>>>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, reply: Self::DeliveryOpaque) {
        if let Some(reply) = *reply {
            let outcome = delivered.as_ref().map(Message::offset).map_err(|(error, _)| error.clone());
            let _ = reply.try_send(outcome);
        }
    }
}

/// A plain client.
pub struct Probe {
    brokers: String,
    producer: ThreadedProducer<Reports>,
}

impl Probe {
    /// # Errors
    /// When librdkafka does not take the brokers.
    pub fn new(brokers: &str) -> Result<Self, ProbeError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("client.id", "callboard-probe")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("socket.nagle.disable", "true")
            .set("message.max.bytes", "2097152")
            .create_with_context(Reports)
            .map_err(failed("a producer"))?;
        Ok(Self { brokers: brokers.to_owned(), producer })
    }

    /// Creates a topic with one replica and LogAppendTime; one that exists is left alone.
    ///
    /// # Errors
    /// When the broker refuses or does not answer.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<(), ProbeError> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        topic = topic.set("message.timestamp.type", "LogAppendTime");
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let results = self.administer(|admin, options| admin.create_topics([&topic], options))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(failed("creating a topic")(KafkaError::AdminOp(code))),
            }
        }
        Ok(())
    }

    /// Deletes the records of a partition below `before`, as retention would.
    ///
    /// # Errors
    /// When the broker refuses or does not answer.
    pub fn delete_records(&self, topic: &str, partition: i32, before: u64) -> Result<(), ProbeError> {
        let mut list = TopicPartitionList::new();
        let before = Offset::Offset(i64::try_from(before).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, partition, before).map_err(failed("an offset"))?;
        let done = self.administer(|admin, options| admin.delete_records(&list, options))?;
        done.elements().iter().try_for_each(|e| e.error()).map_err(failed("deleting records"))
    }

    fn administer<T, F: Future<Output = Result<T, KafkaError>>>(
        &self,
        ask: impl FnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> F,
    ) -> Result<T, ProbeError> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .create()
            .map_err(failed("an administration client"))?;
        let options = AdminOptions::new().request_timeout(Some(WAIT)).operation_timeout(Some(WAIT));
        let answer = ask(&admin, &options);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime =
            runtime.map_err(|error| ProbeError::Kafka { what: "waiting", why: error.to_string() })?;
        runtime.block_on(answer).map_err(failed("administration"))
    }

    /// Produces and waits for the acknowledgement; gives the offset.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub fn produce(&self, topic: &str, record: Raw<'_>) -> Result<u64, ProbeError> {
        let (reply, replied) = sync_channel(1);
        self.enqueue(topic, record, Some(reply))?;
        let outcome = replied.recv().unwrap_or(Err(KafkaError::Canceled)).map_err(failed("producing"))?;
        Ok(u64::try_from(outcome).unwrap_or_default())
    }

    /// Produces without waiting; a full queue is waited out.
    ///
    /// # Errors
    /// When librdkafka does not take the record.
    pub fn send(&self, topic: &str, record: Raw<'_>) -> Result<(), ProbeError> {
        self.enqueue(topic, record, None)
    }

    fn enqueue(
        &self,
        topic: &str,
        record: Raw<'_>,
        reply: Option<SyncSender<Result<i64, KafkaError>>>,
    ) -> Result<(), ProbeError> {
        let mut message: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to(topic, Box::new(reply));
        message.partition = record.partition;
        message.key = record.key;
        message.payload = record.value;
        if !record.headers.is_empty() {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(*value) })
            });
            message.headers = Some(headers);
        }
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    message = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(failed("producing")(error)),
            }
        }
    }

    /// Reads `count` records of a partition from `from` on.
    ///
    /// # Errors
    /// When fewer come in time.
    pub fn consume(
        &self,
        topic: &str,
        partition: i32,
        from: u64,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<RawRecord>, ProbeError> {
        let start = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        let consumer = self.reader(topic, partition, start)?;
        let deadline = Instant::now() + timeout;
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ProbeError::TooFew { got: records.len(), wanted: count, waited: timeout });
            }
            if let Some(message) = consumer.poll(left.min(Duration::from_millis(100))) {
                records.push(raw(&message.map_err(failed("consuming"))?));
            }
        }
        Ok(records)
    }

    /// First offset and end of a partition.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(u64, u64), ProbeError> {
        let reader = self.reader(topic, partition, Offset::End)?;
        let (low, high) = reader.fetch_watermarks(topic, partition, WAIT).map_err(failed("watermarks"))?;
        Ok((u64::try_from(low).unwrap_or_default(), u64::try_from(high).unwrap_or_default()))
    }

    /// Produces `count` records one after the other, each when the one before has been consumed, and measures.
    ///
    /// # Errors
    /// When a record does not arrive.
    pub fn hops(&self, topic: &str, count: usize, record: Raw<'_>) -> Result<Hops, ProbeError> {
        /// The first hops fetch metadata and open connections.
        const WARM_UP: usize = 20;
        let partition = record.partition.unwrap_or_default();
        let record = Raw { partition: Some(partition), ..record };
        let (_, end) = self.watermarks(topic, partition)?;
        let start = Offset::Offset(i64::try_from(end).unwrap_or(i64::MAX));
        let consumer = self.reader(topic, partition, start)?;
        let mut took = Vec::with_capacity(count);
        for index in 0..WARM_UP + count {
            let began = Instant::now();
            self.send(topic, record)?;
            loop {
                match consumer.poll(WAIT.saturating_sub(began.elapsed())) {
                    Some(message) => drop(message.map_err(failed("consuming"))?),
                    None if began.elapsed() < WAIT => continue,
                    None => return Err(ProbeError::TooFew { got: index, wanted: count, waited: WAIT }),
                }
                break;
            }
            if index >= WARM_UP {
                took.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        }
        took.sort_unstable();
        let at = |share: usize| took.get(count * share / 100).or(took.last()).copied().unwrap_or_default();
        Ok(Hops { count, p50_us: at(50), p99_us: at(99), max_us: at(100) })
    }

    fn reader(&self, topic: &str, partition: i32, from: Offset) -> Result<BaseConsumer, ProbeError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "callboard-probe")
            // Manual assignment needs one; nothing is ever committed to it.
            .set("group.id", "callboard-probe")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.wait.max.ms", "100")
            .set("socket.nagle.disable", "true")
            .create()
            .map_err(failed("a consumer"))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, from)
            .and_then(|()| consumer.assign(&list))
            .map_err(failed("assigning"))?;
        Ok(consumer)
    }
}

fn raw(message: &impl Message) -> RawRecord {
    let headers = message.headers().map(|headers| {
        let all = headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()));
        all.collect()
    });
    RawRecord {
        partition: message.partition(),
        offset: u64::try_from(message.offset()).unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
