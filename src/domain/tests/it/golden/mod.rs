//! Old data is a test: `tests/golden/v1` holds a whole record of every type, as earlier builds wrote it.
//!
//! Each file must read as the value in `values` and be written again byte for byte. A file is never
//! rewritten: a type that changes its form gets a new version with files of its own. `CREATE_GOLDEN=1` writes
//! those that do not exist yet, and nothing else.

mod approvals;
mod chunks;
mod effects;
mod values;

use std::collections::BTreeSet;
use std::path::PathBuf;

use callboard_domain::event::Event;
use callboard_domain::wire::{self, Readable, Stamp};
use callboard_domain::{CommandId, ConversationId};

use values::Body;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1"))
}

/// Writes `body` in an envelope that is the same for all.
fn written(body: &Body) -> Vec<u8> {
    let conversation = ConversationId::new("conversation-1").unwrap();
    let command = CommandId::new("command-1").unwrap();
    let stamp = Stamp {
        id: "018f3a5e-7c00-7000-8000-000000000001",
        conversation: &conversation,
        command: Some(&command),
        at: "2026-11-23T01:42:39.000Z",
        causation_id: "018f3a5e-7c00-7000-8000-000000000000",
    };
    let mut bytes = match body {
        Body::Command(command) => wire::write_command(stamp, command),
        Body::Event(event) => wire::write_event(stamp, event),
        Body::Request(request) => wire::write_request(stamp, request),
        Body::Effect(entry) => wire::write_ledger(stamp, entry),
        Body::Chunk(chunk) => wire::write_chunk(stamp, chunk),
    }
    .unwrap();
    bytes.push(b'\n');
    bytes
}

fn read(like: &Body, bytes: &[u8]) -> Body {
    let key = b"conversation-1";
    match like {
        Body::Command(_) => Body::Command(wire::read_command(key, bytes).unwrap().1.command),
        Body::Event(_) => match wire::read_event(key, bytes).unwrap().1 {
            Readable::Event(event) => Body::Event(event),
            Readable::Unknown { kind, version } => panic!("{kind} version {version} is not known any more"),
        },
        Body::Request(_) => Body::Request(wire::read_request(bytes).unwrap().1),
        Body::Effect(_) => Body::Effect(wire::read_ledger(bytes).unwrap().1),
        Body::Chunk(_) => Body::Chunk(wire::read_chunk(bytes).unwrap().1),
    }
}

#[test]
fn every_stored_record_still_reads_and_is_written_alike() {
    let create = std::env::var_os("CREATE_GOLDEN").is_some();
    for (name, body) in values::all() {
        let path = folder().join(body.kind()).join(format!("{name}.json"));
        if create && !path.exists() {
            std::fs::write(&path, written(&body)).unwrap();
        }
        let stored = std::fs::read(&path)
            .unwrap_or_else(|e| panic!("{}: {e}; CREATE_GOLDEN=1 writes it", path.display()));
        assert_eq!(read(&body, &stored), body, "{}", path.display());
        let again = String::from_utf8(written(&body)).unwrap();
        assert_eq!(again, String::from_utf8(stored).unwrap(), "{}", path.display());
    }
}

#[test]
fn every_type_has_a_record_and_every_record_a_value() {
    let values: BTreeSet<String> =
        values::all().iter().map(|(name, body)| format!("{}/{name}.json", body.kind())).collect();
    let mut stored = BTreeSet::new();
    for kind in ["command", "event", "request", "effect", "chunk"] {
        for entry in std::fs::read_dir(folder().join(kind)).unwrap() {
            stored.insert(format!("{kind}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    assert_eq!(stored, values);
    let commands = [
        "UserQueryReceived",
        "UserHistoryReset",
        "PlanCancelRequested",
        "InvocationSettleRequested",
        "ApprovalGiven",
        "RetryNowRequested",
    ]
    .map(|name| ("command", name));
    let requests = ["ToolInvocationRequested", "ToolInvocationCancelled", "SynthesizeFinalAnswerRequested"]
        .map(|name| ("request", name));
    let effects = ["EffectReserved", "EffectCommitted"].map(|name| ("effect", name));
    let events = Event::NAMES.iter().map(|name| ("event", *name));
    let chunks = [("chunk", "AnswerChunk")];
    for (kind, name) in events.chain(commands).chain(requests).chain(effects).chain(chunks) {
        let path = format!("{kind}/{name}.json");
        assert!(stored.contains(&path), "{path} is missing");
        let text = std::fs::read_to_string(folder().join(&path)).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&record["type"], &record["version"]), (&name.into(), &1.into()), "{path}");
    }
}
