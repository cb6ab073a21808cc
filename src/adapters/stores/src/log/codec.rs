//! How a record lies in its keyspace: the key says where (partition, offset), the value everything else.
//!
//! Value: format (1 byte), timestamp (i64), key length (u32), number of headers (u16), for each header name
//! length (u16), value length (u32), name, value; then key; then value. Big endian throughout.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use callboard_ports::{Header, NewRecord, Record, Topic};

const FORMAT: u8 = 1;
/// Header names met so far: those of Callboard are some twenty, foreign ones are few.
const MAX_KNOWN_NAMES: usize = 256;

/// The key of a record.
pub(super) fn record_key(partition: u32, offset: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&(partition as u16).to_be_bytes());
    key[2..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in a record's key.
pub(super) fn offset_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(2..)?.first_chunk()?))
}

pub(super) fn encode(new: &NewRecord, timestamp_ms: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(new.size_bytes() + 15 + 6 * new.headers.len());
    out.push(FORMAT);
    out.extend_from_slice(&timestamp_ms.to_be_bytes());
    out.extend_from_slice(&(new.key.len() as u32).to_be_bytes());
    // `oversize` bounds headers to 64 KiB together; more than 65,535 of them would all have to be empty.
    let headers = &new.headers[..new.headers.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(headers.len() as u16).to_be_bytes());
    for header in headers {
        out.extend_from_slice(&(header.name.len() as u16).to_be_bytes());
        out.extend_from_slice(&(header.value.len() as u32).to_be_bytes());
        out.extend_from_slice(header.name.as_bytes());
        out.extend_from_slice(&header.value);
    }
    out.extend_from_slice(&new.key);
    out.extend_from_slice(&new.value);
    out
}

/// The timestamp alone.
pub(super) fn timestamp_ms(value: &[u8]) -> Option<i64> {
    let (format, rest) = value.split_first()?;
    (*format == FORMAT).then_some(i64::from_be_bytes(*rest.first_chunk()?))
}

/// Header names are the same few in every record: one allocation each, not one a record.
#[derive(Default)]
pub(super) struct Names(HashMap<Box<[u8]>, Arc<str>>);

impl Names {
    fn get(&mut self, bytes: &[u8]) -> Option<Arc<str>> {
        if let Some(known) = self.0.get(bytes) {
            return Some(known.clone());
        }
        let name: Arc<str> = Arc::from(std::str::from_utf8(bytes).ok()?);
        if self.0.len() < MAX_KNOWN_NAMES {
            self.0.insert(Box::from(bytes), name.clone());
        }
        Some(name)
    }
}

/// Takes `length` bytes off the front of what is left.
struct Cursor {
    bytes: Bytes,
}

impl Cursor {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.bytes.len()).then(|| self.bytes.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.bytes.first_chunk::<N>()?;
        self.bytes = self.bytes.slice(N..);
        Some(array)
    }
}

/// `None` when the value is no record of this format.
pub(super) fn decode(
    (topic, partition, offset): (Topic, u32, u64),
    value: &[u8],
    names: &mut Names,
) -> Option<Record> {
    // One copy out of the store; key, headers and value share it.
    let mut cursor = Cursor { bytes: Bytes::copy_from_slice(value) };
    let [format] = cursor.array()?;
    if format != FORMAT {
        return None;
    }
    let timestamp_ms = i64::from_be_bytes(cursor.array()?);
    let key_length = u32::from_be_bytes(cursor.array()?) as usize;
    let count = u16::from_be_bytes(cursor.array()?);
    let mut headers = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name_length = usize::from(u16::from_be_bytes(cursor.array()?));
        let value_length = u32::from_be_bytes(cursor.array()?) as usize;
        let name = names.get(&cursor.take(name_length)?)?;
        headers.push(Header { name, value: cursor.take(value_length)? });
    }
    let key = cursor.take(key_length)?;
    Some(Record { topic, partition, offset, timestamp_ms, key, headers, value: cursor.bytes })
}

#[cfg(test)]
mod tests {
    use super::{Names, decode, encode, offset_of, record_key, timestamp_ms};
    use bytes::Bytes;
    use callboard_ports::{Header, NewRecord, Topic};

    #[test]
    fn a_record_comes_back_and_nothing_else_does() {
        let new = NewRecord {
            topic: Topic::UserCommands,
            partition: 3,
            key: Bytes::from_static(b"k"),
            headers: vec![Header::new("a", &b"1"[..]), Header::new("a", &b""[..])],
            value: Bytes::from_static(b"value"),
        };
        let bytes = encode(&new, -5);
        let place = (Topic::UserCommands, 3, 9);
        let record = decode(place, &bytes, &mut Names::default()).unwrap();
        assert_eq!((&record.key, &record.headers, &record.value), (&new.key, &new.headers, &new.value));
        assert_eq!((record.offset, record.timestamp_ms, timestamp_ms(&bytes)), (9, -5, Some(-5)));
        for cut in 0..bytes.len() - new.value.len() {
            assert_eq!(decode(place, &bytes[..cut], &mut Names::default()), None, "cut at {cut}");
        }
        assert_eq!(offset_of(&record_key(3, 77)), Some(77));
        assert!(record_key(1, u64::MAX) < record_key(2, 0), "partitions do not mix");
    }
}
