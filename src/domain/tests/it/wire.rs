//! The wire: what is an envelope, what is known, what is readable, for ever by the same rule; and garbage.

use callboard_domain::conversation::{Applied, Blocked, Ignored};
use callboard_domain::due::due;
use callboard_domain::event::{Event, UserQueryReceived};
use callboard_domain::wire::{Readable, Stamp, read_command, read_event, read_request, write_event};
use callboard_domain::{Recorded, State, apply};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::script::{Mood, script};
use crate::world::{START_MS, World, bytes, conversation};

const KEY: &[u8] = b"c1";

fn whole() -> Value {
    json!({
        "id": "e1", "type": "UserHistoryReset", "version": 1, "conversation_id": "c1", "command_id": "q1",
        "at": "2026-01-01T00:00:00.000Z", "causation_id": "q1", "payload": { "by": null },
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut record = whole();
    record[field] = value;
    record
}

fn without(field: &str) -> Value {
    let mut record = whole();
    record.as_object_mut().unwrap().remove(field);
    record
}

/// What an event record is taken for.
fn event(bytes: &[u8]) -> String {
    match read_event(KEY, bytes) {
        Ok((_, Readable::Event(event))) => event.name().to_owned(),
        Ok((_, Readable::Unknown { kind, version })) => format!("unknown {kind} {version}"),
        Err(unreadable) => unreadable.code().to_owned(),
    }
}

fn command(bytes: &[u8]) -> String {
    match read_command(KEY, bytes) {
        Ok((_, asked)) => format!("{} {}", asked.command.name(), asked.id),
        Err(unreadable) => unreadable.code().to_owned(),
    }
}

#[test]
fn what_is_less_than_an_envelope_is_none_whatever_its_type_says() {
    let fields = ["id", "type", "version", "conversation_id", "at", "causation_id", "payload"];
    let mut broken: Vec<Value> = fields.iter().map(|field| without(field)).collect();
    broken.extend(fields.iter().map(|field| with(field, Value::Null)));
    broken.extend(fields.iter().map(|field| with(field, json!([1]))));
    broken.extend(fields.iter().filter(|f| **f != "payload").map(|field| with(field, json!({}))));
    broken.extend([with("version", json!("1")), with("version", json!(-1)), with("version", json!(1.5))]);
    broken.extend([
        with("version", json!(0)),
        with("version", json!(4_294_967_296_u64)),
        with("command_id", json!(7)),
    ]);
    broken.extend([with("payload", json!("text")), with("payload", json!(3)), with("id", json!(7))]);
    broken.extend([json!([]), json!(null), json!("UserHistoryReset"), json!({})]);
    // As an array of its fields in order, which a lax reader would take.
    broken.push(json!(["e1", "UserHistoryReset", 1, "c1", "q1", "now", "q1", { "by": null }]));
    for mut record in broken {
        assert_eq!(event(record.to_string().as_bytes()), "not_an_envelope", "{record}");
        if record.get("type").is_some_and(Value::is_string) {
            record["type"] = json!("OfTomorrow");
            assert_eq!(
                event(record.to_string().as_bytes()),
                "not_an_envelope",
                "also for a type of tomorrow: {record}"
            );
        }
    }
    for bytes in [&b""[..], b" ", b"{", b"\xff\xfe", b"{}{}", b"{\"id\":\"\xff\"}", &[0; 64]] {
        assert_eq!(event(bytes), "not_an_envelope", "{bytes:?}");
        assert_eq!(command(bytes), "not_an_envelope");
        assert_eq!(read_request(bytes).unwrap_err().code(), "not_an_envelope");
    }
    let twice = whole().to_string().replacen('{', "{\"id\":\"e0\",", 1);
    assert_eq!(event(twice.as_bytes()), "not_an_envelope", "a field given twice");
}

#[test]
fn whole_envelopes_are_sorted_by_key_type_version_and_payload() {
    for (record, expected) in [
        (whole(), "UserHistoryReset"),
        (without("command_id"), "UserHistoryReset"),
        (with("command_id", Value::Null), "UserHistoryReset"),
        (with("extra", json!({ "of": "tomorrow" })), "UserHistoryReset"),
        (with("payload", json!({})), "UserHistoryReset"),
        (with("payload", json!({ "by": null, "extra": 1 })), "UserHistoryReset"),
        (with("conversation_id", json!("c2")), "key_mismatch"),
        (with("command_id", json!("two words")), "bad_id"),
        (with("command_id", json!("")), "bad_id"),
        (with("command_id", json!("x".repeat(129))), "bad_id"),
        (with("payload", json!({ "by": 7 })), "bad_payload"),
        (with("type", json!("PlanFailed")), "bad_payload"),
        (with("type", json!("OfTomorrow")), "unknown OfTomorrow 1"),
        (with("type", json!("")), "unknown  1"),
        (with("version", json!(2)), "unknown UserHistoryReset 2"),
        (with("version", json!(4_294_967_295_u64)), "unknown UserHistoryReset 4294967295"),
        (with("type", json!("ToolInvocationRequested")), "unknown ToolInvocationRequested 1"),
    ] {
        assert_eq!(event(record.to_string().as_bytes()), expected, "{record}");
    }
    let pretty = serde_json::to_vec_pretty(&whole()).unwrap();
    assert_eq!(event(&pretty), "UserHistoryReset", "people write records by hand");
    let other_key = read_event(b"c2", whole().to_string().as_bytes()).unwrap_err();
    assert_eq!(other_key.to_string(), r#"the envelope's conversation_id "c1" is not the record's key "c2""#);
}

#[test]
fn commands_are_sorted_likewise_but_an_unknown_one_is_unreadable() {
    let ask = |payload: Value| {
        let mut record = with("type", json!("UserQueryReceived"));
        record["payload"] = payload;
        record
    };
    for (record, expected) in [
        (whole(), "UserHistoryReset q1"),
        (without("command_id"), "UserHistoryReset e1"),
        (ask(json!({ "message": "hi" })), "UserQueryReceived q1"),
        (ask(json!({ "message": "hi", "metadata": null, "principal": null })), "UserQueryReceived q1"),
        (ask(json!({ "message": "hi", "mesage": "typo" })), "bad_payload"),
        (ask(json!({ "message": " " })), "bad_payload"),
        (ask(json!({})), "bad_payload"),
        (with("type", json!("PlanGenerated")), "unknown_type"),
        (with("type", json!("PlanEdited")), "unknown_type"),
        (with("version", json!(2)), "unknown_type"),
        (with("conversation_id", json!("c2")), "key_mismatch"),
    ] {
        assert_eq!(command(record.to_string().as_bytes()), expected, "{record}");
    }
    let mut bad_id = without("command_id");
    bad_id["id"] = json!("no id");
    assert_eq!(command(bad_id.to_string().as_bytes()), "bad_id", "the envelope's id stands in");
    let spaced = json!({ "conversation_id": "a b" });
    let mut record = whole();
    record["conversation_id"] = spaced["conversation_id"].clone();
    assert_eq!(read_event(b"a b", record.to_string().as_bytes()).unwrap_err().code(), "bad_id");
}

#[test]
fn requests_of_unknown_types_are_unreadable() {
    for (record, expected) in [
        (whole(), "unknown_type"),
        (with("type", json!("ToolInvocationRequested")), "bad_payload"),
        (with("version", json!(9)), "unknown_type"),
        (with("conversation_id", json!("a b")), "bad_id"),
    ] {
        assert_eq!(read_request(record.to_string().as_bytes()).unwrap_err().code(), expected, "{record}");
    }
}

#[test]
fn ids_refuse_what_is_no_string_by_name() {
    let record = with("type", json!("PlanCancelRequested"));
    for (turn, words) in
        [(json!(7), "a string that is a command_id"), (json!("a b"), "command_id contains ' '")]
    {
        let mut record = record.clone();
        record["payload"] = json!({ "turn_command_id": turn });
        let error = read_command(KEY, record.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_blocked_conversation_stays_blocked_where_it_is() {
    let world = World::ran(crate::world::script::Script::one(vec![]), &[0]);
    let mut state = State::new(conversation());
    apply(&mut state, &world.log[0]);
    let unknown = Readable::Unknown { kind: "OfTomorrow".into(), version: 3 };
    let wall = Recorded { offset: 1, timestamp_ms: START_MS, command: None, body: unknown };
    assert_eq!(apply(&mut state, &wall), Applied::Changed);
    assert_eq!(state.blocked, Some(Blocked { offset: 1, kind: "OfTomorrow".into(), version: 3 }));
    let held = bytes(&state);
    for (offset, record) in (0..).zip(world.log.iter().chain([&wall])) {
        let record = Recorded { offset, ..record.clone() };
        assert_eq!(apply(&mut state, &record), Applied::Ignored(Ignored::Blocked));
    }
    assert!(bytes(&state) == held);
    assert_eq!(state.next_offset, 1, "a build that knows the type goes on from there");
    assert_eq!(
        due(&state, START_MS + 86_400_000),
        callboard_domain::due::Due::default(),
        "nothing is done meanwhile"
    );
    let restored: State = postcard::from_bytes(&held).unwrap();
    assert_eq!(restored, state);
}

#[test]
fn a_fingerprint_is_written_as_sixteen_digits_and_no_number() {
    let Event::UserQueryReceived(mut accepted) =
        crate::world::received(&crate::world::tools::Tools::default())
    else {
        unreachable!("a question is accepted")
    };
    for (hash, written) in [(1, "0000000000000001"), (u64::MAX, "ffffffffffffffff")] {
        accepted.body_hash = hash;
        let payload = Event::UserQueryReceived(accepted.clone()).payload().unwrap();
        assert_eq!(payload.to_value()["body_hash"], json!(written));
        assert_eq!(serde_json::from_str::<UserQueryReceived>(payload.as_str()).unwrap(), accepted);
    }
}

/// Records that are nearly right: a real one with some bytes changed, cut or put in.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![any::<u8>(), prop::sample::select(br#"{}[]",:01\"#.to_vec())],
        0_u8..3,
    );
    (0_usize..3, prop::collection::vec(change, 1..6)).prop_map(|(which, changes)| {
        let files = ["event/PlanGenerated", "command/UserQueryReceived", "request/ToolInvocationRequested"];
        let path = format!("{}/tests/golden/v1/{}.json", env!("CARGO_MANIFEST_DIR"), files[which]);
        let mut bytes = std::fs::read(path).unwrap();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn garbage_is_refused_without_harm(
        key in prop::collection::vec(any::<u8>(), 0..40),
        value in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), nearly()],
    ) {
        for key in [&key[..], b"conversation-1"] {
            let event = read_event(key, &value).map(|_| ());
            let command = read_command(key, &value).map(|_| ());
            for said in [event, command, read_request(&value).map(|_| ())] {
                if let Err(unreadable) = said {
                    prop_assert!(unreadable.to_string().len() < 4_096, "words, not the bytes again");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A record that went over the wire folds as the one that did not.
    #[test]
    fn what_is_written_is_what_is_read(script in script(Mood::Wild)) {
        for record in World::ran(script, &[0]).log {
            let Readable::Event(event) = &record.body else { unreachable!("worlds write events") };
            let (conversation, command) = (conversation(), record.command.as_ref());
            let (id, at, causation_id) = ("e1", "now", "x");
            let stamp = Stamp { id, conversation: &conversation, command, at, causation_id };
            let written = write_event(stamp, event).unwrap();
            let (meta, read) = read_event(KEY, &written).unwrap();
            prop_assert_eq!(&read, &record.body);
            prop_assert_eq!(meta.command, record.command);
        }
    }
}
