//! Answers piece by piece: in one process without a record, between processes through `answer-chunks`, and what a crash leaves
//! of them.

use callboard_actors::{Node, Roles, Watch};
use callboard_ports::fakes::Gate;
use callboard_ports::record::Topic;

use crate::world::{Cast, World, command, conversation, story, until};

const TEXT: &str = "one two three vier fünf sechs";
const HALF: &str = "one two three ";

fn world(middle: &Gate) -> World {
    World::with(Cast { says: Some((TEXT, middle.clone())), ..Cast::default() })
}

async fn watch(node: &Node) -> Watch {
    node.watch_answer(&conversation("c1"), &command("k1")).await.unwrap()
}

/// Waits until as much of the answer is said as `text`, and gives the epoch's name.
async fn said(watch: &Watch, text: &str) -> String {
    until("as much is said", || watch.answer.since(None).is_some_and(|said| said.text == text)).await;
    watch.answer.since(None).unwrap().epoch.to_string()
}

#[test]
fn within_one_process_pieces_are_no_records() {
    story(|| async {
        let middle = Gate::closed();
        let world = world(&middle);
        let node = world.start();
        let early = watch(&node).await;
        world.say("c1", "k1", "one").await;
        let epoch = said(&early, HALF).await;
        let late = watch(&node).await;
        assert_eq!(said(&late, HALF).await, epoch, "whoever comes late has what was said");
        middle.open();
        let turn = world.ended(&node, "c1", "k1").await;
        assert_eq!(turn.answer.as_deref(), Some(TEXT));
        let rest = early.answer.since(Some((&epoch, HALF.len()))).unwrap();
        assert_eq!((rest.at_byte, &*rest.text), (HALF.len(), &TEXT[HALF.len()..]));
        assert!(early.answer.agrees(&epoch, TEXT.len(), TEXT));
        assert!(world.log.records(Topic::AnswerChunks).is_empty());
    });
}

fn without_synthesis() -> Roles {
    Roles { synthesis: false, ..World::roles() }
}

fn only_synthesis() -> Roles {
    Roles { synthesis: true, ..Roles::default() }
}

#[test]
fn between_processes_pieces_go_through_their_topic() {
    story(|| async {
        let middle = Gate::closed();
        let world = world(&middle);
        let node = world.start_as(without_synthesis());
        let _writer = world.start_named("writer", only_synthesis());
        let early = watch(&node).await;
        world.say("c1", "k1", "one").await;
        let epoch = said(&early, HALF).await;
        drop(early);
        let late = watch(&node).await;
        assert_eq!(said(&late, HALF).await, epoch, "they are read again for whoever comes late");
        middle.open();
        world.ended(&node, "c1", "k1").await;
        said(&late, TEXT).await;
        let chunks = world.log.records(Topic::AnswerChunks);
        assert!((2..=3).contains(&chunks.len()), "pieces are gathered: {chunks:?}");
        assert!(chunks.iter().all(|chunk| chunk.key == "c1"));
        let events = world.log.records(Topic::ConversationEvents);
        assert!(events.iter().all(|event| !event.value.windows(11).any(|part| part == b"AnswerChunk")));
        world.audit("c1");
    });
}

#[test]
fn a_takeover_says_it_again_in_a_higher_epoch() {
    story(|| async {
        let middle = Gate::closed();
        let world = world(&middle);
        let node = world.start_as(without_synthesis());
        let _first = world.start_named("first", only_synthesis());
        let watch = watch(&node).await;
        world.say("c1", "k1", "one").await;
        let epoch = said(&watch, HALF).await;
        world.crash_nth(1).await;
        let _second = world.start_named("second", only_synthesis());
        let again = || watch.answer.since(Some((&epoch, HALF.len())));
        until("somebody else begins anew", || again().is_some()).await;
        let said_again = again().unwrap();
        assert_eq!((said_again.at_byte, &*said_again.text), (0, HALF));
        assert!(*said_again.epoch != *epoch);
        middle.open();
        let turn = world.ended(&node, "c1", "k1").await;
        assert_eq!(turn.answer.as_deref(), Some(TEXT));
        said(&watch, TEXT).await;
    });
}

#[test]
fn nobody_pays_for_an_answer_that_comes_whole() {
    story(|| async {
        let world = World::new();
        let node = world.start_as(without_synthesis());
        let _writer = world.start_named("writer", only_synthesis());
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        assert!(world.log.records(Topic::AnswerChunks).is_empty());
    });
}
