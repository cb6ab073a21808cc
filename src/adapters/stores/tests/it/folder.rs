//! The data folder: one holder, one format, one identity.

use callboard_stores::{DataDir, DataDirError};

#[test]
fn a_folder_has_one_holder_and_says_who() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("deep/data");
    let mut holder = DataDir::acquire(&path, 1).unwrap();
    let node = holder.node_id().to_owned();
    assert_eq!(DataDir::address_of_holder(&path), None, "it does not listen yet");
    let refused = DataDir::acquire(&path, 1).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    holder.publish_address("http://127.0.0.1:8080").unwrap();
    assert_eq!(DataDir::address_of_holder(&path).as_deref(), Some("http://127.0.0.1:8080"));
    let refused = DataDir::acquire(&path, 1).unwrap_err();
    assert!(matches!(refused, DataDirError::Locked { .. }));
    assert!(refused.to_string().contains("http://127.0.0.1:8080"), "{refused}");
    assert!(!refused.to_string().contains('\n'), "one line");
    drop(holder);
    assert_eq!(DataDir::address_of_holder(&path), None);
    let again = DataDir::acquire(&path, 1).unwrap();
    assert_eq!(again.node_id(), node, "the node keeps its name");
    assert_eq!(again.path(), path);
}

#[test]
fn what_is_no_usable_folder_is_refused_in_one_line() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(DataDir::acquire(&file, 1), Err(DataDirError::NotADirectory { .. })));
    let below = DataDir::acquire(&file.join("below"), 1).unwrap_err();
    assert!(matches!(below, DataDirError::Unwritable { .. }), "{below}");
    let newer = root.path().join("newer");
    drop(DataDir::acquire(&newer, 7).unwrap());
    let refused = DataDir::acquire(&newer, 6).unwrap_err();
    assert!(matches!(refused, DataDirError::NewerFormat { known: 6, .. }), "{refused}");
    assert!(refused.to_string().contains("format 7"), "{refused}");
    DataDir::acquire(&newer, 8).expect("an older format opens");
}
