//! The trace of a run: every record appended, every fault, in order, as one running hash; and printed as it happens
//! where somebody wants to read it. Two runs of a seed are the same run when their hashes are equal.

use std::fmt::{Arguments, Write};

use callboard_domain::id::fnv1a;
use callboard_ports::record::Record;

use crate::fault::Fault;

/// What happened so far.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    entries: u64,
    counts: Vec<u32>,
    printed: bool,
}

impl Trace {
    #[must_use]
    pub fn new(printed: bool) -> Self {
        let counts = vec![0; Fault::ALL.len()];
        Self { hash: 0, entries: 0, counts, printed }
    }

    fn add(&mut self, parts: &[&[u8]]) {
        let before = self.hash.to_be_bytes();
        let mut all: Vec<&[u8]> = vec![&before];
        all.extend_from_slice(parts);
        self.hash = fnv1a(&all);
        self.entries += 1;
    }

    /// A record as the log took it.
    pub fn record(&mut self, at_ms: u64, record: &Record) {
        let place = [at_ms, u64::from(record.partition), record.offset, record.timestamp_ms.unsigned_abs()];
        let place: Vec<u8> = place.iter().flat_map(|n| n.to_be_bytes()).collect();
        self.add(&[record.topic.name().as_bytes(), &place, &record.key, &record.value]);
        if self.printed {
            let key = String::from_utf8_lossy(&record.key);
            let value = String::from_utf8_lossy(&record.value);
            println!(
                "{at_ms:>8} ms  {}/{} @{} {key}  {value}",
                record.topic, record.partition, record.offset
            );
        }
    }

    /// A fault, and at whom it was aimed.
    pub fn fault(&mut self, at_ms: u64, fault: Fault, words: Arguments<'_>) {
        self.counts[fault as usize] += 1;
        self.note(at_ms, format_args!("** {}: {words}", fault.name()));
    }

    /// Anything else that tells two runs apart.
    pub fn note(&mut self, at_ms: u64, words: Arguments<'_>) {
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = write!(line, "{at_ms:>8} ms  {words}");
        self.add(&[line.as_bytes()]);
        if self.printed {
            println!("{line}");
        }
    }

    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// All counts, by [`Fault::ALL`].
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }
}
