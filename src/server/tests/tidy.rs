//! The rules that a compiler does not check, as tests: sizes, walls, words, and documents that tell the truth.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

const MAX_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Files below the repository's root with one of these extensions, build output apart.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", "callboard-data", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn a_file_is_one_idea_and_says_which() {
    let mut broken = Vec::new();
    for path in files(&["rs"]) {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > MAX_LINES {
            broken.push(format!("{} has {lines} lines; at most {MAX_LINES}", shown(&path)));
        }
        if !text.starts_with("//!") {
            broken.push(format!("{} does not open with `//!`", shown(&path)));
        }
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["utils", "util", "helpers", "common", "manager", "misc"].contains(&stem.as_str()) {
            broken.push(format!("{}: a name that says nothing", shown(&path)));
        }
    }
    assert_none("files", &broken);
}

/// (name, first line, lines) of every function, by rustfmt's indentation: a function ends where its own indent closes.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let is_function =
            ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "pub(super) fn "]
                .iter()
                .chain(&["pub(super) async fn ", "pub(crate) async fn ", "const fn ", "pub const fn "])
                .any(|head| code.starts_with(head));
        if !is_function {
            continue;
        }
        let closing = format!("{indent}}}");
        // A declaration of a trait may span lines and ends without a body.
        let head_end = lines[i..].iter().find(|line| line.ends_with([';', '{', '}']));
        if head_end.is_none_or(|line| !line.ends_with('{')) {
            continue;
        }
        if let Some(end) = lines[i..].iter().position(|line| *line == closing) {
            found.push((code.chars().take(60).collect(), i + 1, end + 1));
        }
    }
    found
}

#[test]
fn functions_fit_a_screen() {
    let mut broken = Vec::new();
    for path in files(&["rs"]) {
        for (name, line, lines) in functions(&read(&path)) {
            if lines > MAX_FUNCTION_LINES {
                broken.push(format!("{}:{line} {name}… has {lines} lines", shown(&path)));
            }
        }
    }
    assert_none(&format!("functions of more than {MAX_FUNCTION_LINES} lines"), &broken);
}

/// Dependencies of a crate as its manifest names them, development ones apart.
fn dependencies(manifest: &Path) -> Vec<String> {
    let manifest: toml::Table = read(manifest).parse().unwrap();
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    table.keys().cloned().collect()
}

#[test]
fn walls_are_crates() {
    let allowed = |dependency: &str, krate: &str| match dependency {
        "actix" => krate == "actors",
        "actix-web" | "actix-web-lab" => krate == "src/server",
        "rdkafka" => krate == "src/adapters/kafka",
        "rmcp" => krate == "src/adapters/mcp",
        "sled" | "fjall" => krate == "src/adapters/stores",
        "callboard-actors" => ["src/server", "bench", "src/sim"].contains(&krate),
        "callboard-kafka"
        | "callboard-stores"
        | "callboard-models"
        | "callboard-tools"
        | "callboard-knowledge"
        | "callboard-mcp" => ["src/server", "bench"].contains(&krate),
        _ => true,
    };
    let mut broken = Vec::new();
    for manifest in files(&["toml"]).into_iter().filter(|path| path.ends_with("Cargo.toml")) {
        let krate = shown(manifest.parent().unwrap());
        for dependency in dependencies(&manifest) {
            if !allowed(&dependency, &krate) {
                broken.push(format!("{krate} depends on {dependency}"));
            }
        }
    }
    let domain = dependencies(&root().join("src/domain/Cargo.toml"));
    for dependency in domain {
        if !["serde", "serde_json", "thiserror", "schemars"].contains(&dependency.as_str()) {
            broken.push(format!("the domain depends on {dependency}"));
        }
    }
    assert_none("arrows that the design forbids", &broken);
}

#[test]
fn words_that_must_not_occur() {
    let everywhere = [
        concat!("do_", "send("),
        concat!("unbounded_", "channel"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("is_re", "playing"),
        concat!("db", "g!("),
    ];
    let in_domain = [
        "std::time",
        "SystemTime",
        "Instant::",
        "tokio",
        "tracing",
        "std::fs",
        "std::net",
        "async fn",
        "rand::",
    ];
    let in_actors = ["Instant::now", "SystemTime", "rand::", "Uuid::", "spawn_blocking"];
    let mut broken = Vec::new();
    let mut check = |path: &Path, text: &str, words: &[&str]| {
        for word in words.iter().filter(|word| text.contains(**word)) {
            broken.push(format!("{}: {word}", shown(path)));
        }
    };
    for path in files(&["rs"]) {
        let text = read(&path);
        let place = shown(&path);
        if !place.ends_with("tests/tidy.rs") {
            check(&path, &text, &everywhere);
        }
        if place.starts_with("src/domain/src") {
            check(&path, &text, &in_domain);
        }
        if place.starts_with("actors/src") {
            check(&path, &text, &in_actors);
        }
    }
    assert_none("words", &broken);
}

/// `path/like/this` in a document, relative to the root, to the document or to a crate.
fn named_paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in text.split('`').skip(1).step_by(2) {
        let path = piece.trim_end_matches('/');
        let known_ending =
            [".rs", ".md", ".toml", ".yaml", ".sh", ".json"].iter().any(|end| path.ends_with(end));
        let is_path = path.contains('/') && (known_ending || piece.ends_with('/'));
        let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        if is_path && plain && !path.starts_with('/') {
            found.push(path.to_owned());
        }
    }
    found
}

#[test]
fn paths_named_in_documents_exist() {
    let mut broken = Vec::new();
    for document in files(&["md"]) {
        for path in named_paths(&read(&document)) {
            let bases = [
                root(),
                document.parent().unwrap().to_owned(),
                root().join("src/server"),
                root().join("src/domain"),
                root().join("actors/src"),
            ];
            if !bases.iter().any(|base| base.join(&path).exists()) {
                broken.push(format!("{} names `{path}`", shown(&document)));
            }
        }
    }
    assert_none("paths that do not exist", &broken);
}

#[test]
fn the_readme_shows_the_two_commands_and_ci_runs_the_second() {
    let readme = read(&root().join("README.md"));
    for command in ["cargo run --release", "cargo test --workspace"] {
        assert!(readme.contains(command), "README.md does not show `{command}`");
    }
    assert!(read(&root().join(".ci/run")).contains("cargo test --locked --workspace"));
}
