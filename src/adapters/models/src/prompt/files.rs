//! The prompts' words: the files of `prompts/`, part of the program. Their digest goes into every plan, so that a plan
//! says by which words it was asked for.

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Raised with every change of what the words ask for, so that people can name them; the digest tells the rest.
pub(crate) const VERSION: &str = "2";
pub(crate) const PLAN: &str = include_str!("../../prompts/plan.md");
pub(crate) const REPAIR: &str = include_str!("../../prompts/repair.md");
pub(crate) const SYNTHESIZE: &str = include_str!("../../prompts/synthesize.md");

/// SHA-256 of the files and an agent's instructions, in hex digits.
pub(crate) fn hash(instructions: &str) -> Arc<str> {
    let mut digest = Sha256::new();
    for part in [VERSION, PLAN, REPAIR, SYNTHESIZE, instructions] {
        // With its length, so that no two lists of parts look alike.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let mut hex = String::with_capacity(64);
    for byte in digest.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex.into()
}
