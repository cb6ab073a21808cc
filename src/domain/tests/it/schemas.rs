//! The JSON Schemas in `schemas/` are those of the Rust types, and the golden records match their shape.
//! `UPDATE_SCHEMAS=1 cargo test -p callboard-domain --features schema` writes them anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use callboard_domain::event::Event;
use callboard_domain::schema;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"))
}

#[test]
fn schemas_are_those_of_the_types() {
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    let mut names = BTreeSet::new();
    for described in schema::all() {
        let name = format!("{}.{}.v1.json", described.kind, described.name);
        let path = folder().join(&name);
        if update {
            let text = serde_json::to_string_pretty(&described.schema).unwrap();
            std::fs::write(&path, format!("{text}\n")).unwrap();
        }
        let stored = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{name}: {e}; UPDATE_SCHEMAS=1 writes it"));
        // As values: the order of fields hangs on serde_json's features.
        let stored: Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(&stored, described.schema.as_value(), "{name}: UPDATE_SCHEMAS=1 writes it anew");
        names.insert(name);
    }
    let files =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), names, "a schema without a type, or the reverse");
}

#[test]
fn every_event_has_a_schema() {
    let described: BTreeSet<_> = schema::all().iter().filter(|d| d.kind == "event").map(|d| d.name).collect();
    assert_eq!(described, Event::NAMES.iter().copied().collect());
}

/// Not a validator: that a stored record has no field that its schema does not name, and all required ones,
/// is what drifts in practice.
#[test]
fn golden_records_have_the_fields_of_their_schemas() {
    let golden = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1"));
    for described in schema::all() {
        let path = golden.join(described.kind).join(format!("{}.json", described.name));
        let record: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let schema = described.schema.as_value();
        let fields = |value: &Value| {
            value.as_object().map(|o| o.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default()
        };
        let (found, known) = (fields(&record["payload"]), fields(&schema["properties"]));
        assert!(found.is_subset(&known), "{}: {found:?} in {known:?}", path.display());
        let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        for name in required {
            assert!(found.contains(name), "{}: {name} is required", path.display());
        }
    }
}
