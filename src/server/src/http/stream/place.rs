//! Event ids of a turn's stream: how far a reader has come. Opaque to clients, and they mean the same after a restart.
//!
//! `RECORD[~EPOCH~BYTES]`: RECORD is `OFFSET.COUNT` (the record of `conversation-events`, and how many of its events were told)
//! or `-` before the first; EPOCH and BYTES say how much of which writing of the answer was told. All numbers are hexadecimal.

use std::sync::Arc;

/// The epoch of what is told from the event that took effect.
pub const FINAL: &str = "final";

/// How far a reader has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Offset of the newest record that was told of, and how many of its events.
    pub record: Option<(u64, u32)>,
    /// Name of the epoch, and bytes of its text.
    pub said: Option<(Arc<str>, usize)>,
}

impl Place {
    /// Reads an id; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        /// Four numbers and what stands between them.
        const MAX_EPOCH_BYTES: usize = 64;
        let mut parts = text.trim().splitn(3, '~');
        let record = match parts.next()? {
            "-" => None,
            record => {
                let (offset, count) = record.split_once('.')?;
                Some((u64::from_str_radix(offset, 16).ok()?, u32::from_str_radix(count, 16).ok()?))
            }
        };
        let Some(epoch) = parts.next() else { return Some(Self { record, said: None }) };
        let simple = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if epoch.is_empty() || epoch.len() > MAX_EPOCH_BYTES || !epoch.bytes().all(simple) {
            return None;
        }
        let bytes = usize::from_str_radix(parts.next()?, 16).ok()?;
        Some(Self { record, said: Some((epoch.into(), bytes)) })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.record {
            Some((offset, count)) => write!(f, "{offset:x}.{count:x}")?,
            None => f.write_str("-")?,
        }
        match &self.said {
            Some((epoch, bytes)) => write!(f, "~{epoch}~{bytes:x}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FINAL, Place};

    #[test]
    fn an_id_reads_as_it_was_written() {
        let epoch = "1-1-19a2b3c4d5e-0badcafe";
        for place in [
            Place::default(),
            Place { record: Some((0, 1)), said: None },
            Place { record: Some((0x00ff_ffff_ffff, 12)), said: Some((epoch.into(), 0)) },
            Place { record: None, said: Some((FINAL.into(), 262_144)) },
        ] {
            assert_eq!(Place::parse(&place.to_string()), Some(place.clone()), "{place}");
        }
        assert_eq!(
            Place { record: Some((255, 2)), said: Some((epoch.into(), 16)) }.to_string(),
            format!("ff.2~{epoch}~10")
        );
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for wrong in
            ["", "7", "x.1", "1.1~", "1.1~e", "1.1~E~0", "1.1~a b~0", "1.1~e~-1", "1.1~e~1~2", "-1.0"]
        {
            assert_eq!(Place::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Place::parse(&format!("1.1~{}~0", "e".repeat(65))), None);
    }
}
