//! Whether what an answer cites stands where it says: `… [warranty.md:7-9]` is looked up in the file.
//!
//! Used by [`super::play`] for the verdict. The answer is the built-in synthesizer's, one line for each step.

use std::path::Path;

/// What was cited, and what of it does not stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Citations {
    pub expected: usize,
    pub right: Vec<String>,
    pub wrong: Vec<String>,
}

/// Looks up every citation of `answer` in the files below `folder`.
#[must_use]
pub fn check(answer: &str, folder: &Path, expected: usize) -> Citations {
    let mut found = Citations { expected, ..Citations::default() };
    for line in answer.lines() {
        let Some((said, citation)) = line.strip_suffix(']').and_then(|line| line.rsplit_once(" [")) else {
            continue;
        };
        let there = cited(citation, folder).unwrap_or_default();
        let said = words(said);
        let list = if !said.is_empty() && words(&there).contains(&said) {
            &mut found.right
        } else {
            &mut found.wrong
        };
        list.push(citation.to_owned());
    }
    found
}

/// The lines that `warranty.md:7-9` names.
fn cited(citation: &str, folder: &Path) -> Option<String> {
    let (file, lines) = citation.rsplit_once(':')?;
    let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    let all: Vec<&str> = text.lines().collect();
    Some(all.get(first.checked_sub(1)?..last)?.join(" "))
}

/// Letters and digits: line ends and the marks of a list or table are not what is cited.
fn words(text: &str) -> String {
    let only = text.split(|c: char| !c.is_alphanumeric());
    only.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_does_not_stand_there_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.md"), "# A\n\nIt lasts ten\nyears, *no* more.\n").unwrap();
        let answer = "It lasts ten years, no more. [a.md:3-4]\nIt lasts two years. [a.md:3-4]\nnothing cited\n\
                      It lasts [a.md:4]\nIt lasts [a.md:3-9]\nIt lasts [b.md:1]\nIt lasts [a.md:0]\n [a.md:3]";
        let found = check(answer, folder.path(), 1);
        assert_eq!(found.right, ["a.md:3-4"]);
        assert_eq!(found.wrong, ["a.md:3-4", "a.md:4", "a.md:3-9", "b.md:1", "a.md:0", "a.md:3"]);
    }
}
