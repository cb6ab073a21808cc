//! Partitions of a group that nobody owns.
//!
//! A cooperative rebalance takes a partition away in one step and gives it to its next owner in another, which whoever gave it
//! away asks for. A static member that is killed between the two and comes back under its name gets its old place without a
//! rebalance: nobody asks any more, and the partition stays nobody's until the group changes for another reason. So static
//! members look at their whole group now and then. Where something is missing twice in a row, the member that owns least
//! leaves and joins again; that is the second step. Where that member does not, the one that owns least but for it does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, TryGetError};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::{MemberConsumer, Orders};

/// Longer than the two steps of a rebalance take; what nobody owns is served again after twice this.
const LOOK_EVERY: Duration = Duration::from_secs(4);
/// Looks that each member, in the order of what they own, is given to act.
const LOOKS_EACH: usize = 3;
/// Closing a member waits for a look that is under way.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// Watches over one group, for one member.
pub(super) struct Orphans {
    pub(super) group: String,
    pub(super) topic: Arc<str>,
    /// All partitions of the topic.
    pub(super) partitions: u32,
    /// The member's own; without one the broker never gives a place back without a rebalance.
    pub(super) instance: Option<String>,
    pub(super) orders: Arc<Orders>,
    next_look: Instant,
    /// At how many looks in a row something was missing.
    suspected: usize,
}

/// A group at rest.
#[derive(Default)]
struct Seen {
    /// What its members own together.
    owned: BTreeSet<u32>,
    /// How many partitions each member owns, and its id.
    shares: Vec<(usize, String)>,
}

impl Orphans {
    pub(super) fn new(
        group: String,
        (topic, partitions): (Arc<str>, u32),
        instance: Option<String>,
        orders: Arc<Orders>,
    ) -> Self {
        let next_look = Instant::now() + LOOK_EVERY;
        Self { group, topic, partitions, instance, orders, next_look, suspected: 0 }
    }

    pub(super) fn is_due(&self) -> bool {
        self.instance.is_some() && Instant::now() >= self.next_look
    }

    /// Looks at the group, and lets the member join again where that is what it takes.
    pub(super) fn look(&mut self, consumer: &MemberConsumer) {
        self.next_look = Instant::now() + LOOK_EVERY;
        // A group that cannot be looked at, or is on the move, tells nothing.
        let seen = self.shares(consumer).ok().flatten();
        let lacking = seen.filter(|seen| seen.owned.len() < self.partitions as usize);
        let Some(Seen { owned, mut shares }) = lacking else {
            self.suspected = 0;
            return;
        };
        self.suspected += 1;
        shares.sort();
        // The broker makes a static member's id of its instance.
        let mine = self.instance.as_ref().map(|instance| format!("{instance}-")).unwrap_or_default();
        let rank = shares.iter().position(|(_, id)| id.starts_with(&mine));
        if rank.is_some_and(|rank| self.suspected >= 2 + LOOKS_EACH * rank) {
            let missing: Vec<u32> = (0..self.partitions).filter(|one| !owned.contains(one)).collect();
            tracing::warn!(
                group = self.group,
                ?missing,
                "partitions that nobody owns: joining the group again"
            );
            self.suspected = 0;
            self.orders.join_again();
        }
    }

    /// What the group's members own together and one by one; `None` while it is not at rest.
    fn shares(&self, consumer: &MemberConsumer) -> Result<Option<Seen>, KafkaError> {
        let list = consumer.fetch_group_list(Some(&self.group), LOOK_WAIT)?;
        let group =
            list.groups().iter().find(|group| group.name() == self.group && group.state() == "Stable");
        let Some(group) = group else { return Ok(None) };
        let mut seen = Seen::default();
        for member in group.members() {
            let has =
                member.assignment().and_then(|bytes| partitions(bytes, &self.topic).ok()).unwrap_or_default();
            seen.shares.push((has.len(), member.id().to_owned()));
            seen.owned.extend(has);
        }
        Ok(Some(seen))
    }
}

/// The partitions of `topic` in an assignment as Kafka's consumers write it (`ConsumerProtocolAssignment`): a version, then for
/// each topic its name and partitions; big-endian, lengths first.
fn partitions(mut bytes: &[u8], topic: &str) -> Result<Vec<u32>, TryGetError> {
    let mut found = Vec::new();
    bytes.try_get_i16()?;
    for _ in 0..bytes.try_get_i32()? {
        let length = usize::try_from(bytes.try_get_i16()?).unwrap_or(0);
        let mut name = vec![0; length];
        bytes.try_copy_to_slice(&mut name)?;
        for _ in 0..bytes.try_get_i32()? {
            let partition = bytes.try_get_i32()?;
            if name == topic.as_bytes() {
                found.extend(u32::try_from(partition));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::partitions;

    #[test]
    fn an_assignment_is_read_as_kafka_writes_it() {
        let mut bytes = vec![0, 3, 0, 0, 0, 2];
        for (name, numbers) in [("other", &[7_u8][..]), ("mine", &[0, 5])] {
            bytes.extend([0, name.len() as u8]);
            bytes.extend(name.as_bytes());
            bytes.extend([0, 0, 0, numbers.len() as u8]);
            numbers.iter().for_each(|number| bytes.extend([0, 0, 0, *number]));
        }
        bytes.extend([0, 0, 0, 0]);
        assert_eq!(partitions(&bytes, "mine").unwrap(), [0, 5]);
        assert_eq!(partitions(&bytes, "absent").unwrap(), Vec::<u32>::new());
        for length in 0..bytes.len() - 4 {
            assert!(partitions(&bytes[..length], "mine").is_err(), "cut at {length}");
        }
    }
}
