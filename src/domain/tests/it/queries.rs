//! What a question must be, the same at the gateway and when a command is read from the log.

use callboard_domain::command::{Asked, Command, UserQuery};
use callboard_domain::decide::{Decision, decide};
use callboard_domain::limits::{MAX_MESSAGE_BYTES, MAX_METADATA_BYTES, MAX_RECORD_BYTES};
use callboard_domain::wire::{Stamp, Unreadable, read_command, write_command, write_event};
use callboard_domain::{CommandId, ConversationId, RawJson, State};
use serde_json::json;

use crate::world::query;
use crate::world::tools::Tools;

/// The field that `query` is refused for, directly and from the wire.
fn refused(query: &UserQuery) -> Option<&'static str> {
    let problem = query.problem();
    let record = json!({
        "id": "q1", "type": "UserQueryReceived", "version": 1, "conversation_id": "c1",
        "at": "2026-01-01T00:00:00.000Z", "causation_id": "q1", "payload": query,
    });
    let read = read_command(b"c1", record.to_string().as_bytes());
    match (&problem, read) {
        (None, Ok(_)) => {}
        (Some(problem), Err(Unreadable::BadPayload { problem: words, .. })) => {
            assert_eq!(words, problem.to_string())
        }
        (problem, read) => panic!("{problem:?} but from the wire {read:?}"),
    }
    problem.map(|problem| problem.field)
}

fn with(change: impl FnOnce(&mut UserQuery)) -> Option<&'static str> {
    let mut query = query("hello");
    change(&mut query);
    refused(&query)
}

#[test]
fn a_message_has_something_in_it_and_a_bound() {
    assert_eq!(with(|_| ()), None);
    for empty in ["", " ", "\n\t \u{a0}\u{2003}"] {
        assert_eq!(with(|q| q.message = empty.into()), Some("message"), "{empty:?}");
    }
    assert_eq!(with(|q| q.message = "x".repeat(MAX_MESSAGE_BYTES).into()), None);
    assert_eq!(with(|q| q.message = "x".repeat(MAX_MESSAGE_BYTES + 1).into()), Some("message"));
    assert_eq!(
        with(|q| q.message = "é".repeat(MAX_MESSAGE_BYTES / 2 + 1).into()),
        Some("message"),
        "bytes, not characters"
    );
}

#[test]
fn whatever_is_let_in_fits_a_record_as_command_and_as_event() {
    let control = |n: usize| "\u{1}".repeat(n);
    assert_eq!(with(|q| q.message = control(131_100).into()), Some("message"), "six bytes each as JSON");
    for fill in ["\u{1}", "\"", "\n", "\u{8}", "x", "é"] {
        let mut query = query("hello");
        query.agent = "x".repeat(64).into();
        query.principal = Some("\u{1}".repeat(256).into());
        query.metadata =
            Some(RawJson::parse(&format!(r#"{{"k":"{}"}}"#, "x".repeat(MAX_METADATA_BYTES - 8))).unwrap());
        let (mut fits, mut too_many) = (1, MAX_MESSAGE_BYTES + 1);
        while too_many - fits > 1 {
            let middle = fits.midpoint(too_many);
            query.message = format!("?{}", fill.repeat(middle)).into();
            if query.problem().is_none() { fits = middle } else { too_many = middle }
        }
        query.message = format!("?{}", fill.repeat(fits)).into();
        assert_eq!(refused(&query), None, "{fill:?}");
        let asked = Asked {
            id: CommandId::new(&"x".repeat(128)).unwrap(),
            command: Command::UserQueryReceived(query),
        };
        let conversation = ConversationId::new(&"x".repeat(128)).unwrap();
        let stamp = Stamp {
            id: &"x".repeat(128),
            conversation: &conversation,
            command: Some(&asked.id),
            at: "2026-01-01T00:00:00.000Z",
            causation_id: &"x".repeat(128),
        };
        let Decision::Append { event, .. } =
            decide(&State::new(conversation.clone()), &asked, &Tools::default(), 0)
        else {
            panic!("a new question is accepted")
        };
        assert!(write_event(stamp, &event).unwrap().len() <= MAX_RECORD_BYTES, "{fill:?} {fits} times");
        assert!(
            write_command(stamp, &asked.command).unwrap().len() <= MAX_RECORD_BYTES,
            "{fill:?} {fits} times"
        );
    }
}

#[test]
fn an_agent_has_a_name() {
    for good in ["default", "A.b_c-9", &"x".repeat(64)] {
        assert_eq!(with(|q| q.agent = good.into()), None, "{good}");
    }
    for bad in ["", "two words", "ümlaut", "a/b", &"x".repeat(65)] {
        assert_eq!(with(|q| q.agent = bad.into()), Some("agent"), "{bad}");
    }
}

#[test]
fn principal_and_metadata_are_bounded() {
    assert_eq!(with(|q| q.principal = Some("x".repeat(256).into())), None);
    assert_eq!(with(|q| q.principal = Some("x".repeat(257).into())), Some("principal"));
    let object = |bytes: usize| RawJson::parse(&format!(r#"{{"k":"{}"}}"#, "x".repeat(bytes - 8))).unwrap();
    assert_eq!(with(|q| q.metadata = Some(object(MAX_METADATA_BYTES))), None);
    assert_eq!(with(|q| q.metadata = Some(object(MAX_METADATA_BYTES + 1))), Some("metadata"));
    for no_object in ["[]", "1", "\"{}\"", "true"] {
        let metadata = RawJson::parse(no_object).unwrap();
        assert_eq!(with(|q| q.metadata = Some(metadata)), Some("metadata"), "{no_object}");
    }
}

#[test]
fn the_words_name_the_limit() {
    let mut long = query("hello");
    long.message = "x".repeat(MAX_MESSAGE_BYTES + 1).into();
    assert_eq!(
        long.problem().unwrap().to_string(),
        "message: it has 262145 bytes; at most 262144 are allowed"
    );
}

#[test]
fn one_request_has_one_hash() {
    let mut other = query("hello");
    assert_eq!(other.body_hash(), query("hello").body_hash());
    other.agent = "x".into();
    assert_ne!(other.body_hash(), query("hello").body_hash());
    assert_ne!(query("hello ").body_hash(), query("hello").body_hash());
}
