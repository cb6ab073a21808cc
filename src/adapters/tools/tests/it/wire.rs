//! Services that break off: raw TCP, because a proper HTTP server cannot behave that badly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What becomes of a connection.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Closed before a byte of it was read.
    CloseAtOnce,
    /// The request is read, then the connection is reset.
    Reset,
    /// The request is read, then nothing more happens.
    Hang,
    /// The request is read and answered with these bytes, then the connection is closed.
    Answer(&'static str),
    /// These bytes at once, whatever is sent.
    Blurt(&'static str),
}

/// A service on a random port; it lives as long as the test.
pub struct Wire {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let manner = manner.clone();
                thread::spawn(move || behave(stream, &manner));
            }
        });
        Self { address, connections }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn behave(mut stream: TcpStream, manner: &Manner) {
    match manner {
        Manner::CloseAtOnce => {}
        Manner::Reset => {
            // What is unread when a socket closes makes the kernel reset the connection.
            let _ = stream.peek(&mut [0]);
        }
        Manner::Hang => {
            let mut rest = Vec::new();
            // Until the client hangs up.
            let _ = stream.read_to_end(&mut rest);
        }
        Manner::Answer(bytes) => {
            read_request(&mut stream);
            let _ = stream.write_all(bytes.as_bytes());
        }
        Manner::Blurt(bytes) => {
            let _ = stream.write_all(bytes.as_bytes());
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    }
}

/// Head and body; the body is JSON and ends where its length says.
fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => seen.extend_from_slice(&chunk[..n]),
        }
    }
}

/// A port of this machine where nobody listens.
pub fn nobody() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    url
}
