//! What is open, over all partitions that this node serves: the oldest first, page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use callboard_domain::id::ConversationId;
use callboard_domain::open_turns::{OpenStatus, OpenTurn};

use super::{Node, NodeError};
use crate::host::{OpenAt, ReadOpen};
use crate::limits::OPEN_PAGE;
use crate::open_index::{OpenPlace, OpenPlaces, Wanted};

/// Which open turns are asked for; everything, without any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenFilter {
    pub status: Option<OpenStatus>,
    /// Received at least this long ago.
    pub older_than_ms: Option<u64>,
    /// With a step of this tool that has not ended.
    pub tool: Option<Arc<str>>,
    /// Only those with a step in doubt, whatever their other steps do.
    pub in_doubt: bool,
    /// Only those with a step that awaits approval, likewise.
    pub awaiting_approval: bool,
}

/// A place between two open turns. Opaque to clients; stays meaningful whatever opens and closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCursor(OpenPlace);

impl fmt::Display for OpenCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0.received_ms, self.0.turn, self.0.conversation)
    }
}

/// The text is no cursor that a page has given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cursor; use the one that the page before has given")]
pub struct NoCursor(String);

impl FromStr for OpenCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let parse = || {
            let mut parts = text.splitn(3, ':');
            let received_ms = parts.next()?.parse().ok()?;
            let turn = parts.next()?.parse().ok()?;
            let conversation = ConversationId::new(parts.next()?).ok()?;
            Some(Self(OpenPlace { received_ms, conversation, turn }))
        };
        parse().ok_or_else(|| NoCursor(text.chars().take(64).collect()))
    }
}

/// Some open turns, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPage {
    pub turns: Vec<OpenTurn>,
    /// Where the next page begins; `None`: this was the last one. A page may have few turns, or none, and yet be followed
    /// by another.
    pub next: Option<OpenCursor>,
    /// Partitions that this node does not serve, or not yet: what is open there is not among them.
    pub missing: Vec<u32>,
}

/// The places of one page, and where it ends.
fn merge(all: Vec<OpenPlaces>, limit: usize) -> (Vec<OpenPlace>, Option<OpenPlace>) {
    // Behind the place up to which every partition has looked, the order is not known yet.
    let looked_at = all.iter().filter_map(|found| found.up_to.clone()).min();
    let mut places: Vec<OpenPlace> = all.into_iter().flat_map(|found| found.places).collect();
    places.sort_unstable();
    if let Some(looked_at) = &looked_at {
        places.retain(|place| place <= looked_at);
    }
    if places.len() > limit {
        places.truncate(limit);
        let last = places.last().cloned();
        return (places, last);
    }
    (places, looked_at)
}

impl Node {
    /// Open turns and doubts of the partitions served here, after `after`, at most `limit` (and never more than
    /// [`OPEN_PAGE`]), the oldest first.
    ///
    /// # Errors
    /// [`NodeError::NotReady`] when a host ends meanwhile.
    pub async fn open_turns(
        &self,
        filter: &OpenFilter,
        after: Option<OpenCursor>,
        limit: usize,
    ) -> Result<OpenPage, NodeError> {
        let now_ms = self.shared.now_ms();
        let limit = limit.clamp(1, OPEN_PAGE);
        let until_ms = filter.older_than_ms.map(|age_ms| now_ms.saturating_sub_unsigned(age_ms));
        let wanted = Wanted {
            status: filter.status,
            until_ms,
            tool: filter.tool.clone(),
            in_doubt: filter.in_doubt,
            awaiting_approval: filter.awaiting_approval,
        };
        let after = after.map(|cursor| cursor.0);
        let partitions = 0..self.shared.ports.log.partitions();
        let ask = |partition: u32| {
            let question = OpenAt { wanted: wanted.clone(), after: after.clone(), limit };
            async move { (partition, self.of_host(partition, question).await.ok().flatten()) }
        };
        let answers = futures_util::future::join_all(partitions.map(ask)).await;
        let unserved = answers.iter().filter(|(_, found)| found.is_none());
        let missing = unserved.map(|(partition, _)| *partition).collect();
        let (places, next) = merge(answers.into_iter().filter_map(|(_, found)| found).collect(), limit);
        let mut of: BTreeMap<u32, BTreeSet<ConversationId>> = BTreeMap::new();
        for place in &places {
            of.entry(self.partition_of(&place.conversation)).or_default().insert(place.conversation.clone());
        }
        let read = of.into_iter().map(|(partition, ids)| {
            let question = ReadOpen(ids.into_iter().collect());
            self.of_host(partition, question)
        });
        let read = futures_util::future::try_join_all(read).await?;
        // What has closed or changed meanwhile is left out.
        let mut known: BTreeMap<OpenPlace, OpenTurn> = read
            .into_iter()
            .flatten()
            .map(|turn| {
                let (received_ms, conversation) = (turn.received_ms, turn.conversation_id.clone());
                (OpenPlace { received_ms, conversation, turn: turn.turn }, turn)
            })
            .collect();
        let turns = places.iter().filter_map(|place| known.remove(place)).filter(|turn| {
            filter.status.is_none_or(|status| status == turn.status)
                && filter.tool.as_ref().is_none_or(|tool| turn.tools.contains(tool))
                && (!filter.in_doubt || !turn.in_doubt.is_empty())
                && (!filter.awaiting_approval || !turn.awaiting_approval.is_empty())
        });
        Ok(OpenPage { turns: turns.collect(), next: next.map(OpenCursor), missing })
    }
}

#[cfg(test)]
mod tests {
    use super::{OpenCursor, OpenPlace, OpenPlaces, merge};
    use callboard_domain::id::ConversationId;

    fn place(received_ms: i64) -> OpenPlace {
        OpenPlace { received_ms, conversation: ConversationId::new("c-1.x").unwrap(), turn: 3 }
    }

    #[test]
    fn a_cursor_is_what_it_was() {
        let cursor = OpenCursor(place(-5));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1:2", "x:2:c", "1:2:", "1:2:a/b"] {
            assert!(text.parse::<OpenCursor>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_shown_behind_what_every_partition_has_looked_at() {
        let found = |places: &[i64], up_to: Option<i64>| OpenPlaces {
            places: places.iter().map(|ms| place(*ms)).collect(),
            up_to: up_to.map(place),
        };
        let ms = |(places, next): (Vec<OpenPlace>, Option<OpenPlace>)| {
            (places.iter().map(|p| p.received_ms).collect::<Vec<_>>(), next.map(|p| p.received_ms))
        };
        let whole = vec![found(&[1, 5], None), found(&[2, 9], None)];
        assert_eq!(ms(merge(whole.clone(), 9)), (vec![1, 2, 5, 9], None));
        assert_eq!(ms(merge(whole, 3)), (vec![1, 2, 5], Some(5)));
        let partly = vec![found(&[1, 5], None), found(&[2, 4], Some(4))];
        assert_eq!(ms(merge(partly, 9)), (vec![1, 2, 4], Some(4)));
        assert_eq!(ms(merge(vec![found(&[], Some(7)), found(&[8], None)], 9)), (vec![], Some(7)));
    }
}
