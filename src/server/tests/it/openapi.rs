//! The HTTP contract is a golden file: who changes it does so on purpose (`UPDATE_OPENAPI=1` writes it) and says so in the
//! changelog.

use std::path::Path;

#[test]
fn the_openapi_document_is_the_golden_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let mut written = callboard::http::openapi_document();
    written.push('\n');
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, &written).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    let difference = golden.lines().zip(written.lines()).find(|(golden, written)| golden != written);
    assert!(
        golden == written,
        "src/server/openapi.json differs, first in {difference:?}; UPDATE_OPENAPI=1 writes it"
    );
}
