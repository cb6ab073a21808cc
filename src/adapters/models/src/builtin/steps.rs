//! From intents to the steps of a plan: ids, references between steps, and what happens when one fails.
//!
//! After [`super::read`], before [`super::guidance`] puts the rest into words.

use std::collections::BTreeSet;

use callboard_domain::json::RawJson;
use callboard_domain::limits::MAX_STEPS;
use callboard_domain::plan::{OnFailure, ProposedStep};
use callboard_ports::model::ToolDown;
use serde_json::{Value, json};

use super::arithmetic::Expression;
use super::cited;
use super::currency::{Amount, Conversion};
use super::documents;
use super::effect::Effect;
use super::expression::PREVIOUS;
use super::read::{Clause, Intent, Reading};
use super::small_talk::SmallTalk;
use super::words::bare;

/// A text must fit a result, escapes and all (256 KiB), and a plan's arguments (256 KiB) with its neighbours.
const MAX_TEXT_BYTES: usize = 200 * 1024;

/// What became of a message.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub steps: Vec<ProposedStep>,
    pub remarks: BTreeSet<SmallTalk>,
    /// What was not understood or cannot be done, in the user's words.
    pub rest: Vec<String>,
    /// What was understood but needs a word of explanation.
    pub hints: Vec<String>,
    /// Something is looked up because nothing else understood it.
    pub guessed: bool,
}

/// The step whose result the next one may go on from.
enum Previous {
    Math { id: String, unit: Option<String> },
    Exchange { id: String, currency: String },
}

struct Drafting<'t> {
    draft: Draft,
    tools: &'t BTreeSet<String>,
    down: &'t [ToolDown],
    previous: Option<Previous>,
    text_bytes: usize,
    /// Steps since the last `then`, and those before it.
    together: Vec<String>,
    earlier: Vec<String>,
}

/// Makes steps of `reading`, for the `tools` that there are and that are not `down`.
pub(super) fn draft(reading: Reading<'_>, tools: &BTreeSet<String>, down: &[ToolDown]) -> Draft {
    let mut drafting = Drafting {
        draft: Draft::default(),
        tools,
        down,
        previous: None,
        text_bytes: 0,
        together: Vec::new(),
        earlier: Vec::new(),
    };
    // Questions are asked at once whatever their order: only what does something can come too early.
    let ordered = reading.clauses.iter().any(|c| matches!(c.intent, Intent::Effect(_) | Intent::Echo(_)));
    for Clause { intent, then } in reading.clauses {
        if ordered && then && !drafting.together.is_empty() {
            drafting.earlier = std::mem::take(&mut drafting.together);
        }
        drafting.take(intent);
    }
    let mut draft = drafting.draft;
    draft.rest.extend(reading.rest.iter().map(|rest| shortened(rest)));
    if let Some(beyond) = reading.beyond {
        draft.hints.push(format!(
            "I take at most {} questions at once; please ask again from “{}” on.",
            super::read::MAX_INTENTS,
            shortened(beyond)
        ));
    }
    let independent =
        |step: &&ProposedStep| !step.arguments.as_str().contains("${") && step.depends_on.is_empty();
    let independent = draft.steps.iter().filter(independent).count();
    for step in &mut draft.steps {
        // Of several questions the others are still worth answering; the only one fails the turn.
        step.on_failure = Some(if independent > 1 { OnFailure::Skip } else { OnFailure::Fail });
    }
    draft
}

impl Drafting<'_> {
    fn take(&mut self, intent: Intent) {
        match intent {
            Intent::SmallTalk(remark) => {
                self.draft.remarks.insert(remark);
            }
            Intent::Weather(weather) => {
                self.previous = None;
                if weather.places.is_empty() {
                    self.draft
                        .hints
                        .push("For the weather I need a place, such as: weather in Berlin.".to_owned());
                }
                for place in weather.places {
                    let mut arguments = json!({"place": escaped(&place)});
                    if weather.future {
                        // There is no clock here: a week holds whichever day was meant.
                        arguments["days"] = 8.into();
                    }
                    self.step("weather", arguments, &place);
                }
            }
            Intent::Conversion(conversion) => self.exchange(conversion),
            Intent::Math(expression) => self.math(expression),
            Intent::Effect(effect) => self.effect(effect),
            Intent::LookUp(query) => {
                if self.tools.contains(cited::TOOL) {
                    self.look_up(&query);
                } else {
                    self.draft.rest.push(shortened(&query));
                }
            }
            Intent::Question(text) => self.question(&text),
            Intent::Echo(echo) => {
                self.previous = None;
                let shown = format!("echo {}", shortened(&echo.text));
                let mut arguments = json!({"text": escaped(&echo.text)});
                if let Some(delay_ms) = echo.delay_ms {
                    arguments["delay_ms"] = delay_ms.into();
                }
                self.text("echo", arguments, &shown);
            }
        }
    }

    fn look_up(&mut self, query: &str) {
        let arguments = json!({"query": escaped(&documents::query(query))});
        self.step(cited::TOOL, arguments, query);
    }

    /// What nobody else understood is for the documents, if there are any.
    fn question(&mut self, text: &str) {
        if !self.tools.contains(cited::TOOL) {
            self.draft.rest.push(shortened(bare(text)));
            return;
        }
        self.draft.guessed = true;
        let mut left = documents::MAX_LOOKUPS;
        for (part, asked) in documents::parts(text) {
            if asked && left > 0 {
                left -= 1;
                self.look_up(part);
            } else {
                self.draft.rest.push(shortened(part));
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        self.previous = None;
        match effect {
            Effect::Webhook { url, text } => {
                let mut arguments = json!({"url": escaped(&url)});
                if let Some(text) = text {
                    arguments["text"] = escaped(&text).into();
                }
                self.text("webhook", arguments, &format!("webhook {}", shortened(&url)));
            }
            Effect::Deposit { text, url } => {
                let mut arguments = json!({"text": escaped(&text)});
                if let Some(url) = url {
                    arguments["url"] = escaped(&url).into();
                }
                self.text("deposit", arguments, &format!("deposit {}", shortened(&text)));
            }
        }
    }

    /// Adds a step whose arguments are as long as their writer likes.
    fn text(&mut self, tool: &str, arguments: Value, shown: &str) {
        self.text_bytes += arguments.to_string().len();
        if self.text_bytes > MAX_TEXT_BYTES {
            self.draft.hints.push(format!(
                "The texts to repeat or send are too long; together at most {MAX_TEXT_BYTES} bytes."
            ));
            return;
        }
        self.step(tool, arguments, shown);
    }

    /// Adds a step when there is such a tool and room for it; its id.
    fn step(&mut self, tool: &str, arguments: Value, shown: &str) -> Option<String> {
        if !self.tools.contains(tool) {
            self.draft.hints.push(format!(
                "“{}” needs the tool {tool:?}, which is not available here.",
                shortened(shown)
            ));
            return None;
        }
        if let Some(down) = self.down.iter().find(|down| &*down.tool == tool) {
            self.draft.hints.push(format!(
                "“{}” cannot be done now: the tool {tool:?} is down ({}).",
                shortened(shown),
                shortened(&down.why)
            ));
            return None;
        }
        if self.draft.steps.len() == MAX_STEPS {
            self.draft.rest.push(shortened(shown));
            return None;
        }
        let id = format!("{tool}-{}", self.draft.steps.len() + 1);
        self.draft.steps.push(ProposedStep {
            id: id.clone(),
            tool: tool.to_owned(),
            arguments: RawJson::from_value(&arguments),
            depends_on: self.earlier.clone(),
            on_failure: None,
        });
        self.together.push(id.clone());
        Some(id)
    }

    fn exchange(&mut self, conversion: Conversion) {
        let (amount, from) = match (&conversion.amount, conversion.from, &self.previous) {
            (Amount::Number(amount), Some(from), _) => (Value::Number(amount.clone()), from),
            (Amount::Previous, _, Some(Previous::Exchange { id, currency })) => {
                (Value::from(format!("${{{id}.converted}}")), currency.clone())
            }
            // The conversion that it goes on from was not planned.
            _ => return,
        };
        for to in conversion.to {
            let arguments = json!({"amount": amount.clone(), "from": from, "to": to});
            let shown = format!("{from} to {to}");
            self.previous =
                self.step("exchange", arguments, &shown).map(|id| Previous::Exchange { id, currency: to });
        }
    }

    fn math(&mut self, expression: Expression) {
        let shown = expression.text.replace(PREVIOUS, "it");
        let mut text = expression.text;
        let mut unit = expression.unit;
        if text.contains(PREVIOUS) {
            match &self.previous {
                Some(Previous::Math { id, unit: previous_unit }) => {
                    if let (Some(previous_unit), true) = (previous_unit, is_plain_sum(&text)) {
                        // "12 miles in km, and add 5 to it": five kilometres.
                        text = format!("{text} {previous_unit}");
                    }
                    unit = unit.or_else(|| previous_unit.clone());
                    text = text.replace(PREVIOUS, &format!("(${{{id}.result}})"));
                }
                Some(Previous::Exchange { id, .. }) => {
                    text = text.replace(PREVIOUS, &format!("${{{id}.converted}}"))
                }
                None => return,
            }
        }
        self.previous =
            self.step("math", json!({"expression": text}), &shown).map(|id| Previous::Math { id, unit });
    }
}

/// Whether `text` adds a bare number to an earlier result, or takes one away.
fn is_plain_sum(text: &str) -> bool {
    let number = text
        .strip_prefix(PREVIOUS)
        .and_then(|rest| rest.strip_prefix(" + ").or_else(|| rest.strip_prefix(" - ")));
    number.is_some_and(|number| number.parse::<f64>().is_ok())
}

/// The user's `${` is text, not a reference.
fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

/// Words short enough to be repeated in an answer.
pub(super) fn shortened(text: &str) -> String {
    const MAX_SHOWN_CHARACTERS: usize = 120;
    let mut shown: String =
        text.trim().chars().take(MAX_SHOWN_CHARACTERS).filter(|c| !c.is_control()).collect();
    if text.trim().chars().nth(MAX_SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}
