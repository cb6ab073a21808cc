//! `docs/knowledge.md`, run: its examples give what it shows, and what an answer cites stands at those lines.

use std::path::Path;

use crate::world::{Options, Server};

const PAGE: &str = include_str!("../../../../docs/knowledge.md");

/// The page's `$ callboard ask "…"` with the line that it shows below.
fn examples() -> Vec<(&'static str, &'static str)> {
    let lines: Vec<&str> = PAGE.lines().collect();
    let asked = |pair: &[&'static str]| {
        let question = pair[0].strip_prefix("$ callboard ask \"")?.strip_suffix('"')?;
        Some((question, pair[1]))
    };
    let found: Vec<_> = lines.windows(2).filter_map(asked).collect();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// Letters and digits, without the tags of HTML.
fn words(text: &str) -> String {
    let mut shown = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        in_tag = c == '<' || (in_tag && c != '>');
        shown.push(if !in_tag && c.is_alphanumeric() { c } else { ' ' });
    }
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The citation at the end of an answer must name lines at which the answer stands.
fn assert_cited(answer: &str, folder: &Path) {
    let (said, citation) = answer.trim_end().strip_suffix(']').unwrap().rsplit_once(" [").unwrap();
    let (file, lines) = citation.rsplit_once(':').unwrap();
    let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let there = text.lines().collect::<Vec<_>>()[first - 1..last].join("\n");
    assert!(words(&there).contains(&words(said)), "{citation} says {there:?}, not {said:?}");
}

#[test]
fn the_examples_of_the_page_are_answered_with_lines_that_exist() {
    let server = Server::start(Options::default());
    let samples = server.data.path().join("data/knowledge/samples");
    let mut cited = 0;
    for (question, shown) in examples() {
        let answer = server.cli(&["ask", question]);
        assert!(answer.starts_with(shown), "{question}: {answer}");
        if shown.ends_with(']') {
            assert_cited(&answer, &samples);
            cited += 1;
        }
    }
    assert!(cited >= 3);
}

#[test]
fn a_folder_of_ones_own_is_asked_and_its_changes_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note.md");
    std::fs::write(&note, "# Kettle\n\nThe kettle boils in three minutes.\n").unwrap();
    let options = Options::default()
        .env("CALLBOARD__TOOLS__KNOWLEDGE__PATH", folder.path().to_str().unwrap())
        .env("CALLBOARD__TOOLS__KNOWLEDGE__CHECK_EVERY_MS", "0");
    let server = Server::start(options);
    let answer = server.ask("How long does the kettle boil?");
    assert_eq!(answer["answer"], "The kettle boils in three minutes. [note.md:3]");
    std::fs::write(&note, "# Kettle\n\nIt is new.\n\nThe kettle boils in two minutes.\n").unwrap();
    let answer = server.ask("How long does the kettle boil?");
    assert_eq!(answer["answer"], "The kettle boils in two minutes. [note.md:5]");
    let plan = server.plan(answer["conversation_id"].as_str().unwrap());
    assert_eq!(
        (&plan["steps"][0]["tool"], &plan["steps"][0]["status"]),
        (&"knowledge".into(), &"done".into())
    );
    assert!(server.process.stderr().contains("documents") || server.process.stdout().contains("documents"));

    // The index is kept: a restart in the same folder answers at once.
    let server = server.kill_and_restart();
    assert_eq!(
        server.ask("How long does the kettle boil?")["answer"],
        "The kettle boils in two minutes. [note.md:5]"
    );
}

#[test]
fn a_folder_that_is_none_ends_the_start_with_words() {
    let data = tempfile::tempdir().unwrap();
    let options = Options::default().env("CALLBOARD__TOOLS__KNOWLEDGE__PATH", "/nowhere/at/all");
    let process = crate::world::launch(&data, &["serve", "--listen", "127.0.0.1:0"], &options);
    assert_eq!(process.wait_exit(crate::world::PATIENCE).unwrap().code(), Some(2));
    let said = process.stderr();
    assert!(said.contains("tools.knowledge.path is \"/nowhere/at/all\", which does not exist"), "{said}");
}

#[test]
fn the_settings_of_the_page_are_settings() {
    let blocks: Vec<&str> =
        PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("handbook")).unwrap();
        std::fs::write(data.path().join("callboard.toml"), block).unwrap();
        let process = crate::world::launch(&data, &["config", "show"], &Options::default());
        assert_eq!(
            process.wait_exit(crate::world::PATIENCE).unwrap().code(),
            Some(0),
            "{}",
            process.stderr()
        );
        let key = block.lines().find_map(|line| line.split_once(" = ")).unwrap().0;
        assert!(process.stdout().contains(key), "{key}: {}", process.stdout());
    }
}
