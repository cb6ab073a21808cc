//! From librdkafka's borrowed message to the port's record: one piece of memory for key and value, one for the headers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use callboard_ports::{HeaderList, Headers, Record, Topic};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _, Message};

/// A record as it was read. Nothing a foreign producer writes makes this fail.
pub(crate) fn record(topic: Topic, message: &BorrowedMessage<'_>) -> Record {
    let key = message.key().unwrap_or_default();
    let value = message.payload().unwrap_or_default();
    let bytes = Bytes::from([key, value].concat());
    Record {
        topic,
        partition: u32::try_from(message.partition()).unwrap_or_default(),
        offset: u64::try_from(message.offset()).unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: bytes.slice(..key.len()),
        headers: message.headers().map(headers).unwrap_or_default(),
        value: bytes.slice(key.len()..),
    }
}

fn headers(found: &BorrowedHeaders) -> Headers {
    let mut headers = HeaderList::default();
    for index in 0..found.count() {
        // rust-rdkafka panics at a name that is not UTF-8, which any foreign producer may write: such a header is left out,
        // since the port's names are text, and the partition goes on.
        let header = catch_unwind(AssertUnwindSafe(|| found.try_get(index)));
        if let Ok(Some(header)) = header {
            headers.push(header.key, header.value.unwrap_or_default());
        }
    }
    headers.into()
}
