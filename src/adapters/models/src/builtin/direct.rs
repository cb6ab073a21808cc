//! `TOOL {"argument": …}`, one a line: a call of any tool there is, spelt out, without a language model. For tools of one's
//! own, which the readers of [`super::read`] cannot know.

use std::collections::BTreeSet;

use callboard_domain::json::RawJson;
use callboard_domain::limits::MAX_STEPS;
use callboard_domain::plan::{OnFailure, ProposedStep};

/// The steps, when every line of `message` is such a call.
pub(super) fn read(message: &str, tools: &BTreeSet<String>) -> Option<Vec<ProposedStep>> {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() || lines.len() > MAX_STEPS {
        return None;
    }
    let on_failure = Some(if lines.len() > 1 { OnFailure::Skip } else { OnFailure::Fail });
    let step = |(at, line): (usize, &&str)| {
        let (tool, arguments) = line.split_once(char::is_whitespace)?;
        let arguments = arguments.trim();
        if !tools.contains(tool) || !arguments.starts_with('{') {
            return None;
        }
        // The user's `${` is text, not a reference.
        let arguments = RawJson::parse(&arguments.replace("${", "$${")).ok()?;
        let id = format!("call-{}", at + 1);
        Some(ProposedStep { id, tool: tool.to_owned(), arguments, depends_on: Vec::new(), on_failure })
    };
    lines.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn calls_that_are_spelt_out_and_nothing_else() {
        let tools = ["order_status", "echo"].map(str::to_owned).into();
        let steps = read("order_status {\"order\": \"A-1\"}\n echo {\"text\": \"${x}\"}\n", &tools).unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!((&*steps[0].tool, steps[0].arguments.as_str()), ("order_status", "{\"order\": \"A-1\"}"));
        assert_eq!(steps[1].arguments.as_str(), "{\"text\": \"$${x}\"}");
        for other in [
            "",
            "echo hello",
            "order_status {",
            "nothing {\"a\": 1}",
            "echo {\"text\": \"a\"} please",
            "{\"a\": 1}",
        ] {
            assert!(read(other, &tools).is_none(), "{other}");
        }
    }
}
