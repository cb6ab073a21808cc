//! The offset index of one conversation: where its events lie in the partition, as coalesced ranges in chunks.
//! Only the last chunk changes; a full one is never written again.

use std::ops::Range;

use callboard_ports::snapshot::coalesce;

/// Ranges of a chunk: 2 kB, so that a flush of a long conversation rewrites little.
const CHUNK_RANGES: usize = 128;
/// Foreign records between two events that are read over: cheaper than another seek.
const GAP: u64 = 32;

/// Adds `offsets` to the last chunk; gives the chunks that take its place, at least one when there is anything.
pub(super) fn extend(last: Vec<Range<u64>>, offsets: &[u64]) -> Vec<Vec<Range<u64>>> {
    let mut ranges = last;
    ranges.extend(offsets.iter().map(|offset| *offset..offset.saturating_add(1)));
    merge(ranges).chunks(CHUNK_RANGES).map(<[_]>::to_vec).collect()
}

/// All chunks together, ascending and apart, whatever was added twice.
pub(super) fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    coalesce(ranges, GAP)
}

pub(super) fn encode(ranges: &[Range<u64>]) -> Vec<u8> {
    ranges.iter().flat_map(|range| [range.start.to_be_bytes(), range.end.to_be_bytes()]).flatten().collect()
}

pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Range<u64>>> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let range = |pair: &[u8; 16]| {
        let (start, end) = pair.split_first_chunk::<8>()?;
        Some(u64::from_be_bytes(*start)..u64::from_be_bytes(*end.first_chunk()?))
    };
    if rest.is_empty() { pairs.iter().map(range).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_RANGES, decode, encode, extend, merge};

    #[test]
    fn chunks_fill_up_and_nothing_is_lost() {
        let mut chunks = vec![Vec::new()];
        for i in 0..1_000_u64 {
            let last = chunks.pop().unwrap();
            chunks.extend(extend(last, &[i * 100, i * 100 + 1]));
        }
        assert_eq!(chunks.len(), 1_000 / CHUNK_RANGES + 1);
        let all = merge(chunks.concat());
        assert_eq!(all.len(), 1_000);
        assert!(all.iter().enumerate().all(|(i, r)| *r == (i as u64 * 100..i as u64 * 100 + 2)));
        assert_eq!(extend(Vec::new(), &[]), Vec::<Vec<_>>::new());
        assert_eq!(decode(&encode(&all)), Some(all));
    }
}
