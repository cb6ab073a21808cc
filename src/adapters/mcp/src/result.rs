//! From what a server answers to a call to the tool's result, which is one JSON value.
//!
//! | content | result |
//! |---|---|
//! | `structuredContent` | that |
//! | text that is a JSON object or list as a whole | that |
//! | other text, in one block or several | one string, blocks joined by line breaks |
//! | anything else among it | `{"content": [...]}`: text as it is; images, sounds and files named by type and size |
//!
//! What is too large is cut, with a mark: a result is there to be read, and what was done must not be called undone for
//! its answer's length. [`crate::call`] uses it.

use callboard_domain::json::RawJson;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use crate::secret::Masks;

/// Of one result as JSON writes it: several fit a turn, whose results have 384 KiB together.
pub(crate) const MAX_KEPT_BYTES: usize = 128 * 1_024;
/// What the mark takes beside the text.
const MARK_BYTES: usize = 64;
/// Of what a server says about its error.
const MAX_REASON_BYTES: usize = 1_500;

/// The result of a call that went well, without the secrets that the server was given.
pub(crate) fn result(answer: CallToolResult, masks: &Masks) -> RawJson {
    let value = match answer.structured_content {
        Some(structured) => structured,
        None => content(&answer.content),
    };
    fitted(&masks.hide_in(value))
}

/// What the server says about a call that went wrong.
pub(crate) fn reason(answer: &CallToolResult) -> String {
    let mut words = match (texts(&answer.content), &answer.structured_content) {
        (words, _) if !words.trim().is_empty() => words,
        (_, Some(structured)) => structured.to_string(),
        _ => "it does not say why".to_owned(),
    };
    words.truncate(words.floor_char_boundary(MAX_REASON_BYTES));
    words
}

fn texts(blocks: &[ContentBlock]) -> String {
    let texts = blocks.iter().filter_map(|block| match block {
        ContentBlock::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn content(blocks: &[ContentBlock]) -> Value {
    if blocks.iter().any(|block| !matches!(block, ContentBlock::Text(_))) {
        return json!({ "content": blocks.iter().map(named).collect::<Vec<_>>() });
    }
    let text = texts(blocks);
    // Many servers write their JSON as text; a number or a word alone stays the text that it was.
    match serde_json::from_str::<Value>(&text) {
        Ok(read @ (Value::Object(_) | Value::Array(_))) => read,
        _ => Value::String(text),
    }
}

/// A block: text as it is, of the rest what it is and how large.
fn named(block: &ContentBlock) -> Value {
    match block {
        ContentBlock::Text(text) => json!({ "type": "text", "text": text.text }),
        ContentBlock::Image(image) => left_out("image", Some(&image.mime_type), &image.data),
        ContentBlock::Audio(audio) => left_out("audio", Some(&audio.mime_type), &audio.data),
        ContentBlock::ResourceLink(link) => json!({
            "type": "resource_link", "uri": link.uri, "name": link.name, "mime_type": link.mime_type
        }),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { uri, mime_type, text, .. } => {
                json!({ "type": "resource", "uri": uri, "mime_type": mime_type, "text": text })
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let mut value = left_out("resource", mime_type.as_ref(), blob);
                value["uri"] = json!(uri);
                value
            }
            _ => json!({ "type": "resource", "left_out": true }),
        },
        _ => json!({ "type": "unknown", "left_out": true }),
    }
}

fn left_out(kind: &str, mime_type: Option<&String>, base64: &str) -> Value {
    // Four characters stand for three bytes.
    json!({ "type": kind, "mime_type": mime_type, "bytes": base64.len() / 4 * 3, "left_out": true })
}

/// `value` within its bound: a text is cut, anything else becomes the beginning of its JSON.
fn fitted(value: &Value) -> RawJson {
    let whole = RawJson::from_value(value);
    let bytes = whole.len_bytes();
    if bytes <= MAX_KEPT_BYTES {
        return whole;
    }
    let text = match value {
        Value::String(text) => text.as_str(),
        _ => whole.as_str(),
    };
    let mut kept = text.len().min(MAX_KEPT_BYTES);
    loop {
        let begin = &text[..text.floor_char_boundary(kept)];
        let cut =
            RawJson::from_value(&json!({ "text": format!("{begin} …"), "cut": true, "bytes": text.len() }));
        if cut.len_bytes() <= MAX_KEPT_BYTES || kept == 0 {
            return cut;
        }
        // As JSON writes it, a quotation mark takes two bytes and a control character six.
        kept = (kept * MAX_KEPT_BYTES / cut.len_bytes()).saturating_sub(MARK_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::{CallToolResult, ContentBlock};
    use serde_json::{Value, json};

    use super::{MAX_KEPT_BYTES, Masks, reason};

    fn result(answer: CallToolResult) -> callboard_domain::json::RawJson {
        super::result(answer, &Masks::default())
    }

    fn of(blocks: Vec<ContentBlock>) -> Value {
        result(CallToolResult::success(blocks)).to_value()
    }

    #[test]
    fn structured_content_goes_before_text_and_json_in_text_is_read() {
        let mut both = CallToolResult::success(vec![ContentBlock::text("{\"a\":1}")]);
        assert_eq!(result(both.clone()).to_value(), json!({ "a": 1 }));
        both.structured_content = Some(json!({ "b": [2] }));
        assert_eq!(result(both).to_value(), json!({ "b": [2] }));
        assert_eq!(of(vec![ContentBlock::text("12")]), json!("12"));
        assert_eq!(of(vec![ContentBlock::text("a"), ContentBlock::text("b")]), json!("a\nb"));
        assert_eq!(of(Vec::new()), json!(""));
    }

    #[test]
    fn what_is_no_text_is_named_and_left_out() {
        let value = of(vec![ContentBlock::text("see"), ContentBlock::image("QUJD", "image/png")]);
        let image = json!({ "type": "image", "mime_type": "image/png", "bytes": 3, "left_out": true });
        assert_eq!(value, json!({ "content": [{ "type": "text", "text": "see" }, image] }));
        let value = of(vec![ContentBlock::embedded_text("file:///a", "body")]);
        assert_eq!(value["content"][0]["text"], json!("body"));
        assert_eq!(value["content"][0]["uri"], json!("file:///a"));
    }

    #[test]
    fn what_is_too_large_is_cut_with_a_mark() {
        for text in ["x".repeat(MAX_KEPT_BYTES * 2), "\u{1}\"ü".repeat(MAX_KEPT_BYTES), "ü".repeat(70_000)]
        {
            let cut = result(CallToolResult::success(vec![ContentBlock::text(text.clone())]));
            assert!(cut.len_bytes() <= MAX_KEPT_BYTES && cut.len_bytes() > MAX_KEPT_BYTES / 2);
            let cut = cut.to_value();
            assert_eq!((&cut["cut"], &cut["bytes"]), (&json!(true), &json!(text.len())));
            assert!(text.starts_with(cut["text"].as_str().unwrap().trim_end_matches(" …")));
        }
        let mut large = CallToolResult::success(Vec::new());
        large.structured_content = Some(json!({ "rows": vec!["row"; 40_000] }));
        let cut = result(large).to_value();
        assert!(cut["text"].as_str().unwrap().starts_with("{\"rows\":[\"row\""), "{cut}");
    }

    #[test]
    fn an_error_says_why() {
        assert_eq!(reason(&CallToolResult::error(vec![ContentBlock::text("no such file")])), "no such file");
        assert_eq!(reason(&CallToolResult::error(Vec::new())), "it does not say why");
        let long = CallToolResult::error(vec![ContentBlock::text("ü".repeat(2_000))]);
        assert!(reason(&long).len() <= 1_500);
    }
}
