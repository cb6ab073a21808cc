//! Free loopback ports that stay free until their user listens, and while that user is killed and restarted.
//!
//! Used by [`crate::kafka`], whose brokers come back on the same ports, and by tests that start `callboard
//! serve`. The stubs do not need it: they listen on port 0 and keep the listener.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Below it are the ports that people start services on.
const LOWEST: u16 = 20_000;
/// Where Linux starts to hand out ports for outgoing connections, unless it is told otherwise.
const EPHEMERAL_LOW: u16 = 32_768;
/// More candidates than tests on one machine ever hold at once.
const CANDIDATES: usize = 2_000;

/// One lock file per port handed out. Held until the process ends, which is what keeps a second test process
/// off a port whose broker is down at the moment.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port on 127.0.0.1 that nobody listens on and that this testkit gives to nobody else, in any process of
/// this user, until this process ends. It lies below the range for outgoing connections, so the kernel does
/// not give it away either.
///
/// # Panics
/// When no port is free, or the folder for temporary files cannot be written.
pub fn free_port() -> u16 {
    let Range { start, end } = candidates();
    let first = start + (crate::random_bits() % u64::from(end - start)) as u16;
    for port in (first..end).chain(start..first).take(CANDIDATES) {
        let reserved = reserve(port).expect("the folder for temporary files can be written");
        if let Some(lock) = reserved {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return port;
        }
    }
    panic!("no free loopback port among {CANDIDATES} candidates between {start} and {end}");
}

/// The lock on `port`, or nothing when somebody has the lock or listens there.
fn reserve(port: u16) -> io::Result<Option<File>> {
    let lock = File::options().create(true).append(true).open(lock_folder()?.join(port.to_string()))?;
    if lock.try_lock().is_err() {
        return Ok(None);
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(lock))
}

/// One folder per user: locks of another user could not be opened.
fn lock_folder() -> io::Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("callboard-testkit-ports-{user}"));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Ports that neither people nor the kernel are likely to take.
fn candidates() -> Range<u16> {
    let low = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL_LOW);
    // A machine that gives nearly every port to outgoing connections: the lock and the check must do.
    if low > LOWEST + 1_000 { LOWEST..low } else { LOWEST..EPHEMERAL_LOW }
}
