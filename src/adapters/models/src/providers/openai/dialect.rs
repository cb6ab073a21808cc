//! What a server has turned out to understand, model by model. The best is tried first; what a server refuses is left
//! out, and that is remembered for as long as the process runs.
//!
//! [`super::body`] writes in a dialect.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::Url;

use crate::providers::http::Failure;

/// Models whose dialect is remembered: those of the agents, some dozens. Others are learnt again.
const MAX_MODELS: usize = 256;

/// How a plan's form is demanded, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// A JSON Schema with every tool's arguments: llama.cpp, vLLM, LM Studio hold the model to it.
    Full,
    /// A JSON Schema within the restrictions of OpenAI's strict mode.
    Strict,
    /// Any JSON object.
    JsonObject,
    /// The arguments of a function call.
    FunctionCall,
    /// Nothing; the JSON is looked for in the text.
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub form: Form,
    /// `stream_options.include_usage`.
    pub usage: bool,
    /// `max_completion_tokens`, as OpenAI's newer models insist on; else `max_tokens`.
    pub newer_limit: bool,
    /// Whether `newer_limit` was changed already.
    swapped: bool,
}

impl Dialect {
    /// What to try after this refusal; `None` when nothing would help.
    pub fn simpler(self, failure: &Failure, planning: bool) -> Option<Self> {
        let words = failure.error.message.as_str();
        let says = |word: &str| words.contains(word);
        let about_form =
            ["response_format", "json_schema", "schema", "grammar"].iter().any(|word| says(word));
        let refused = match failure.status? {
            400 | 415 | 422 | 501 => true,
            // A grammar that is too much for a local server.
            500 => planning && about_form,
            _ => false,
        };
        if !refused || says("context length") || says("context_length") || says("context size") {
            return None;
        }
        if self.usage && (says("stream_options") || says("include_usage")) {
            return Some(Self { usage: false, ..self });
        }
        if !self.swapped && (says("max_tokens") || says("max_completion_tokens")) {
            return Some(Self { newer_limit: !self.newer_limit, swapped: true, ..self });
        }
        if !planning {
            // A strict server that does not say which field it minds.
            return self.usage.then_some(Self { usage: false, ..self });
        }
        let form = match self.form {
            Form::Full => Form::Strict,
            Form::Strict => Form::JsonObject,
            Form::JsonObject => Form::FunctionCall,
            Form::FunctionCall => Form::Text,
            Form::Text => return self.usage.then_some(Self { usage: false, ..self }),
        };
        Some(Self { form, ..self })
    }
}

pub(crate) struct Dialects {
    first: Dialect,
    learnt: Mutex<BTreeMap<String, Dialect>>,
}

impl Dialects {
    /// OpenAI itself knows the strict mode only; other servers are tried with more.
    pub fn of(base: &Url) -> Self {
        let openai = base.host_str().is_some_and(|host| host == "api.openai.com");
        let form = if openai { Form::Strict } else { Form::Full };
        let first = Dialect { form, usage: true, newer_limit: openai, swapped: false };
        Self { first, learnt: Mutex::default() }
    }

    pub fn known(&self, model: &str) -> Dialect {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.get(model).copied().unwrap_or(self.first)
    }

    pub fn learn(&self, model: &str, dialect: Dialect) {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.len() < MAX_MODELS || learnt.contains_key(model) {
            learnt.insert(model.to_owned(), dialect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialects, Form};
    use crate::providers::http::{Failure, error};

    fn refused(status: u16, words: &str) -> Failure {
        Failure { error: error("openai", "refused", words, false), status: Some(status), retry_after: None }
    }

    #[test]
    fn a_refused_form_leads_to_the_next_and_ends() {
        let dialects = Dialects::of(&"http://127.0.0.1:1/v1".parse().unwrap());
        let mut dialect = dialects.known("m");
        let mut forms = vec![dialect.form];
        while let Some(next) = dialect.simpler(&refused(400, "no"), true) {
            forms.push(next.form);
            dialect = next;
        }
        assert_eq!(
            forms,
            [Form::Full, Form::Strict, Form::JsonObject, Form::FunctionCall, Form::Text, Form::Text]
        );
        dialects.learn("m", dialect);
        assert_eq!((dialects.known("m").form, dialects.known("n").form), (Form::Text, Form::Full));
    }

    #[test]
    fn what_the_server_names_is_left_out_and_what_no_form_mends_is_an_error() {
        let first = Dialects::of(&"https://api.openai.com/v1".parse().unwrap()).known("m");
        assert_eq!((first.form, first.newer_limit), (Form::Strict, true));
        let without = first.simpler(&refused(400, "unknown field stream_options"), true).unwrap();
        assert!(!without.usage && without.form == Form::Strict);
        let swapped = first.simpler(&refused(400, "use max_tokens instead"), false).unwrap();
        assert!(!swapped.newer_limit);
        assert_ne!(swapped.simpler(&refused(400, "max_tokens again"), true), Some(first));
        for failure in
            [refused(401, "key"), refused(429, "slow"), refused(500, "oops"), refused(400, "context length")]
        {
            assert_eq!(first.simpler(&failure, true), None, "{failure:?}");
        }
        assert!(first.simpler(&refused(500, "failed to parse grammar"), true).is_some());
    }
}
