//! Requests that clients repeat by themselves after a dropped connection, without a key: what was asked lately, so that a
//! repetition finds the turn of the first try. Volatile: over a crash of the node only an `Idempotency-Key` reaches.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::http::send::Identity;

/// Official clients give up long before.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Some 2 MB; a busier gateway forgets the oldest first, whose client was answered most probably.
const MOST: usize = 10_000;

/// What a request says: who, in which conversation, and every byte of its body.
pub type Digest = [u8; 32];

/// The digest of a request.
#[must_use]
pub fn digest(principal: &str, conversation: Option<&str>, body: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    for part in [principal.as_bytes(), conversation.unwrap_or("").as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[derive(Default)]
struct Known {
    by_digest: HashMap<Digest, (Instant, Identity)>,
    by_time: VecDeque<(Instant, Digest)>,
}

/// What was asked lately.
#[derive(Default)]
pub struct Joins(Mutex<Known>);

impl Joins {
    /// Remembers which turn a request makes, or joins.
    pub fn note(&self, digest: Digest, identity: &Identity) {
        self.note_at(digest, identity, Instant::now());
    }

    /// The turn of the same request.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<Identity> {
        self.find_at(digest, Instant::now())
    }

    fn note_at(&self, digest: Digest, identity: &Identity, now: Instant) {
        let mut known = self.0.lock().expect("no holder of this lock panics");
        known.by_digest.insert(digest, (now, identity.clone()));
        known.by_time.push_back((now, digest));
        while let Some((at, oldest)) = known.by_time.front().copied()
            && (known.by_time.len() > MOST || now.duration_since(at) > REMEMBERED)
        {
            known.by_time.pop_front();
            // Unless it was noted again since.
            if known.by_digest.get(&oldest).is_some_and(|(noted, _)| *noted == at) {
                known.by_digest.remove(&oldest);
            }
        }
    }

    fn find_at(&self, digest: &Digest, now: Instant) -> Option<Identity> {
        let known = self.0.lock().expect("no holder of this lock panics");
        let (at, identity) = known.by_digest.get(digest)?;
        (now.duration_since(*at) <= REMEMBERED).then(|| identity.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use callboard_domain::id::{CommandId, ConversationId};

    use super::{Joins, MOST, REMEMBERED, digest};
    use crate::http::send::Identity;

    fn identity(command: &str) -> Identity {
        let conversation = ConversationId::new("c").unwrap();
        Identity { conversation, command: CommandId::new(command).unwrap(), keyed: false }
    }

    #[test]
    fn a_request_is_found_for_ten_minutes_and_the_newest_counts() {
        let (joins, start) = (Joins::default(), Instant::now());
        let asked = digest("anna", None, b"{}");
        assert_eq!(joins.find_at(&asked, start), None);
        joins.note_at(asked, &identity("one"), start);
        joins.note_at(asked, &identity("two"), start + Duration::from_secs(1));
        assert_eq!(joins.find_at(&asked, start + REMEMBERED).unwrap().command.as_str(), "two");
        assert_eq!(joins.find_at(&asked, start + REMEMBERED + Duration::from_secs(2)), None);
        for other in
            [digest("ben", None, b"{}"), digest("anna", Some("c"), b"{}"), digest("anna", None, b"{ }")]
        {
            assert_eq!(joins.find_at(&other, start), None);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (joins, now) = (Joins::default(), Instant::now());
        for i in 0..=MOST {
            joins.note_at(digest("anna", None, &i.to_be_bytes()), &identity("k"), now);
        }
        assert_eq!(joins.find_at(&digest("anna", None, &0_usize.to_be_bytes()), now), None);
        assert!(joins.find_at(&digest("anna", None, &MOST.to_be_bytes()), now).is_some());
        assert_eq!(joins.0.lock().unwrap().by_digest.len(), MOST);
    }
}
