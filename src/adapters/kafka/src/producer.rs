//! Appending: one idempotent producer, one receipt per batch, no future per record.
//!
//! Each record carries a ticket to its batch (`under_way`); the delivery report that brings the last one in answers the
//! receipt.
//! `open_batches` bounds what is under way. A fatal error (a fenced epoch, for example) makes a producer useless for
//! ever, so the next append builds another; the batches of the old one end as Unknown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use callboard_ports::NewRecord;
use callboard_ports::log::{AppendError, Receipt};
use callboard_ports::record::MAX_KEY_AND_HEADERS_BYTES;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::oneshot;

use crate::context::Events;
use crate::error::{ConnectError, sentence};
use crate::names::Names;
use crate::open_batches::OpenBatches;
use crate::reach::Reach;
use crate::under_way::{Ticket, UnderWay};

/// A restart of a broker takes less and its appends are acknowledged after it; after this long, whoever appends is
/// told at once instead of at the end of `message.timeout.ms`.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Appender {
    config: ClientConfig,
    names: Names,
    partitions: u32,
    reach: Arc<Reach>,
    open: Arc<OpenBatches>,
    producer: RwLock<Arc<ThreadedProducer<Deliveries>>>,
}

impl Appender {
    pub(crate) fn new(
        config: ClientConfig,
        names: Names,
        partitions: u32,
        reach: &Arc<Reach>,
    ) -> Result<Self, ConnectError> {
        let producer = build(&config, reach).map_err(|error| ConnectError::Client(sentence(&error)))?;
        let limit = |name| config.get(name).and_then(|value| value.parse().ok()).unwrap_or(usize::MAX);
        let (records, kbytes) = (limit("queue.buffering.max.messages"), limit("queue.buffering.max.kbytes"));
        Ok(Self {
            open: Arc::new(OpenBatches::within(records, kbytes.saturating_mul(1024))),
            config,
            names,
            partitions,
            reach: Arc::clone(reach),
            producer: RwLock::new(producer),
        })
    }

    pub(crate) fn open(&self) -> &OpenBatches {
        &self.open
    }

    pub(crate) fn append(&self, batch: &[NewRecord]) -> Result<Receipt, AppendError> {
        let (reply, receipt) = oneshot::channel();
        if batch.is_empty() {
            let _ = reply.send(Ok(Vec::new()));
            return Ok(receipt);
        }
        for record in batch {
            self.check(record)?;
        }
        if self.reach.away_for() > GIVE_UP_AFTER {
            return Err(AppendError::Full);
        }
        let bytes = batch.iter().map(NewRecord::size_bytes).sum();
        let number = self.open.admit(batch.len(), bytes).ok_or(AppendError::Full)?;
        let under_way = UnderWay::new(batch.len(), number, Arc::clone(&self.open), reply);
        let producer = self.producer();
        for (index, record) in batch.iter().enumerate() {
            let Err(error) = self.send(&producer, record, &under_way, index) else { continue };
            if index == 0 {
                under_way.withdraw();
                return Err(self.not_enqueued(&producer, &error));
            }
            // Some of the batch is on its way, so its fate is for the receipt to tell.
            under_way.fail_rest(batch.len() - index, &error);
            break;
        }
        Ok(receipt)
    }

    fn check(&self, record: &NewRecord) -> Result<(), AppendError> {
        let refuse = |why: String| Err(AppendError::Refused(why));
        if record.partition >= self.partitions {
            return refuse(format!(
                "partition {} of {} does not exist; there are {}",
                record.partition, record.topic, self.partitions
            ));
        }
        let most = record.topic.max_value_bytes();
        if record.value.len() > most {
            return refuse(format!(
                "its value has {} bytes; {} takes {most}",
                record.value.len(),
                record.topic
            ));
        }
        let around = record.size_bytes() - record.value.len();
        if around > MAX_KEY_AND_HEADERS_BYTES {
            return refuse(format!(
                "its key and headers have {around} bytes together; the most is {MAX_KEY_AND_HEADERS_BYTES}"
            ));
        }
        Ok(())
    }

    fn send(
        &self,
        producer: &ThreadedProducer<Deliveries>,
        record: &NewRecord,
        under_way: &Arc<UnderWay>,
        index: usize,
    ) -> Result<(), KafkaError> {
        let ticket = Box::new(Ticket::new(under_way, index));
        let mut message = BaseRecord::with_opaque_to(self.names.topic(record.topic), ticket)
            .partition(i32::try_from(record.partition).unwrap_or(i32::MAX))
            .payload(&record.value[..]);
        if !record.key.is_empty() {
            message = message.key(&record.key[..]);
        }
        if !record.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for header in record.headers.iter() {
                headers = headers.insert(Header { key: header.name, value: Some(header.value) });
            }
            message = message.headers(headers);
        }
        producer.send(message).map_err(|(error, _)| error)
    }

    fn not_enqueued(&self, producer: &ThreadedProducer<Deliveries>, error: &KafkaError) -> AppendError {
        match error.rdkafka_error_code() {
            // The partition exists (`check`): it is the picture of the topic that is not whole, until its next refresh.
            Some(RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::UnknownPartition) => AppendError::Full,
            Some(RDKafkaErrorCode::Fatal) => {
                producer.client().context().fatal.store(true, Ordering::Relaxed);
                AppendError::Full
            }
            _ => AppendError::Refused(sentence(error)),
        }
    }

    /// The producer, a new one where the old one is done for.
    fn producer(&self) -> Arc<ThreadedProducer<Deliveries>> {
        let current = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        if !current.client().context().fatal.load(Ordering::Relaxed) {
            return current;
        }
        let mut held = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&held, &current) {
            return Arc::clone(&held);
        }
        match build(&self.config, &self.reach) {
            Ok(new) => {
                tracing::warn!("the Kafka producer was built anew after a fatal error");
                *held = Arc::clone(&new);
                // Its end purges and waits for delivery reports: not on the appending thread.
                let _ = std::thread::Builder::new()
                    .name("kafka-old-producer".into())
                    .spawn(move || drop(current));
                new
            }
            Err(error) => {
                tracing::error!(error = sentence(&error), "no new Kafka producer after a fatal error");
                current
            }
        }
    }
}

fn build(config: &ClientConfig, reach: &Arc<Reach>) -> Result<Arc<ThreadedProducer<Deliveries>>, KafkaError> {
    let context = Deliveries { events: Events::new("producer", reach), fatal: AtomicBool::new(false) };
    config.create_with_context(context).map(Arc::new)
}

/// The producer's callbacks.
pub(crate) struct Deliveries {
    events: Events,
    /// This producer will never deliver again.
    fatal: AtomicBool,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        self.events.on_log(level, fac, log_message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Ordering::Relaxed);
        }
        self.events.on_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match delivered {
            Ok(message) => ticket.delivered(message.offset()),
            Err((error, _)) => ticket.failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Appender;
    use crate::config::KafkaConfig;
    use crate::names::Names;
    use crate::reach::Reach;
    use rdkafka::producer::Producer;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_producer_that_is_done_for_is_replaced_once() {
        // Nobody listens there, and nobody needs to.
        let config = KafkaConfig::new("127.0.0.1:1", "node");
        let reach = Reach::new(&config.brokers);
        let appender =
            Appender::new(config.producer(), Names::new(""), 2, &reach).expect("a good configuration");
        let first = appender.producer();
        assert!(Arc::ptr_eq(&first, &appender.producer()));
        first.client().context().fatal.store(true, Ordering::Relaxed);
        let second = appender.producer();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &appender.producer()));
    }
}
