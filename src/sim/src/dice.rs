//! Randomness of a run: one stream of numbers out of its seed, and hashes for what must not depend on the order in
//! which it is asked for.

use callboard_domain::id::fnv1a;

/// SplitMix64 (Steele, Lea, Flood).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (at least 1).
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Whether something that happens this often (per thousand) happens now.
    pub fn happens(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1_000) < u64::from(per_mille)
    }

    /// One of `all`, of which there is at least one.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let i = self.below(all.len() as u64) as usize;
        &all[i]
    }
}

/// A number below `n` that depends on what is named, and on nothing else.
#[must_use]
pub fn drawn(seed: u64, about: &[&str], n: u64) -> u64 {
    let seed = seed.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&seed];
    parts.extend(about.iter().map(|part| part.as_bytes()));
    // FNV's low bits are weak: one more mixing step.
    Dice::new(fnv1a(&parts)).below(n)
}
