//! The index is a cache: kept over a restart, made again when it is lost, damaged or of something else.

use std::path::PathBuf;

use callboard_ports::tool::Tool;

use crate::world::{World, ask, files};

fn files_of(folder: &PathBuf) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_restart_reads_nothing_again() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    let path = world.documents().join("a.md");
    // Long ago: a young file is read again, because it may have changed within a tick of the clock.
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    assert_eq!(files(&ask(&world.tool(), "aardvark").await), ["a.md"]);
    let meta = world.data().join("index/meta.json");
    let before = std::fs::read(&meta).unwrap();
    // Same name, size and time: only reading it would show the difference.
    std::fs::write(&path, "The platypus swims!!").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    assert_eq!(files(&ask(&world.tool(), "aardvark").await), ["a.md"]);
    assert_eq!(std::fs::read(&meta).unwrap(), before);
}

#[tokio::test]
async fn a_lost_damaged_or_foreign_index_is_made_again() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    let index = world.data().join("index");
    ask(&world.tool(), "aardvark").await;

    std::fs::remove_dir_all(&index).unwrap();
    assert_eq!(files(&ask(&world.tool(), "aardvark").await), ["a.md"]);

    // Every file of it in turn, one byte in its middle.
    let mut damaged = 0;
    for n in 0..files_of(&index).len() {
        // The one before was made again, under other names.
        let Some(file) = files_of(&index).into_iter().nth(n) else { break };
        let mut bytes = std::fs::read(&file).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(files(&ask(&world.tool(), "aardvark").await), ["a.md"], "{}", file.display());
        damaged += 1;
    }
    assert!(damaged >= 4);

    std::fs::write(index.join("meta.json"), "{}").unwrap();
    assert_eq!(files(&ask(&world.tool(), "aardvark").await), ["a.md"]);

    // The same data folder for other documents.
    let other = World::new();
    other.write("b.md", "The badger digs.");
    std::fs::rename(world.data(), other.data()).unwrap();
    let tool = other.tool();
    assert_eq!(files(&ask(&tool, "aardvark").await), [""; 0]);
    assert_eq!(files(&ask(&tool, "badger").await), ["b.md"]);
}

#[tokio::test]
async fn where_nothing_can_be_kept_it_is_kept_in_memory() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    std::fs::write(world.data(), "a file where a folder should be").unwrap();
    let tool = world.tool();
    assert_eq!(files(&ask(&tool, "aardvark").await), ["a.md"]);
    world.write("b.md", "The badger digs.");
    assert_eq!(files(&ask(&tool, "badger").await), ["b.md"]);
}

#[tokio::test]
async fn samples_that_somebody_changed_are_the_samples_again_at_the_next_start() {
    let world = World::new();
    let warranty = world.data().join("samples/warranty.md");
    assert_eq!(
        ask(&world.samples(), "How long is the warranty?").await["passages"][0]["file"],
        "warranty.md"
    );
    std::fs::write(&warranty, "The warranty lasts a day.").unwrap();
    let found = ask(&world.samples(), "How long is the warranty?").await;
    assert!(found["passages"][0]["excerpt"]["text"].as_str().unwrap().contains("ten years"), "{found}");
    assert_eq!(found["searched"]["samples"], true);
}

#[test]
fn the_samples_of_the_binary_are_those_of_the_repository() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut names = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for path in files_of(&next) {
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(&folder).unwrap().to_owned());
            }
        }
    }
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(ask(&world.samples(), "warranty"));
    assert_eq!(found["searched"]["documents"], names.len());
    for name in names {
        let there = std::fs::read_to_string(world.data().join("samples").join(&name)).unwrap();
        assert_eq!(there, std::fs::read_to_string(folder.join(&name)).unwrap(), "{}", name.display());
    }
    assert!(world.samples().spec().description.contains("samples about a fictitious product"));
}
