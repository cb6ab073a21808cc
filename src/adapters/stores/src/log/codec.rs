//! How a record lies in its keyspace: the key says where (partition, offset), the value everything else.
//!
//! Value: format (1 byte), timestamp (i64), key length (u32), number of headers (u16), the headers as `Headers` has them, key,
//! value. Big endian throughout.

use bytes::Bytes;
use callboard_ports::{Headers, NewRecord, Record, Topic};

const FORMAT: u8 = 1;
/// Bytes of a value before the headers.
const HEAD_BYTES: usize = 15;

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
    let mut out = Vec::with_capacity(HEAD_BYTES + new.size_bytes());
    out.push(FORMAT);
    out.extend_from_slice(&timestamp_ms.to_be_bytes());
    out.extend_from_slice(&(new.key.len() as u32).to_be_bytes());
    // `oversize` bounds the headers to 64 KiB together, of which each takes some.
    out.extend_from_slice(&(new.headers.len() as u16).to_be_bytes());
    out.extend_from_slice(new.headers.as_bytes());
    out.extend_from_slice(&new.key);
    out.extend_from_slice(&new.value);
    out
}

/// The timestamp alone.
pub(super) fn timestamp_ms(value: &[u8]) -> Option<i64> {
    let (format, rest) = value.split_first()?;
    (*format == FORMAT).then_some(i64::from_be_bytes(*rest.first_chunk()?))
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
pub(super) fn decode((topic, partition, offset): (Topic, u32, u64), value: &[u8]) -> Option<Record> {
    // One copy out of the store; key, headers and value share it.
    let mut cursor = Cursor { bytes: Bytes::copy_from_slice(value) };
    let [format] = cursor.array()?;
    if format != FORMAT {
        return None;
    }
    let timestamp_ms = i64::from_be_bytes(cursor.array()?);
    let key_length = u32::from_be_bytes(cursor.array()?) as usize;
    let count = usize::from(u16::from_be_bytes(cursor.array()?));
    let headers = Headers::split_from(&mut cursor.bytes, count)?;
    let key = cursor.take(key_length)?;
    Some(Record { topic, partition, offset, timestamp_ms, key, headers, value: cursor.bytes })
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, offset_of, record_key, timestamp_ms};
    use bytes::Bytes;
    use callboard_ports::{NewRecord, Topic};

    #[test]
    fn a_record_comes_back_and_nothing_else_does() {
        let new = NewRecord {
            topic: Topic::UserCommands,
            partition: 3,
            key: Bytes::from_static(b"k"),
            headers: [("a", "1"), ("a", "")].into_iter().collect(),
            value: Bytes::from_static(b"value"),
        };
        let bytes = encode(&new, -5);
        let place = (Topic::UserCommands, 3, 9);
        let record = decode(place, &bytes).unwrap();
        assert_eq!((&record.key, &record.headers, &record.value), (&new.key, &new.headers, &new.value));
        assert_eq!((record.offset, record.timestamp_ms, timestamp_ms(&bytes)), (9, -5, Some(-5)));
        for cut in 0..bytes.len() - new.value.len() {
            assert_eq!(decode(place, &bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(offset_of(&record_key(3, 77)), Some(77));
        assert!(record_key(1, u64::MAX) < record_key(2, 0), "partitions do not mix");
    }
}
