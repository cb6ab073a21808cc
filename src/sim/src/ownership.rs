//! Who was told to own which partition, and what was issued by whom after it had been told that it does not any more.

use std::collections::BTreeMap;

use callboard_domain::audit::Issued;
use callboard_ports::record::{NewRecord, Topic};

/// What a life of a process knows about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Owner,
    /// It has been told, at this time; what it does within [`GRACE_MS`] may have been under way.
    Lost(u64),
    /// It has said that it is done.
    Acked,
}

/// Being told and having heard it are a mailbox apart.
const GRACE_MS: u64 = 1_000;

/// The book of a run.
#[derive(Debug, Default)]
pub struct Ownership {
    told: BTreeMap<(String, u32), Told>,
    trespasses: Vec<Issued>,
}

impl Ownership {
    pub fn assigned(&mut self, life: &str, partition: u32) {
        self.told.insert((life.to_owned(), partition), Told::Owner);
    }

    pub fn lost(&mut self, life: &str, partition: u32, at_ms: u64) {
        self.told.insert((life.to_owned(), partition), Told::Lost(at_ms));
    }

    /// The partition was handed over, unless it has come back meanwhile.
    pub fn acked(&mut self, life: &str, partition: u32) {
        let told = self.told.get_mut(&(life.to_owned(), partition));
        if let Some(told) = told.filter(|told| matches!(told, Told::Lost(_))) {
            *told = Told::Acked;
        }
    }

    /// A life appends a record.
    pub fn appends(&mut self, life: &str, record: &NewRecord, at_ms: u64) {
        let Some((partition, what)) = issued(record) else { return };
        let late = match self.told.get(&(life.to_owned(), partition)) {
            Some(Told::Lost(told_ms)) => at_ms > told_ms + GRACE_MS,
            Some(Told::Acked) => true,
            Some(Told::Owner) | None => false,
        };
        if late {
            let detail = format!("{life} appended {what} at {at_ms} ms");
            self.trespasses.push(Issued { partition, detail });
        }
    }

    #[must_use]
    pub fn trespasses(&self) -> &[Issued] {
        &self.trespasses
    }
}

/// The partition for which only its owner may write such a record.
fn issued(record: &NewRecord) -> Option<(u32, String)> {
    let header = |name: &str| std::str::from_utf8(record.headers.get(name)?).ok();
    let kind = header("ce_type")?;
    let of_owner = match record.topic {
        Topic::ToolInvocationRequests | Topic::SynthesisRequests => true,
        // Results, answers and their failures come from workers anywhere.
        Topic::ConversationEvents => {
            const OWN: [&str; 5] = [
                "UserQueryReceived",
                "PlanGenerated",
                "CommandRefused",
                "UserHistoryReset",
                "DeadlineExpired",
            ];
            OWN.iter().any(|name| kind.split('.').any(|part| part == *name))
        }
        _ => false,
    };
    let partition = match record.topic {
        Topic::ConversationEvents => record.partition,
        _ => header("callboard-reply-partition")?.parse().ok()?,
    };
    of_owner.then(|| (partition, kind.to_owned()))
}
