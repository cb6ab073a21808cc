//! A file of questions: TOML, checked wholly before anything is asked. Every sentence names line and field.
//!
//! The first part of [`super`]; `docs/eval.md` describes the format.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::expected::Expected;
use super::facts::Fact;

/// A suite of thousands is several suites; one is asked within minutes.
const MAX_QUESTIONS: usize = 1_000;
/// The planner sees 20 earlier turns.
const MAX_MESSAGES: usize = 20;
/// Ids become parts of conversation ids.
const MAX_ID_BYTES: usize = 64;

/// Questions that belong together.
#[derive(Debug)]
pub struct Suite {
    pub title: String,
    /// Services that answer with fixed figures, where the eval runs its own server.
    pub stubs: Vec<Stub>,
    pub questions: Vec<Question>,
}

/// A service that the testkit can stand in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stub {
    Weather,
    Exchange,
}

/// One question, and what is expected of its last message.
#[derive(Debug)]
pub struct Question {
    pub id: String,
    pub kind: String,
    pub agent: Option<String>,
    /// Said one after the other in one conversation; the last is judged.
    pub messages: Vec<String>,
    /// Any of these is right; `None` where the plan is not judged.
    pub plans: Option<Vec<Vec<ExpectedStep>>>,
    pub facts: Vec<Fact>,
    pub forbidden: Vec<Fact>,
    /// The facts are those of the stubs.
    pub facts_need_stubs: bool,
    pub status: String,
    /// The least number of plan versions: how often the planner has to look at results.
    pub rounds: Option<u32>,
}

/// A call that should be in the plan.
#[derive(Debug, Clone)]
pub struct ExpectedStep {
    /// How other steps of this plan refer to it.
    pub id: String,
    pub tool: String,
    pub arguments: BTreeMap<String, Expected>,
    /// Steps that must have ended before.
    pub after: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSuite {
    #[serde(default)]
    title: String,
    #[serde(default)]
    stubs: Vec<Stub>,
    #[serde(default)]
    question: Vec<Spanned<WrittenQuestion>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenQuestion {
    id: String,
    kind: String,
    agent: Option<String>,
    message: Option<String>,
    messages: Option<Vec<String>>,
    plan: Option<Vec<WrittenStep>>,
    plans: Option<Vec<Vec<WrittenStep>>>,
    #[serde(default)]
    facts: Vec<Fact>,
    #[serde(default)]
    forbidden: Vec<Fact>,
    #[serde(default)]
    facts_need_stubs: bool,
    status: Option<String>,
    rounds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    id: Option<String>,
    tool: String,
    #[serde(default)]
    arguments: BTreeMap<String, Expected>,
    #[serde(default)]
    after: Vec<String>,
}

/// Reads a suite.
///
/// # Errors
/// One sentence: the line, the field, what is wrong and what would be right.
pub fn read(text: &str) -> Result<Suite, String> {
    let written: WrittenSuite = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        format!("line {line}: {}", error.message().trim().replace('\n', "; "))
    })?;
    if written.question.is_empty() {
        return Err("line 1: there is no question; write at least one [[question]]".to_owned());
    }
    if written.question.len() > MAX_QUESTIONS {
        let found = written.question.len();
        return Err(format!("line 1: {found} questions; at most {MAX_QUESTIONS} are allowed in one file"));
    }
    let mut questions: Vec<Question> = Vec::new();
    for spanned in written.question {
        let line = line_of(text, spanned.span().start);
        let written = spanned.into_inner();
        let id = written.id.clone();
        let question = question(written)
            .and_then(|question| unique(&questions, question))
            .map_err(|problem| format!("line {line}, question {id:?}: {problem}"))?;
        questions.push(question);
    }
    Ok(Suite { title: written.title, stubs: written.stubs, questions })
}

fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

fn unique(known: &[Question], question: Question) -> Result<Question, String> {
    if known.iter().any(|other| other.id == question.id) {
        return Err("id: another question has this id".to_owned());
    }
    Ok(question)
}

fn question(written: WrittenQuestion) -> Result<Question, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if written.id.is_empty() || written.id.len() > MAX_ID_BYTES || !written.id.bytes().all(fits) {
        return Err(format!("id: it is not 1 to {MAX_ID_BYTES} letters, digits, '.', '_' or '-'"));
    }
    if written.kind.trim().is_empty() {
        return Err("kind: it is empty; write single, parallel or another word to group by".to_owned());
    }
    let messages = match (written.message, written.messages) {
        (Some(message), None) => vec![message],
        (None, Some(messages)) if !messages.is_empty() => messages,
        (None, Some(_)) => return Err("messages: it is empty; write what is said".to_owned()),
        (Some(_), Some(_)) => {
            return Err("messages: there is `message` too; leave out one of them".to_owned());
        }
        (None, None) => return Err("message: it is missing; write what is asked".to_owned()),
    };
    if messages.len() > MAX_MESSAGES {
        return Err(format!("messages: {} of them; at most {MAX_MESSAGES} are allowed", messages.len()));
    }
    let plans = match (written.plan, written.plans) {
        (Some(plan), None) => Some(vec![plan]),
        (None, Some(plans)) if plans.is_empty() => {
            return Err("plans: it is empty; write plan = [] where no tool should be called".to_owned());
        }
        (None, plans) => plans,
        (Some(_), Some(_)) => return Err("plans: there is `plan` too; leave out one of them".to_owned()),
    };
    let plans =
        plans.map(|plans| plans.into_iter().map(steps).collect::<Result<Vec<_>, String>>()).transpose()?;
    let status = written.status.unwrap_or_else(|| "answered".to_owned());
    if !["answered", "failed", "cancelled"].contains(&status.as_str()) {
        return Err(format!("status: {status:?} is none; a turn ends answered, failed or cancelled"));
    }
    if plans.is_none() && written.facts.is_empty() && written.forbidden.is_empty() && written.rounds.is_none()
    {
        return Err("nothing is expected of it; write plan, facts, forbidden or rounds".to_owned());
    }
    Ok(Question {
        id: written.id,
        kind: written.kind,
        agent: written.agent,
        messages,
        plans,
        facts: written.facts,
        forbidden: written.forbidden,
        facts_need_stubs: written.facts_need_stubs,
        status,
        rounds: written.rounds,
    })
}

/// Gives every step an id: its own, or its place in the plan.
fn steps(written: Vec<WrittenStep>) -> Result<Vec<ExpectedStep>, String> {
    let mut steps: Vec<ExpectedStep> = Vec::new();
    for (i, step) in written.into_iter().enumerate() {
        let id = step.id.unwrap_or_else(|| (i + 1).to_string());
        if steps.iter().any(|other| other.id == id) {
            return Err(format!("plan: two steps are called {id:?}"));
        }
        if let Some(unknown) = step.after.iter().find(|after| !steps.iter().any(|other| other.id == **after))
        {
            return Err(format!("plan: step {id:?} comes after {unknown:?}, which is no earlier step"));
        }
        if step.tool.trim().is_empty() {
            return Err(format!("plan: step {id:?} names no tool"));
        }
        steps.push(ExpectedStep { id, tool: step.tool, arguments: step.arguments, after: step.after });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::{Stub, read};

    const GOOD: &str = r#"
title = "two"
stubs = ["weather"]

[[question]]
id = "percent"
kind = "single"
message = "What is 17% of 2340?"
plan = [{ tool = "math", arguments = { expression = "17% of 2340" } }]
facts = ["397.8", ["of", "from"], 2340]

[[question]]
id = "chain"
kind = "dependent"
messages = ["hello", "120 USD to EUR and take 19% of it"]
plans = [
  [{ id = "euros", tool = "exchange", arguments = { from = "USD", to = "EUR", amount = 120 } },
   { tool = "math", arguments = { expression = "19% of ${euros}" }, after = ["euros"] }],
  [],
]
rounds = 2
"#;

    #[test]
    fn a_suite_is_read_with_its_defaults() {
        let suite = read(GOOD).unwrap();
        assert_eq!((suite.title.as_str(), suite.stubs.as_slice()), ("two", &[Stub::Weather][..]));
        let [percent, chain] = &suite.questions[..] else { panic!("two questions") };
        assert_eq!((percent.status.as_str(), percent.messages.len()), ("answered", 1));
        let plans = chain.plans.as_ref().unwrap();
        assert_eq!((plans.len(), plans[0][1].id.as_str(), plans[0][1].after[0].as_str()), (2, "2", "euros"));
        assert_eq!((chain.messages.len(), chain.rounds), (2, Some(2)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_field() {
        let question =
            |rest: &str| format!("title = \"t\"\n\n[[question]]\nid = \"a\"\nkind = \"k\"\n{rest}");
        for (text, words) in [
            ("".to_owned(), &["line 1", "no question"][..]),
            (question("mesage = \"x\""), &["line 6", "mesage", "message"]),
            (question("message = 3"), &["line 6", "string"]),
            (question("facts = [\"x\"]"), &["line 3", "\"a\"", "message: it is missing"]),
            (question("message = \"x\""), &["line 3", "nothing is expected"]),
            (question("message = \"x\"\nfacts = [true]"), &["line 7", "a text, a number"]),
            (question("message = \"x\"\nmessages = [\"y\"]\nfacts = [1]"), &["messages", "leave out"]),
            (question("message = \"x\"\nplan = [{ arguments = {} }]"), &["line 7", "tool"]),
            (
                question("message = \"x\"\nplan = [{ tool = \"math\", after = [\"b\"] }]"),
                &["\"b\"", "no earlier"],
            ),
            (
                question("message = \"x\"\nplan = [{ tool = \"a\", arguments = { b = { one_of = 3 } } }]"),
                &["one_of"],
            ),
            (question("message = \"x\"\nstatus = \"done\"\nfacts = [1]"), &["status", "answered"]),
            (
                question(
                    "message = \"x\"\nfacts = [1]\n[[question]]\nid = \"a\"\nkind = \"k\"\nmessage = \"x\"\nfacts = [1]",
                ),
                &["line 8", "another question"],
            ),
            (question("message = \"x\nfacts = [1]"), &["line 6"]),
        ] {
            let said = read(&text).unwrap_err();
            assert!(words.iter().all(|word| said.contains(word)), "{said:?} should say {words:?}");
            assert!(!said.contains('\n'), "{said:?}");
        }
    }
}
