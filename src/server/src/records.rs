//! Records as the outside sees them: the envelope as it was written, with offset, partition and log time in
//! front. Used by HTTP's event stream and by the commands that open the data folder.

use callboard_domain::conversation::Recorded;
use callboard_domain::id::ConversationId;
use callboard_domain::time::rfc3339;
use callboard_domain::wire;
use callboard_ports::Record;
use callboard_ports::log::Batch;

/// One record as one line of JSON.
#[must_use]
pub fn line(record: &Record) -> String {
    let head = format!(
        "{{\"offset\":{},\"partition\":{},\"timestamp\":\"{}\"",
        record.offset,
        record.partition,
        rfc3339(record.timestamp_ms)
    );
    match compact(&record.key, &record.value) {
        Ok(envelope) => format!("{head},{}", &envelope[1..]),
        Err(problem) => format!("{head},\"unreadable\":{}}}", serde_json::Value::from(problem)),
    }
}

/// The envelope on one line; as it was written where that is one line already.
fn compact(key: &[u8], value: &[u8]) -> Result<String, String> {
    let unreadable = |e: wire::Unreadable| format!("{}: {e}", e.code());
    wire::envelope(key, value).map_err(unreadable)?;
    let text = std::str::from_utf8(value).map_err(|e| e.to_string())?.trim();
    if text.starts_with("{\"") && !text.contains(['\n', '\r']) {
        return Ok(text.to_owned());
    }
    let parsed: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(parsed.to_string())
}

/// The bare type name of a record, for an event stream's `event:` line.
#[must_use]
pub fn kind(record: &Record) -> String {
    let named = wire::envelope(&record.key, &record.value).map(|envelope| envelope.kind.into_owned());
    let simple = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    named.ok().filter(simple).unwrap_or_else(|| "unreadable".to_owned())
}

/// The readable records of a conversation in a batch. The unreadable are skipped by every reader.
pub fn recorded<'a>(batch: &'a Batch, id: &'a ConversationId) -> impl Iterator<Item = Recorded> + 'a {
    let of_this = |record: &&Record| record.key == id.as_str().as_bytes();
    batch.records.iter().filter(of_this).filter_map(|record| {
        let (meta, body) = wire::read_event(&record.key, &record.value).ok()?;
        Some(Recorded {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            command: meta.command,
            body,
        })
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use callboard_ports::{Headers, Record, Topic};

    use super::{kind, line};

    fn record(value: &str) -> Record {
        Record {
            topic: Topic::ConversationEvents,
            partition: 3,
            offset: 7,
            timestamp_ms: 0,
            key: Bytes::from_static(b"c"),
            headers: Headers::default(),
            value: Bytes::copy_from_slice(value.as_bytes()),
        }
    }

    #[test]
    fn an_envelope_keeps_its_fields_and_a_foreign_layout_becomes_one_line() {
        let text = r#"{"id":"1","type":"PlanFailed","version":1,"conversation_id":"c","at":"x","causation_id":"y","payload":{}}"#;
        let parsed: serde_json::Value = serde_json::from_str(&line(&record(text))).unwrap();
        assert_eq!(parsed["offset"], 7);
        assert_eq!(parsed["type"], "PlanFailed");
        assert_eq!(kind(&record(text)), "PlanFailed");
        let spread = text.replace(',', ",\n  ").replace('{', "{ ");
        assert!(!line(&record(&spread)).contains('\n'));
    }

    #[test]
    fn garbage_says_why_it_is_unreadable() {
        let parsed: serde_json::Value = serde_json::from_str(&line(&record("garbage \"\n"))).unwrap();
        assert!(parsed["unreadable"].as_str().unwrap().starts_with("not_an_envelope"), "{parsed}");
        assert_eq!(kind(&record("garbage")), "unreadable");
    }
}
