//! From librdkafka's borrowed message to the port's record: one allocation for all bytes of a record.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use callboard_ports::{Header, Record, Topic};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};

/// Names of headers repeat from record to record; more different ones than this come from strangers.
const MAX_NAMES: usize = 64;

/// Turns messages of one topic into records, sharing header names.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    names: Vec<Arc<str>>,
}

impl Decoder {
    /// A record as it was read. Nothing a foreign producer writes makes this fail.
    pub(crate) fn record(&mut self, topic: Topic, message: &BorrowedMessage<'_>) -> Record {
        let key = message.key().unwrap_or_default();
        let value = message.payload().unwrap_or_default();
        let found = message.headers().map(|headers| self.headers(headers)).unwrap_or_default();
        let headers_bytes: usize = found.iter().map(|(_, value)| value.len()).sum();

        let mut bytes = Vec::with_capacity(key.len() + value.len() + headers_bytes);
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        for (_, value) in &found {
            bytes.extend_from_slice(value);
        }
        let bytes = Bytes::from(bytes);
        let mut from = key.len() + value.len();
        let headers = found
            .into_iter()
            .map(|(name, value)| {
                let header = Header { name, value: bytes.slice(from..from + value.len()) };
                from += value.len();
                header
            })
            .collect();
        Record {
            topic,
            partition: u32::try_from(message.partition()).unwrap_or_default(),
            offset: u64::try_from(message.offset()).unwrap_or_default(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
            key: bytes.slice(..key.len()),
            headers,
            value: bytes.slice(key.len()..key.len() + value.len()),
        }
    }

    fn headers<'m>(&mut self, headers: &'m BorrowedHeaders) -> Vec<(Arc<str>, &'m [u8])> {
        let count = headers.count();
        let mut found = Vec::with_capacity(count);
        for index in 0..count {
            // rust-rdkafka panics at a name that is not UTF-8, which any foreign producer may write: such a header
            // is left out, since the port's names are text, and the partition goes on.
            let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index)));
            if let Ok(Some(header)) = header {
                found.push((self.name(header.key), header.value.unwrap_or_default()));
            }
        }
        found
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        if self.names.len() < MAX_NAMES {
            self.names.push(Arc::clone(&name));
        }
        name
    }
}
