//! Asks a broker, in Kafka's own protocol, how many brokers it knows to be alive.
//!
//! An open port is not a broker that serves: this is what [`super::cluster`] waits for. One Metadata request,
//! version 4 (the last with plain fields before the flexible ones), of which only the broker count is read.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A loopback broker answers in milliseconds or is not ready.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
const CORRELATION_ID: i32 = 7;

/// How many brokers the one on `port` says are alive; nothing while it does not answer.
pub(super) fn live_brokers(port: u16) -> Option<usize> {
    ask(port).ok()
}

fn ask(port: u16) -> io::Result<usize> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    stream.write_all(&metadata_request())?;
    // size, correlation id, throttle time, number of brokers: four bytes each.
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let word = |at: usize| {
        i32::from_be_bytes(head[at..at + 4].try_into().expect("a range of four bytes in an array of sixteen"))
    };
    if word(4) != CORRELATION_ID {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to another question"));
    }
    usize::try_from(word(12)).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn metadata_request() -> Vec<u8> {
    const METADATA: i16 = 3;
    const VERSION: i16 = 4;
    const CLIENT: &[u8; 7] = b"testkit";
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(CORRELATION_ID.to_be_bytes());
    body.extend((CLIENT.len() as i16).to_be_bytes());
    body.extend(CLIENT);
    body.extend(0_i32.to_be_bytes()); // no topics
    body.push(0); // create none
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.extend(body);
    request
}
