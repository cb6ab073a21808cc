//! Questions about the sample documents: the right file, the right sentence, and lines at which it stands.

use std::path::Path;

use serde_json::Value;

use crate::world::{World, ask, cited, files};

/// A question, the file that answers it, and what the answer must say.
const ANSWERED: &[(&str, &str, &str)] = &[
    ("How long is the warranty?", "warranty.md", "ten years"),
    ("What does error E07 mean?", "error-codes.md", "Fan blocked or failed"),
    ("what is the usable capacity of the Cairn 10", "specifications.html", "10.4 kWh"),
    ("What is the weight of a unit in kg?", "specifications.html", "58 kg"),
    ("What is the standby consumption?", "specifications.html", "9 W"),
    ("How many days do I have to return a sealed box?", "returns.txt", "30 days"),
    ("Can it stand outdoors?", "faq.html", "Under a roof, yes."),
    ("How long are measurements of single minutes kept?", "privacy.html", "90 days"),
    ("What is the price of the three phase backup switch?", "prices.md", "890"),
    ("Which port does the local API use?", "local-api.md", "8080"),
    ("When was version 4.2.0 released?", "release-notes.txt", "October 2026"),
    ("How often should I press Test on the backup switch?", "accessories/backup-switch.md", "three months"),
    ("How heavy is the outdoor hood?", "accessories/outdoor-hood.md", "7 kg"),
    ("Which firmware version made Modbus read-only?", "release-notes.txt", "Modbus became read-only"),
    ("How do I clean the air grille?", "maintenance.md", "soft brush"),
    ("What does a steady yellow ring mean?", "quick-start.md", "with a limitation"),
    ("Is an opened box taken back?", "returns.txt", "14 days"),
    ("Does it work without solar panels?", "faq.html", "Yes."),
    ("what torque for the terminal screws", "installation.md", "8 Nm"),
    ("How many others may the owner invite?", "app.md", "five others"),
];

/// What the documents do not say.
const UNANSWERED: &[&str] = &[
    "What is the capital of France?",
    "Who won the football world cup in 1998?",
    "How tall is Mount Everest?",
    "Write a poem about the sea and the mountains",
    "What is the meaning of life?",
    "Who is the president of the United States?",
    "zxqv blorp",
];

/// Letters and digits only: marks and line ends are where the two may differ.
fn words(text: &str) -> String {
    let text = ["&nbsp;", "&times;", "&deg;", "&rsquo;", "&gt;", "&amp;", "&minus;"]
        .iter()
        .fold(text.to_owned(), |text, reference| text.replace(reference, " "));
    let mut shown = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                shown.push(' ');
            }
            c if !in_tag => shown.push(if c.is_alphanumeric() { c } else { ' ' }),
            _ => {}
        }
    }
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every citation of a result names lines at which the text stands.
fn assert_cited(folder: &Path, found: &Value) {
    for passage in found["passages"].as_array().unwrap() {
        let file = passage["file"].as_str().unwrap();
        for cites in [passage, &passage["excerpt"]] {
            let (lines, text) = (cites["lines"].as_str().unwrap(), cites["text"].as_str().unwrap());
            let there = words(&cited(folder, file, lines));
            let said = words(text.trim_end_matches('…'));
            assert!(there.contains(&said), "{file}:{lines} says {there:?}, not {said:?}");
        }
    }
}

#[tokio::test]
async fn questions_are_answered_from_the_right_lines() {
    let world = World::new();
    let tool = world.samples();
    let mut wrong = Vec::new();
    for (question, file, says) in ANSWERED {
        let found = ask(&tool, question).await;
        assert_cited(&world.data().join("samples"), &found);
        let best = &found["passages"][0];
        let excerpt = best["excerpt"]["text"].as_str().unwrap_or_default();
        if best["file"] != *file || !excerpt.contains(says) || found["confidence"] != "good" {
            wrong.push(format!("{question}: {} {}: {excerpt}", best["file"], found["confidence"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ANSWERED.len(), wrong.join("\n"));
}

#[tokio::test]
async fn what_the_documents_do_not_say_is_said() {
    let world = World::new();
    let tool = world.samples();
    for question in UNANSWERED {
        let found = ask(&tool, question).await;
        let best = &found["passages"][0]["excerpt"]["text"];
        assert_ne!(found["confidence"], "good", "{question}: {best}");
    }
    let found = ask(&tool, "zxqv blorp").await;
    assert_eq!((&found["confidence"], files(&found).len()), (&Value::from("none"), 0));
}

#[tokio::test]
async fn a_text_of_markdown_is_its_file_line_by_line() {
    let world = World::new();
    world.write(
        "notes.md",
        "# Notes\n\nBefore.\n\n## Kettle\n\n- boils\n    - slowly\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    );
    let found = ask(&world.tool(), "kettle boils").await;
    let best = &found["passages"][0];
    assert_eq!(best["lines"], "5-12");
    assert_eq!(best["title"], "Notes › Kettle");
    assert_eq!(best["text"].as_str().unwrap(), cited(&world.documents(), "notes.md", "5-12"));
}
