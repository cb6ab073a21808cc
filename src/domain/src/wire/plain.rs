//! The envelope as this crate writes it, split into its fields in one pass that does not look into the payload. A shortcut
//! and never a rule: what is written in any other way is read by `parse` (see `wire`), which decides alone what an envelope
//! is.
//!
//! The payload that comes out of it is only *said* to be one JSON value. Whoever reads it as its type, to its end and without
//! an error, has shown that it is, and with it that the whole is an envelope.

use std::borrow::Cow;

use super::Envelope;

/// The fields of a record that begins, goes on and ends as `write` has it; `None` for everything else.
pub(super) fn envelope(value: &[u8]) -> Option<Envelope<'_>> {
    let mut rest = Rest(std::str::from_utf8(value).ok()?);
    let id = rest.text("{\"id\":\"")?;
    let kind = rest.text(",\"type\":\"")?;
    let version = rest.count(",\"version\":")?;
    let conversation_id = rest.text(",\"conversation_id\":\"")?;
    let command_id = rest.text(",\"command_id\":\"");
    let at = rest.text(",\"at\":\"")?;
    let causation_id = rest.text(",\"causation_id\":\"")?;
    let payload = rest.0.strip_prefix(",\"payload\":")?.strip_suffix('}')?;
    payload.starts_with('{').then_some(Envelope {
        id,
        kind,
        version,
        conversation_id,
        command_id,
        at,
        causation_id,
        payload,
    })
}

/// What has not been read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// What stands between `before` and the next quotation mark, where nothing of it is escaped or has to be.
    fn text(&mut self, before: &str) -> Option<Cow<'a, str>> {
        let rest = self.0.strip_prefix(before)?;
        let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let (text, rest) = rest.split_at(end);
        self.0 = rest.strip_prefix('"')?;
        Some(Cow::Borrowed(text))
    }

    /// A number from 1, as JSON has it.
    fn count(&mut self, before: &str) -> Option<u32> {
        let rest = self.0.strip_prefix(before)?;
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = rest.split_at(end);
        self.0 = rest;
        if digits.starts_with('0') { None } else { digits.parse().ok() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::super::{Stamp, parse, write_event};
    use super::envelope;
    use crate::event::{Event, UserHistoryReset};
    use crate::id::{CommandId, ConversationId};

    fn written(id: &str, by: &str, with_command: bool) -> Vec<u8> {
        let conversation = ConversationId::new("c1").unwrap();
        let command = with_command.then(|| CommandId::new("q1").unwrap());
        let stamp = Stamp {
            id,
            conversation: &conversation,
            command: command.as_ref(),
            at: "now",
            causation_id: "q1",
        };
        write_event(stamp, &Event::UserHistoryReset(UserHistoryReset { by: Some(by.into()) })).unwrap()
    }

    #[test]
    fn what_is_written_here_is_split_without_looking_at_the_payload() {
        for with_command in [true, false] {
            let record = written("e1", "\"}{\\ ü", with_command);
            assert_eq!(envelope(&record), Some(parse(&record).unwrap()));
        }
        assert_eq!(envelope(&written("e\"1", "", true)), None, "escapes are left to the rule");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Whatever is done to a record: what the shortcut takes, and the payload's reader with it, the rule takes too, and
        /// as the same.
        #[test]
        fn it_never_takes_what_the_rule_does_not(
            by in ".{0,12}",
            with_command: bool,
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
        ) {
            let mut record = written("e1", &by, with_command);
            for (at, byte, how) in edits {
                let at = at.index(record.len());
                let byte = if byte < 128 { b"{}[]\",:\\0123456789 \n"[usize::from(byte) % 20] } else { byte };
                match how {
                    0 => record[at] = byte,
                    1 => record.insert(at, byte),
                    _ => drop(record.remove(at)),
                }
            }
            if let Some(split) = envelope(&record)
                && serde_json::from_str::<&RawValue>(split.payload).is_ok()
            {
                prop_assert_eq!(Ok(split), parse(&record));
            }
        }
    }
}
