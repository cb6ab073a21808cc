//! The folder changes while the tool is in use: the next answer is from what it holds then.

use std::time::Duration;

use crate::world::{World, ask, files};

#[tokio::test]
async fn new_changed_renamed_and_removed_files_are_followed() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    let tool = world.tool();
    assert_eq!(files(&ask(&tool, "aardvark").await), ["a.md"]);

    world.write("sub/b.txt", "The badger digs.");
    assert_eq!(files(&ask(&tool, "badger").await), ["sub/b.txt"]);

    // The same size, within the same tick of the file system's clock.
    world.write("sub/b.txt", "The beaver digs.");
    assert_eq!(files(&ask(&tool, "beaver").await), ["sub/b.txt"]);
    assert_eq!(files(&ask(&tool, "badger").await), [""; 0]);

    std::fs::rename(world.documents().join("a.md"), world.documents().join("c.md")).unwrap();
    assert_eq!(files(&ask(&tool, "aardvark").await), ["c.md"]);

    world.remove("c.md");
    let found = ask(&tool, "aardvark").await;
    assert_eq!((files(&found).len(), &found["searched"]["documents"]), (0, &1.into()));
}

#[tokio::test]
async fn what_becomes_unreadable_as_text_is_no_document_any_more() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    world.write("b.md", "The badger digs.");
    let tool = world.tool();
    assert_eq!(ask(&tool, "aardvark").await["searched"]["documents"], 2);
    world.write("a.md", b"\0\0 aardvark");
    let found = ask(&tool, "aardvark").await;
    assert_eq!((files(&found).len(), &found["searched"]["documents"]), (0, &1.into()));
    world.write("a.md", "The aardvark wakes.");
    assert_eq!(files(&ask(&tool, "aardvark").await), ["a.md"]);
}

#[tokio::test]
async fn a_folder_that_goes_away_is_answered_from_memory_and_said() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    let tool = world.tool();
    ask(&tool, "aardvark").await;
    let away = world.documents().with_extension("away");
    std::fs::rename(world.documents(), &away).unwrap();
    let found = ask(&tool, "aardvark").await;
    assert_eq!(files(&found), ["a.md"]);
    assert!(found["note"].as_str().unwrap().contains("cannot be read"), "{found}");
    std::fs::rename(&away, world.documents()).unwrap();
    assert!(ask(&tool, "aardvark").await["note"].is_null());
}

#[tokio::test]
async fn a_folder_that_was_just_looked_at_is_not_looked_at_again() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    let options = callboard_knowledge::Options {
        path: Some(world.documents()),
        data: world.data(),
        check_every: Duration::from_secs(3_600),
        embedder: None,
    };
    let tool = callboard_knowledge::Knowledge::new(callboard_knowledge::spec(None, false), options).unwrap();
    ask(&tool, "aardvark").await;
    world.write("b.md", "The badger digs.");
    assert_eq!(files(&ask(&tool, "badger").await), [""; 0]);
}

#[tokio::test]
async fn many_ask_at_once_and_all_are_answered() {
    let world = World::new();
    for n in 0..200 {
        world.write(&format!("{n}.md"), format!("# Animal {n}\n\nThe animal with the number n{n} sleeps."));
    }
    let tool = world.tool();
    let asked = (0..50).map(|n| {
        let tool = &tool;
        async move { files(&ask(tool, &format!("n{n}")).await) == [format!("{n}.md")] }
    });
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|right| *right));
}
