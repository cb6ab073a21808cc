//! A record that no client library would write: spoken to the broker byte by byte (Produce, version 3).

use std::io::{Read, Write};
use std::net::TcpStream;

/// Produces one record whose only header has this name, text or not. The broker must lead the partition.
pub fn one(broker: &str, topic: &str, partition: i32, value: &[u8], header_name: &[u8]) {
    let batch = batch(value, header_name);
    let mut body = Vec::new();
    body.extend(0_i16.to_be_bytes()); // Produce
    body.extend(3_i16.to_be_bytes());
    body.extend(1_i32.to_be_bytes()); // correlation id
    body.extend((-1_i16).to_be_bytes()); // no client id
    body.extend((-1_i16).to_be_bytes()); // no transaction
    body.extend((-1_i16).to_be_bytes()); // acks=all
    body.extend(10_000_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(length(&batch));
    body.extend(&batch);

    let mut stream = TcpStream::connect(broker).unwrap();
    stream.write_all(&length(&body)).unwrap();
    stream.write_all(&body).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    // correlation id, one topic, its name, one partition, its number; then the error code.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[at..at + 2], [0, 0], "the broker took the record");
}

fn batch(value: &[u8], header_name: &[u8]) -> Vec<u8> {
    let mut record = vec![0]; // attributes
    record.extend([0, 0]); // deltas of timestamp and offset
    record.extend(varint(-1)); // no key
    record.extend(varint(value.len() as i64));
    record.extend(value);
    record.extend(varint(1));
    record.extend(varint(header_name.len() as i64));
    record.extend(header_name);
    record.extend(varint(0)); // an empty header value

    let mut summed = Vec::new();
    summed.extend(0_i16.to_be_bytes()); // attributes
    summed.extend(0_i32.to_be_bytes()); // last offset delta
    summed.extend(1_000_i64.to_be_bytes()); // first and last timestamp
    summed.extend(1_000_i64.to_be_bytes());
    summed.extend((-1_i64).to_be_bytes()); // no producer: id, epoch, sequence
    summed.extend((-1_i16).to_be_bytes());
    summed.extend((-1_i32).to_be_bytes());
    summed.extend(1_i32.to_be_bytes());
    summed.extend(varint(record.len() as i64));
    summed.extend(record);

    let mut rest = Vec::new();
    rest.extend((-1_i32).to_be_bytes()); // leader epoch
    rest.push(2); // magic
    rest.extend(crc32c(&summed).to_be_bytes());
    rest.extend(summed);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend(length(&rest));
    batch.extend(rest);
    batch
}

fn length(bytes: &[u8]) -> [u8; 4] {
    i32::try_from(bytes.len()).unwrap().to_be_bytes()
}

/// Zig-zag, seven bits a byte.
fn varint(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
