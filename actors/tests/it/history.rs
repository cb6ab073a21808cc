//! `history.json`: current, made again from the log when it is lost or foreign, and bounded.

use std::path::{Path, PathBuf};

use callboard_actors::{KillHow, Limits, Roles};
use serde_json::Value;

use crate::world::{Cast, World, pass, story, until};

fn with_history(file: &Path) -> Roles {
    Roles { history: Some(file.to_owned()), ..World::roles() }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.json");
    (folder, file)
}

fn read(file: &Path) -> Value {
    std::fs::read(file).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Status of the turns that the file holds of a conversation.
fn turns(file: &Path, of: &str) -> Vec<String> {
    let turns = read(file)["conversations"][of]["turns"].as_array().cloned().unwrap_or_default();
    turns.iter().map(|turn| turn["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_file_is_current() {
    story(|| async {
        let (_folder, file) = folder();
        let world = World::new();
        let node = world.start_as(with_history(&file));
        world.say("c1", "k1", "one").await;
        world.say("c1", "k2", "slow two").await;
        until("both turns are in it", || turns(&file, "c1") == ["answered", "pending"]).await;
        world.slow_gate.open();
        until("both are answered", || turns(&file, "c1") == ["answered", "answered"]).await;
        let turn = read(&file)["conversations"]["c1"]["turns"][1].clone();
        assert_eq!((turn["message"].as_str(), turn["answer"].as_str()), (Some("slow two"), Some("done")));
        // The projection dies and goes on where the file ends.
        for how in [KillHow::Panic, KillHow::Stop, KillHow::Abort] {
            node.kill("/history", how).await.unwrap();
            let id = format!("{how:?}");
            world.say("c2", &id, "three").await;
            world.answered(&node, "c2", &id).await;
            pass(2).await;
        }
        assert_eq!(turns(&file, "c2"), ["answered"; 3]);
        assert_eq!(turns(&file, "c1"), ["answered"; 2]);
    });
}

#[test]
fn a_projection_alone_in_its_process_writes_the_same() {
    story(|| async {
        let (_folder, file) = folder();
        let world = World::new();
        let node = world.start();
        let alone =
            || world.start_named("historian", Roles { history: Some(file.clone()), ..Roles::default() });
        let first = alone();
        for i in 0..20 {
            world.say(&format!("c{i}"), "k1", "one").await;
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        let complete = |n: usize| (0..20).all(|i| turns(&file, &format!("c{i}")) == vec!["answered"; n]);
        until("all are in it", || complete(1)).await;
        drop(first);
        for i in 0..20 {
            world.say(&format!("c{i}"), "k2", "two").await;
            world.answered(&node, &format!("c{i}"), "k2").await;
        }
        pass(2).await;
        let _second = alone();
        until("it has caught up", || complete(2)).await;
    });
}

#[test]
fn a_lost_damaged_or_foreign_file_is_made_again() {
    story(|| async {
        let (_folder, file) = folder();
        let world = World::new();
        let node = world.start_as(with_history(&file));
        for i in 0..10 {
            world.say(&format!("c{i}"), "k1", "one").await;
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        pass(2).await;
        let right = read(&file);
        assert_eq!(right["conversations"].as_object().unwrap().len(), 10);
        let foreign = {
            let mut foreign = right.clone();
            for (_, identity) in foreign["log"].as_object_mut().unwrap() {
                *identity = "another".into();
            }
            foreign["conversations"]["stranger"] = foreign["conversations"]["c1"].clone();
            foreign["conversations"]["c1"]["turns"] = Value::Array(Vec::new());
            serde_json::to_vec(&foreign).unwrap()
        };
        let half = serde_json::to_vec(&right).unwrap()[..200].to_vec();
        let of_tomorrow = br#"{"format": 99}"#.to_vec();
        for bad in [None, Some(foreign), Some(half), Some(of_tomorrow)] {
            world.crash().await;
            match &bad {
                None => std::fs::remove_file(&file).unwrap(),
                Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            }
            let _node = world.start_as(with_history(&file));
            pass(2).await;
            assert_eq!(read(&file)["conversations"], right["conversations"]);
            assert_eq!(read(&file)["positions"], right["positions"]);
        }
    });
}

#[test]
fn the_longest_unchanged_leave_and_come_back_whole() {
    story(|| async {
        let (_folder, file) = folder();
        let limits = Limits { history_conversations: 5, history_turns: 2, ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let node = world.start_as(with_history(&file));
        for i in 0..12 {
            world.say(&format!("c{i}"), "k1", "one").await;
            world.answered(&node, &format!("c{i}"), "k1").await;
        }
        pass(2).await;
        let kept = |file: &Path| -> Vec<String> {
            read(file)["conversations"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(kept(&file), ["c10", "c11", "c7", "c8", "c9"]);
        world.say("c0", "k2", "two").await;
        world.answered(&node, "c0", "k2").await;
        until("it is back with both turns", || turns(&file, "c0") == ["answered", "answered"]).await;
        assert_eq!(kept(&file), ["c0", "c10", "c11", "c8", "c9"]);
        world.say("c0", "k3", "three").await;
        world.answered(&node, "c0", "k3").await;
        pass(2).await;
        let entry = read(&file)["conversations"]["c0"].clone();
        assert_eq!((entry["turns_total"].as_u64(), turns(&file, "c0").len()), (Some(3), 2));
        assert_eq!(entry["turns"][1]["turn"], 3);
    });
}

#[test]
fn many_that_come_back_at_once_are_whole_whoever_knows_where_they_are() {
    // With a host beside it, which knows where every conversation is, and alone.
    for alone in [false, true] {
        story(move || async move {
            let (_folder, file) = folder();
            let limits = Limits { history_conversations: 40, ..Cast::default().limits };
            let world = World::with(Cast { limits, ..Cast::default() });
            let node = world.start_named("host", World::roles());
            for turn in 0..2 {
                for i in 0..60 {
                    let (of, id) = (format!("c{i}"), format!("k{turn}"));
                    world.say(&of, &id, "one").await;
                    world.answered(&node, &of, &id).await;
                }
            }
            if alone {
                world.crash().await;
            }
            let roles = if alone { Roles::default() } else { World::roles() };
            let historian = Roles { history: Some(file.clone()), ..roles };
            let _historian = world.start_named("historian", historian);
            let is_written = || {
                file.exists() && read(&file)["conversations"].as_object().is_some_and(|all| all.len() == 40)
            };
            until("the book is full", is_written).await;
            let kept = read(&file)["conversations"].as_object().unwrap().clone();
            for (of, entry) in &kept {
                assert_eq!(entry["turns_total"].as_u64(), Some(2), "{of}, alone: {alone}");
                assert_eq!(turns(&file, of), ["answered", "answered"]);
            }
        });
    }
}
