//! What a chat completion request asks: its last user message is the question; what stands before it is context where the
//! conversation begins with it. What would change the answer and cannot be done is refused; what only tunes a model is the
//! agent's affair, and ignored.

use std::sync::Arc;

use callboard_domain::command::UserQuery;
use callboard_domain::json::RawJson;
use callboard_domain::limits::{MAX_HISTORY_BYTES, MAX_SEED_EXCHANGES};
use callboard_domain::request::Exchange;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::body::Fields;
use crate::http::problem::Problem;

/// A request, read.
#[derive(Debug)]
pub struct Question {
    pub query: Asked,
    pub stream: bool,
    /// A last chunk with the usage.
    pub include_usage: bool,
    /// The conversation that it goes on with.
    pub conversation: Option<String>,
}

/// The question without its principal.
#[derive(Debug)]
pub struct Asked {
    pub message: Arc<str>,
    pub agent: Arc<str>,
    pub metadata: Option<RawJson>,
    pub history: Option<Vec<Exchange>>,
}

impl Asked {
    pub fn by(&self, principal: &str) -> UserQuery {
        UserQuery {
            message: self.message.clone(),
            agent: self.agent.clone(),
            principal: Some(principal.into()),
            metadata: self.metadata.clone(),
            history: self.history.clone(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Fields that promise what an agent does not do, each with what counts as not asked for.
const UNSUPPORTED: [(&str, &[&str], &str); 8] = [
    ("tools", &["[]"], "an agent has its own tools; leave `tools` out"),
    ("functions", &["[]"], "an agent has its own tools; leave `functions` out"),
    ("n", &["1"], "a question has one answer; `n` can only be 1"),
    ("response_format", &[r#"{"type":"text"}"#], "answers are text; leave `response_format` out"),
    ("logprobs", &["false"], "there are no log probabilities; leave `logprobs` out"),
    ("modalities", &[r#"["text"]"#], "answers are text; leave `modalities` out"),
    ("audio", &[], "answers are text; leave `audio` out"),
    ("web_search_options", &[], "an agent has its own tools; leave `web_search_options` out"),
];

impl Question {
    /// Reads a request; `header` names the conversation if it is there.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub fn read(mut fields: Fields, header: Option<String>) -> Result<Self, Problem> {
        for (name, unasked, why) in UNSUPPORTED {
            let Some(value) = fields.take::<Value>(name)?.filter(|value| !value.is_null()) else { continue };
            if !unasked.contains(&value.to_string().as_str()) {
                return Err(Problem::bad_request("unsupported_parameter", why).field(name));
            }
        }
        let agent: String = fields.need("model")?;
        let messages: Vec<Message> = fields.need("messages")?;
        let stream = fields.take::<bool>("stream")?.unwrap_or(false);
        let options = fields.take::<StreamOptions>("stream_options")?.unwrap_or_default();
        let user: Option<String> = fields.take("user")?;
        let mut metadata = fields.take::<Map<String, Value>>("metadata")?.unwrap_or_default();
        let named = match metadata.remove("conversation_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => {
                let words = "metadata.conversation_id: it is no string";
                return Err(Problem::bad_request("invalid_field", words).field("metadata"));
            }
        };
        if let Some(user) = user {
            metadata.insert("user".to_owned(), user.into());
        }
        let conversation = header.or(named);
        let (message, before) = last_question(&messages)?;
        let history = seed(before)?;
        let history = Some(history).filter(|history| conversation.is_none() && !history.is_empty());
        let metadata = (!metadata.is_empty()).then(|| RawJson::from_value(&Value::Object(metadata)));
        let query = Asked { message: message.into(), agent: agent.into(), metadata, history };
        Ok(Self { query, stream, include_usage: options.include_usage, conversation })
    }
}

/// The last message's text, and what goes before it.
fn last_question(messages: &[Message]) -> Result<(String, &[Message]), Problem> {
    let wrong = |words: &str| Problem::bad_request("invalid_messages", words).field("messages");
    let Some((last, before)) = messages.split_last() else {
        return Err(wrong("messages: it is empty; a question needs at least one message"));
    };
    if last.role != "user" {
        let words =
            format!("messages: the last one has the role {:?}; it must be a user's question", last.role);
        return Err(wrong(&words));
    }
    let message = text(&last.content, before.len())?;
    if message.trim().is_empty() {
        return Err(wrong(
            "messages: the last one is empty; a question needs at least one visible character",
        ));
    }
    Ok((message, before))
}

/// A content: a string, or parts of which each is a text.
fn text(content: &Value, at: usize) -> Result<String, Problem> {
    let refused =
        |path: String, words: String| Problem::bad_request("unsupported_content", words).field(&path);
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Array(parts) => {
            let mut all = String::new();
            for (i, part) in parts.iter().enumerate() {
                let path = format!("messages[{at}].content[{i}]");
                match (part["type"].as_str(), part["text"].as_str()) {
                    (Some("text"), Some(text)) => all.push_str(text),
                    (Some("text"), None) => {
                        return Err(refused(path.clone(), format!("{path}: its text is missing")));
                    }
                    (kind, _) => {
                        let kind: String = kind.unwrap_or("?").chars().take(64).collect();
                        let words = format!("{path}: a part of type {kind:?} cannot be read; only text can");
                        return Err(refused(path, words));
                    }
                }
            }
            Ok(all)
        }
        _ => {
            let path = format!("messages[{at}].content");
            let words = format!("{path}: it is neither a string nor an array of parts");
            Err(refused(path, words))
        }
    }
}

/// What was said before, as exchanges, oldest first: instructions, and then the newest that fit.
fn seed(messages: &[Message]) -> Result<Vec<Exchange>, Problem> {
    let (mut instructions, mut talk): (Vec<Exchange>, Vec<Exchange>) = (Vec::new(), Vec::new());
    for (at, message) in messages.iter().enumerate() {
        let said = text(&message.content, at)?;
        if said.trim().is_empty() {
            // A call of the client's own tools has no content.
            continue;
        }
        let alone = |message: String| Exchange { message: message.into(), answer: None };
        match message.role.as_str() {
            "user" => talk.push(alone(said)),
            "assistant" => match talk.last_mut().filter(|exchange| exchange.answer.is_none()) {
                Some(exchange) => exchange.answer = Some(said.into()),
                None => talk.push(Exchange { message: "[assistant]".into(), answer: Some(said.into()) }),
            },
            "system" | "developer" => instructions.push(alone(format!("[{}] {said}", message.role))),
            "tool" | "function" => talk.push(alone(format!("[{}] {said}", message.role))),
            other => {
                let shown: String = other.chars().take(64).collect();
                let words = format!("messages[{at}]: there is no role {shown:?}");
                return Err(Problem::bad_request("invalid_messages", words).field("messages"));
            }
        }
    }
    let mut left = MAX_HISTORY_BYTES;
    let mut room = MAX_SEED_EXCHANGES;
    let mut fits = |exchange: &Exchange| {
        let bytes = exchange.message.len() + exchange.answer.as_ref().map_or(0, |answer| answer.len());
        let fits = bytes <= left && room > 0;
        if fits {
            (left, room) = (left - bytes, room - 1);
        } else {
            // Whatever is older would leave a hole behind it.
            room = 0;
        }
        fits
    };
    instructions.retain(&mut fits);
    let kept = talk.iter().rev().take_while(|exchange| fits(exchange)).count();
    instructions.extend(talk.split_off(talk.len() - kept));
    Ok(instructions)
}

#[cfg(test)]
mod tests {
    use callboard_domain::limits::MAX_HISTORY_BYTES;
    use serde_json::{Value, json};

    use super::Question;
    use crate::http::body::Fields;
    use crate::http::problem::Problem;

    fn read(body: &Value, header: Option<&str>) -> Result<Question, Problem> {
        let fields: Fields = Fields::of(&body.to_string()).unwrap();
        Question::read(fields, header.map(str::to_owned))
    }

    fn with(extra: Value) -> Value {
        let mut body = json!({ "model": "default", "messages": [{ "role": "user", "content": "hello" }] });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    }

    #[test]
    fn messages_before_the_question_seed_a_new_conversation_only() {
        let body = with(json!({ "user": "u-1", "metadata": { "a": "b" }, "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": "one" },
            { "role": "assistant", "content": [{ "type": "text", "text": "1" }] },
            { "role": "user", "content": [{ "type": "text", "text": "and " }, { "type": "text", "text": "two?" }] },
        ] }));
        let new = read(&body, None).unwrap();
        assert_eq!(&*new.query.message, "and two?");
        let history = new.query.history.unwrap();
        let said: Vec<_> = history.iter().map(|e| (&*e.message, e.answer.as_deref())).collect();
        assert_eq!(said, [("[system] be brief", None), ("one", Some("1"))]);
        assert_eq!(new.query.metadata.unwrap().to_value(), json!({ "a": "b", "user": "u-1" }));
        assert!(read(&body, Some("c")).unwrap().query.history.is_none());
        let named = with(json!({ "metadata": { "conversation_id": "m" } }));
        assert_eq!(read(&named, None).unwrap().conversation.as_deref(), Some("m"));
        assert_eq!(read(&named, Some("h")).unwrap().conversation.as_deref(), Some("h"), "the header counts");
        assert!(read(&named, None).unwrap().query.metadata.is_none());
    }

    #[test]
    fn a_history_is_cut_where_it_does_not_fit_the_oldest_first() {
        let long = "x".repeat(MAX_HISTORY_BYTES / 2 - 100);
        let turn = |text: &str| json!({ "role": "user", "content": format!("{text}{long}") });
        let body = with(json!({ "messages": [
            { "role": "system", "content": "keep me" }, turn("1"), turn("2"), turn("3"), { "role": "user", "content": "q" },
        ] }));
        let history = read(&body, None).unwrap().query.history.unwrap();
        let first: Vec<_> = history.iter().map(|e| e.message.chars().next().unwrap()).collect();
        assert_eq!(first, ['[', '2', '3']);
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_what_tunes_is_ignored() {
        for (extra, field) in [
            (json!({ "n": 2 }), "n"),
            (json!({ "tools": [{ "type": "function" }] }), "tools"),
            (json!({ "response_format": { "type": "json_object" } }), "response_format"),
            (json!({ "logprobs": true }), "logprobs"),
            (json!({ "messages": [] }), "messages"),
            (json!({ "messages": [{ "role": "user", "content": " " }] }), "messages"),
            (json!({ "messages": [{ "role": "assistant", "content": "x" }] }), "messages"),
            (
                json!({ "messages": [{ "role": "oracle", "content": "x" }, { "role": "user", "content": "x" }] }),
                "messages",
            ),
            (
                json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }] }),
                "messages[0].content[0]",
            ),
            (json!({ "metadata": { "conversation_id": 7 } }), "metadata"),
            (json!({ "model": null }), "model"),
        ] {
            let problem = read(&with(extra.clone()), None).expect_err("it is refused");
            assert_eq!(problem.field.as_deref(), Some(field), "{extra}: {problem}");
        }
        let tuned = with(
            json!({ "temperature": 0.2, "max_tokens": 5, "seed": 1, "n": 1, "tools": [], "stop": null,
            "response_format": { "type": "text" }, "stream": true, "stream_options": { "include_usage": true }, "x": 1 }),
        );
        let question = read(&tuned, None).unwrap();
        assert!(question.stream && question.include_usage);
    }
}
